"""A message call or creation, and the transaction it belongs to, as py-evm's opcodes read them.

py-evm's own classes check each of their fields again at each nested call; here whoever makes them
has checked.
"""

from typing import Final

from eth.vm.forks.cancun.transaction_context import CancunTransactionContext

from dst.execution.evm.program import Program

CREATE: Final = b""
"""`to` of a creation."""


class CallData:
    """Long call data: a range of the caller's memory, which stands still while the call runs. It is
    copied piece by piece as it is read.

    A call pays nothing for the length of its data, so copying megabytes for 100 gas would be a way
    to stop a chain. And it is no memoryview: one that is left behind, in an error's traceback or by
    whoever got a piece of it, would keep the memory from growing after the call.
    """

    __slots__ = ("_memory", "_size", "_start")

    def __init__(self, memory: bytearray, start: int, size: int) -> None:
        self._memory: bytearray | None = memory
        self._start, self._size = start, size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, piece: slice) -> bytes:
        assert self._memory is not None, "the call is over"
        start, stop, _ = piece.indices(self._size)
        return bytes(memoryview(self._memory)[self._start + start : self._start + stop])

    def __bytes__(self) -> bytes:
        return self[:]

    def end(self) -> None:
        """The call is over, the memory may change: nothing can be read any more."""
        self._memory = None


class EvmMessage:
    """The attributes of py-evm's `Message`, all of them plain."""

    __slots__ = (
        "code",
        "code_address",
        "data",
        "depth",
        "gas",
        "is_create",
        "is_delegation",
        "is_static",
        "program",
        "refund",
        "sender",
        "should_transfer_value",
        "storage_address",
        "to",
        "value",
    )

    def __init__(
        self,
        gas: int,
        to: bytes,
        sender: bytes,
        value: int,
        data: bytes | CallData,
        program: Program,
        depth: int,
        storage_address: bytes,
        code_address: bytes,
        should_transfer_value: bool,
        is_static: bool,
        is_delegation: bool,
        refund: int = 0,
    ) -> None:
        """`to`: `CREATE`, or the account called. `storage_address`: whose storage the code sees.
        `code_address`: where the code is from (a precompile runs when it is one).
        `is_delegation`: the code was found through EIP-7702, so no precompile runs.
        `data`: `CallData` when it is long, to be read while this message runs.
        `refund`: gas refunded before the first opcode."""
        self.gas = gas
        self.to = to
        self.sender = sender
        self.value = value
        self.data = data
        self.program = program
        self.code = program.code
        self.depth = depth
        self.storage_address = storage_address
        self.code_address = code_address
        self.should_transfer_value = should_transfer_value
        self.is_static = is_static
        self.is_delegation = is_delegation
        self.is_create = to == CREATE
        self.refund = refund

    @property
    def data_as_bytes(self) -> bytes:
        return bytes(self.data)

    @property
    def create_address(self) -> bytes | None:
        return self.storage_address if self.is_create else None


class TransactionScope(CancunTransactionContext):  # type: ignore[misc]
    """What the opcodes ask about the transaction; it has no blobs."""

    def __init__(self, gas_price: int, origin: bytes) -> None:
        self._gas_price = gas_price
        self._origin = origin
        self._blob_versioned_hashes = ()
        self._authorization_list = ()
