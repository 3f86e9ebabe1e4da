"""`callTracer`: the tree of messages. Source: geth, built-in tracers."""

from dataclasses import dataclass, field
from typing import Any

from dst.execution.evm import opcodes
from dst.execution.evm.tracer import Frame, Outcome, Step
from dst.execution.receipts import Log, Receipt
from dst.execution.reverts import revert_reason
from dst.execution.tracers.base import Budget, ClientTracer, Scene
from dst.execution.tracers.transfers import log_of
from dst.spec.primitives import ZERO_ADDRESS, to_hex
from dst.transactions.transaction import Transaction

FRAME_BYTES = 400
"""A frame in JSON without its data."""


@dataclass(slots=True)
class Call:
    """A frame with what is below it; data as JSON shows it."""

    frame: Frame
    outcome: Outcome | None = None
    calls: "list[Call]" = field(default_factory=list)
    logs: list[tuple[int, Log]] = field(default_factory=list)
    """With the number of subcalls before each."""


class CallTracer(ClientTracer):
    def __init__(
        self, budget: Budget, *, only_top_call: bool = False, with_log: bool = False
    ) -> None:
        self._budget, self._only_top = budget, only_top_call
        self._with_log = with_log
        self.watched = opcodes.LOGS if with_log else frozenset()
        self._open: list[Call | None] = []
        """Open frames; None for one that is not wanted."""
        self._arguments: list[int] = []
        self._top: Call | None = None
        self._transaction: Transaction | None = None
        self.gas = self.gas_used = 0
        """Of the whole transaction."""

    @property
    def tree(self) -> Call:
        """The outermost call, when the transaction is over."""
        if self._top is None:
            assert self._transaction is not None
            self._top = _never_begun(self._transaction)
        return self._top

    def begin(self, scene: Scene) -> None:
        self._transaction = scene.transaction
        self.gas = scene.transaction.gas

    def end(self, receipt: Receipt) -> None:
        self.gas_used = receipt.gas_used

    def enter(self, frame: Frame) -> None:
        if self._only_top and self._open:
            self._open.append(None)
            return
        self._budget.spend(FRAME_BYTES + 2 * len(frame.data))
        call = Call(frame)
        parent = self._open[-1] if self._open else None
        if parent is None:
            self._top = call
        else:
            parent.calls.append(call)
        self._open.append(call)

    def leave(self, frame: Frame, outcome: Outcome) -> None:
        call = self._open.pop()
        if call is not None:
            self._budget.spend(2 * len(outcome.output))
            call.outcome = outcome

    def step(self, step: Step) -> None:
        self._arguments = step.top(2 + step.opcode - opcodes.LOG0)

    def stepped(self, step: Step) -> None:
        call = self._open[-1]
        if step.error is None and call is not None:
            log = log_of(step, self._arguments)
            self._budget.spend(FRAME_BYTES + 2 * len(log.data))
            call.logs.append((len(call.calls), log))

    def result(self) -> dict[str, Any]:
        shown = _Shower(self._with_log).show(self.tree, failed=False)
        shown["gas"], shown["gasUsed"] = hex(self.gas), hex(self.gas_used)
        return shown


def _never_begun(transaction: Transaction) -> Call:
    """A creation at an address that is taken."""
    frame = Frame(
        kind="CREATE",
        sender=transaction.sender,
        to=ZERO_ADDRESS,
        value=transaction.value,
        gas=transaction.gas,
        data=transaction.data,
        depth=0,
    )
    return Call(frame, Outcome(error="contract address collision", gas_used=transaction.gas))


class _Shower:
    """Calls as JSON; the logs of a failed call, and of all below it, are left out."""

    def __init__(self, with_log: bool) -> None:
        self._with_log = with_log

    def show(self, top: Call, *, failed: bool) -> dict[str, Any]:
        """Without recursion: a tree may be 1,024 deep."""
        result: dict[str, Any] = {}
        waiting = [(top, failed, result)]
        while waiting:
            call, failed, into = waiting.pop()
            assert call.outcome is not None
            failed = failed or call.outcome.error is not None
            into.update(_show(call, call.outcome))
            children: list[dict[str, Any]] = [{} for _ in call.calls]
            if children:
                into["calls"] = children
            if self._with_log and call.logs and not failed:
                into["logs"] = [_show_log(position, log) for position, log in call.logs]
            below = [
                (each, failed, child) for each, child in zip(call.calls, children, strict=True)
            ]
            waiting.extend(reversed(below))
        return result


def _show(call: Call, outcome: Outcome) -> dict[str, Any]:
    frame = call.frame
    creates = frame.kind.startswith("CREATE")
    shown: dict[str, Any] = {
        "from": to_hex(frame.sender),
        "gas": hex(frame.gas),
        "gasUsed": hex(outcome.gas_used),
    }
    if not (creates and outcome.error is not None):
        shown["to"] = to_hex(frame.to)
    shown["input"] = to_hex(frame.data)
    if outcome.output:
        shown["output"] = to_hex(outcome.output)
    if outcome.error is not None:
        shown["error"] = outcome.error
        reason = revert_reason(outcome.output) if outcome.reverted else None
        if reason is not None:
            shown["revertReason"] = reason
    if frame.kind != "STATICCALL":
        shown["value"] = hex(frame.value)
    shown["type"] = frame.kind
    return shown


def _show_log(position: int, log: Log) -> dict[str, Any]:
    return {
        "address": to_hex(log.address),
        "topics": [to_hex(topic) for topic in log.topics],
        "data": to_hex(log.data),
        "position": hex(position),
    }
