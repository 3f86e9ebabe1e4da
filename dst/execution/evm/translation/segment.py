"""A segment: what lies between two ways out of a block. Its gas is charged and the stack checked at
its beginning, once for all of it."""

from typing import Final

from dst.execution.evm.translation.lines import Lines
from dst.execution.evm.translation.stack import Stack

AHEAD: Final = "{ahead}"
"""In a line: gas charged in advance for what comes after it."""


class Segment:
    def __init__(self, lines: Lines, stack: Stack, position: int) -> None:
        """`position`: of its first opcode."""
        self.gas = 0
        """Of the opcodes so far."""
        self._lines, self._stack, self._position = lines, stack, position
        self._exit = stack.flush()
        self._check = lines.reserve()
        self._watchers: list[tuple[int, int]] = []
        """(line, gas charged up to and with its opcode) of each that says `{ahead}`."""
        stack.begin_segment()

    def emit(self, line: str) -> None:
        """A line of an opcode; it may say how much is charged ahead of it."""
        self._lines.emit(line)
        if AHEAD in line:
            self._watchers.append((self._lines.last, self.gas))

    def end(self, *, failing: bool = False) -> None:
        """Write the check at the beginning. `failing`: it raises, instead of leaving it to the
        handlers."""
        for line, so_far in self._watchers:
            self._lines.fill(line, AHEAD, str(self.gas - so_far))
        checks = [(f"gas < {self.gas}", "OutOfGas('fixed price')")] if self.gas else []
        checks += self._stack.checks()
        lines = [f"if {condition}: raise {error}" for condition, error in checks]
        if checks and not failing:
            conditions = " or ".join(condition for condition, _ in checks)
            leave = [*self._exit, "c.gas_left = gas", f"return {-2 - self._position}"]
            lines = [f"if {conditions}: {'; '.join(leave)}"]
        if self.gas:
            lines.append(f"gas -= {self.gas}")
        self._lines.replace(self._check, *lines)
