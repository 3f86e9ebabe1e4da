"""The EVM's stack while a block is written: names of locals, and numbers where they are known."""

from typing import Final

from dst.execution.evm.translation.lines import Lines

STACK_LIMIT: Final = 1_024


class Stack:
    """In three parts: `S`, the computation's list, as it was at the last way out; of it the topmost
    `taken` items are used up; above what remains of it come the values in `values`."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._values: list[str] = []
        self._taken = 0
        self._read: dict[int, str] = {}
        """Locals that hold items of `S`, by depth."""
        self._depth_known = self._height_known = 0
        """What checks so far have shown: items that `S` has, and how far it may grow."""
        self._depth = self._height = 0
        """What the present segment needs of that."""

    def pop(self) -> str:
        if self._values:
            return self._values.pop()
        self._taken += 1
        return self._item(self._taken)

    def drop(self) -> None:
        """Pop what nobody wants to see."""
        if self._values:
            self._values.pop()
        else:
            self._taken += 1
            self._need(self._taken)

    def push(self, value: str) -> None:
        self._values.append(value)
        self._height = max(self._height, len(self._values) - self._taken)

    def push_new(self, python: str) -> None:
        """Push what an expression gives."""
        name = self._lines.name()
        self._lines.emit(f"{name} = {python}")
        self.push(name)

    def peek(self, depth: int) -> str:
        values = self._values
        if depth <= len(values):
            return values[-depth]
        return self._item(self._taken + depth - len(values))

    def swap(self, depth: int) -> None:
        """The topmost with the one `depth` below it."""
        values = self._values
        while len(values) <= depth:
            self._taken += 1
            values.insert(0, self._item(self._taken))
        values[-1], values[-1 - depth] = values[-1 - depth], values[-1]

    def flush(self) -> list[str]:
        """Lines that make `S` the whole stack."""
        taken, kept = self._taken, 0
        while kept < len(self._values) and taken and self._values[kept] == self._read.get(taken):
            taken, kept = taken - 1, kept + 1  # where it was
        values = self._values[kept:]
        if not taken:
            if len(values) == 1:
                return [f"S.append({values[0]})"]
            return [f"S += ({', '.join(values)},)"] if values else []
        if not values:
            return [f"del S[-{taken}:]"]
        if taken == len(values) == 1:
            return [f"S[-1] = {values[0]}"]
        return [f"S[-{taken}:] = ({', '.join(values)},)"]

    def forget(self) -> None:
        """After a flush that the block goes on from."""
        self._values, self._taken, self._read = [], 0, {}
        self._depth_known = self._height_known = 0

    # segments

    def begin_segment(self) -> None:
        self._depth = self._height = 0

    def checks(self) -> list[tuple[str, str]]:
        """What has to be asked of `S` before the segment runs, each with its error; known from here
        on."""
        asked = []
        if self._depth > self._depth_known:
            self._depth_known = self._depth
            asked.append((f"len(S) < {self._depth}", "InsufficientStack('too few stack items')"))
        if self._height > self._height_known:
            self._height_known = self._height
            limit = STACK_LIMIT - self._height
            asked.append((f"len(S) > {limit}", "FullStack('stack limit reached')"))
        return asked

    def _item(self, depth: int) -> str:
        """The item of `S` so deep, 1 the topmost."""
        name = self._read.get(depth)
        if name is None:
            name = self._read[depth] = self._lines.name()
            self._need(depth)
            self._lines.emit(f"{name} = S[-{depth}]")
        return name

    def _need(self, depth: int) -> None:
        self._depth = max(self._depth, depth)
