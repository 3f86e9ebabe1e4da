"""The text of a function as it grows: lines, fresh names for locals, and the preludes they need."""

from typing import Final

_PRELUDES: Final = {
    "A": "A = c.msg.storage_address",
    "D": "D = c.msg.data",
    "X": "X = c.state.execution_context",
    "mem": "mem = c.memory",
    "V": "V = c.accounts.slots",
    "W": "W = c.accounts.warm",
}
"""Locals that hold through a block, made when an opcode in it needs them."""


class Lines:
    def __init__(self) -> None:
        self.length = 0
        """Characters so far."""
        self._lines: list[str] = []
        self._preludes: set[str] = set()
        self._names = 0

    def emit(self, *lines: str) -> None:
        self._lines.extend(lines)
        self.length += sum(map(len, lines))

    def reserve(self) -> int:
        """A place for a line that is known later: its number, for `replace`."""
        self._lines.append("")
        return len(self._lines) - 1

    def replace(self, number: int, *lines: str) -> None:
        self._lines[number] = "\n    ".join(lines)
        self.length += sum(map(len, lines))

    def fill(self, number: int, gap: str, text: str) -> None:
        """Write `text` where line `number` says `gap`."""
        self._lines[number] = self._lines[number].replace(gap, text)

    @property
    def last(self) -> int:
        """Number of the last line."""
        return len(self._lines) - 1

    def name(self) -> str:
        """Of a new local."""
        self._names += 1
        return f"t{self._names}"

    def using(self, python: str) -> str:
        """The same text; which preludes it needs is noted."""
        for name in _PRELUDES:
            if name not in self._preludes and name in python:
                self._preludes.add(name)
        return python

    def source(self) -> str:
        preludes = "".join(f"  {_PRELUDES[name]}\n" for name in sorted(self._preludes))
        body = "".join(f"    {line}\n" for line in self._lines if line)
        return (
            "def block(c):\n  S = c.stack\n  gas = c.gas_left\n"
            + preludes
            + "  while True:\n"
            + body
        )
