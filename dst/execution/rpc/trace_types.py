"""`trace`, `stateDiff`, `vmTrace`: the types a `trace_` replay or call is asked for, and their
tracers run together."""

from typing import Any, Final

from dst.execution.tracers.base import Budget, ClientTracer
from dst.execution.tracers.calls import CallTracer
from dst.execution.tracers.flat import flatten
from dst.execution.tracers.prestate import PrestateTracer
from dst.execution.tracers.small import MuxTracer
from dst.execution.tracers.vm import VmTracer
from dst.spec.errors import InvalidInput
from dst.spec.primitives import to_hex

TRACE_TYPES: Final = ("trace", "stateDiff", "vmTrace")


def parse_trace_types(value: object) -> frozenset[str]:
    """Raises: InvalidInput."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InvalidInput("trace types: expected a list of names")
    unknown = set(value).difference(TRACE_TYPES)
    if unknown:
        names, known = ", ".join(sorted(unknown))[:80], ", ".join(TRACE_TYPES)
        raise InvalidInput(f"trace types: there are {known}, not {names}")
    return frozenset(value)


class TypedTracers:
    """`together` is run, then `show`."""

    def __init__(self, types: frozenset[str], budget: Budget) -> None:
        self._types = types
        self._calls, self._state = CallTracer(budget), PrestateTracer(budget)
        self._steps = VmTracer(budget)
        tracers: dict[str, ClientTracer] = {"trace": self._calls}
        if "stateDiff" in types:
            tracers["stateDiff"] = self._state
        if "vmTrace" in types:
            tracers["vmTrace"] = self._steps
        self.together = MuxTracer(tracers)

    def show(self) -> dict[str, Any]:
        outcome = self._calls.tree.outcome
        assert outcome is not None
        return {
            "output": to_hex(outcome.output),
            "stateDiff": self._state.state_diff() if "stateDiff" in self._types else None,
            "trace": flatten(self._calls.tree, None) if "trace" in self._types else [],
            "vmTrace": self._steps.result() if "vmTrace" in self._types else None,
        }
