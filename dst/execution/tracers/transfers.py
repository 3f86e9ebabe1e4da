"""Logs of a run as `eth_simulateV1` reports them: those of contracts and, when wanted, in their
place among them a Transfer log for every movement of value.

Source: execution-apis, ethsimulatev1-notes "ETH transfer logs".
"""

from typing import Final

from dst.execution.evm import opcodes
from dst.execution.evm.tracer import Frame, Outcome, Step, Tracer
from dst.execution.receipts import Log
from dst.spec.primitives import Address

VALUE_TOKEN: Final = Address(b"\xee" * 20)
"""The address that stands for value itself, as its emitter."""
TRANSFER_TOPIC: Final = bytes.fromhex(
    "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
)


class LogTracer(Tracer):
    """A failed frame takes its logs with it."""

    watched = opcodes.LOGS

    def __init__(self, *, transfers: bool, first_index: int) -> None:
        self._transfers = transfers
        self._frames: list[list[tuple[int, Log]]] = [[]]
        self._arguments: list[int] = []
        self.next_index = first_index

    @property
    def logs(self) -> tuple[tuple[int, Log], ...]:
        """With their indices in the block: a log that went with its frame leaves a gap."""
        return tuple(self._frames[0])

    def enter(self, frame: Frame) -> None:
        self._frames.append([])
        if self._transfers and frame.value and frame.kind != "DELEGATECALL":
            self._add(_transfer(frame))

    def leave(self, frame: Frame, outcome: Outcome) -> None:
        logs = self._frames.pop()
        if outcome.error is None:
            self._frames[-1].extend(logs)

    def step(self, step: Step) -> None:
        self._arguments = step.top(2 + step.opcode - opcodes.LOG0)

    def stepped(self, step: Step) -> None:
        if step.error is None:
            self._add(log_of(step, self._arguments))

    def _add(self, log: Log) -> None:
        self._frames[-1].append((self.next_index, log))
        self.next_index += 1


def log_of(step: Step, arguments: list[int]) -> Log:
    """The log that a LOG opcode made; `arguments` are its stack values, top first."""
    start, size, *topics = arguments
    return Log(
        address=step.address,
        topics=tuple(each.to_bytes(32, "big") for each in topics),
        data=step.memory_at(start, size),
    )


def _transfer(frame: Frame) -> Log:
    ends = (bytes(12) + frame.sender, bytes(12) + frame.to)
    return Log(
        address=VALUE_TOKEN,
        topics=(TRANSFER_TOPIC, *ends),
        data=frame.value.to_bytes(32, "big"),
    )
