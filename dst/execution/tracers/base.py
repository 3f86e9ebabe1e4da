"""What a tracer needs to be a client's: it learns the transaction, and has a result."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dst.execution.evm.tracer import Tracer
from dst.execution.receipts import Receipt
from dst.execution.state.overlay import BlockState
from dst.spec.errors import DstError
from dst.spec.primitives import Address
from dst.transactions.transaction import Transaction


class TraceTooLarge(DstError):
    """A trace that would not fit an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where a transaction runs."""

    transaction: Transaction
    accounts: BlockState
    """The overlay, as it is while the transaction runs."""
    fee_recipient: Address
    precompiles: Iterable[bytes]


class ClientTracer(Tracer):
    """Begun before a transaction, ended after it; then `result` is there."""

    def begin(self, scene: Scene) -> None:
        """Before the gas is bought."""

    def end(self, receipt: Receipt) -> None:
        """After everything is settled."""

    def result(self) -> Any:
        """A JSON value."""
        return {}


class Budget:
    """Bytes that the answer of one request may take; shared by the traces of a block."""

    def __init__(self, size: int) -> None:
        self.size = self._left = size

    def spend(self, size: int) -> None:
        """Raises: TraceTooLarge."""
        self._left -= size
        if self._left < 0:
            raise TraceTooLarge(
                f"the trace is larger than {self.size >> 20} MiB: limit it, switch parts of it "
                "off, or use a call tracer"
            )
