"""The EVM's memory while a block is written: how far it is known to reach, and lines that read and
write it."""

from typing import Final

from dst.execution.evm.translation.lines import Lines
from dst.execution.evm.translation.values import is_known, plus

_WORD: Final = 32


class Memory:
    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._known = 0
        """Bytes that there are at least."""

    def word(self, at: str) -> str:
        """An expression for the word at `at`."""
        self._reach(at, _WORD)
        return f"integer(mem[{at}:{plus(at, _WORD)}])"

    def write_word(self, at: str, value: str) -> None:
        self._reach(at, _WORD)
        word = f"{value}.to_bytes({_WORD}, 'big')"
        if is_known(value):
            word = repr(int(value, 16).to_bytes(_WORD, "big"))
        self._lines.emit(f"mem[{at}:{plus(at, _WORD)}] = {word}")

    def write_byte(self, at: str, value: str) -> None:
        self._reach(at, 1)
        self._lines.emit(f"mem[{at}] = {value} & 255")

    def _reach(self, at: str, size: int) -> None:
        end = plus(at, size)
        if is_known(at):
            if int(end, 16) <= self._known:
                return
            if int(end, 16) < 2**32:  # more cannot be paid
                self._known = int(end, 16)
        grow = self._lines.using(f"if {end} > len(mem): gas = expand(c, {end}, gas)")
        self._lines.emit(grow)
