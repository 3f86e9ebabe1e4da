"""`4byteTracer`, `noopTracer`, `muxTracer`. Source: geth, built-in tracers."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from dst.execution.evm.tracer import Frame, Outcome, Step
from dst.execution.receipts import Receipt
from dst.execution.tracers.base import ClientTracer, Scene

_SELECTOR_BYTES: Final = 4
_CALLS: Final = frozenset({"CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"})


class FourByteTracer(ClientTracer):
    """How often each selector was called with how many bytes of arguments."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def enter(self, frame: Frame) -> None:
        if frame.kind in _CALLS and not frame.is_precompile and len(frame.data) >= _SELECTOR_BYTES:
            selector, arguments = frame.data[:_SELECTOR_BYTES], frame.data[_SELECTOR_BYTES:]
            self._seen[f"0x{selector.hex()}-{len(arguments)}"] += 1

    def result(self) -> dict[str, int]:
        return dict(self._seen)


class NoopTracer(ClientTracer):
    """Runs the transaction and shows nothing."""


class MuxTracer(ClientTracer):
    """Several at once, each result under its tracer's name."""

    def __init__(self, tracers: Mapping[str, ClientTracer]) -> None:
        self._tracers = tracers
        self.watched = frozenset().union(*(each.watched for each in tracers.values()))

    def begin(self, scene: Scene) -> None:
        for each in self._tracers.values():
            each.begin(scene)

    def end(self, receipt: Receipt) -> None:
        for each in self._tracers.values():
            each.end(receipt)

    def enter(self, frame: Frame) -> None:
        for each in self._tracers.values():
            each.enter(frame)

    def leave(self, frame: Frame, outcome: Outcome) -> None:
        for each in self._tracers.values():
            each.leave(frame, outcome)

    def step(self, step: Step) -> None:
        for each in self._watching(step):
            each.step(step)

    def stepped(self, step: Step) -> None:
        for each in self._watching(step):
            each.stepped(step)

    def result(self) -> dict[str, Any]:
        return {name: each.result() for name, each in self._tracers.items()}

    def _watching(self, step: Step) -> list[ClientTracer]:
        return [each for each in self._tracers.values() if step.opcode in each.watched]
