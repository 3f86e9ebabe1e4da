"""What the runs of blocks stand on: blocks that are here, and the states after them."""

from typing import Protocol

from dst.execution.block_format import Body
from dst.execution.environment import BlockEnvironment
from dst.execution.header import Header
from dst.execution.state.reader import StateReader


class Ground(Protocol):
    """`dst.execution.chain.Chain` satisfies it; blocks know no more of it than this."""

    def header(self, block_hash: bytes) -> Header | None:
        """None when the block is not here."""

    def body(self, block_hash: bytes) -> Body:
        """Of a block that is here."""

    def reader_after(self, block_hash: bytes) -> StateReader:
        """A fresh reader of the state after a block. Raises: UnknownBlock, StateUnavailable."""

    def environment(self, header: Header) -> BlockEnvironment:
        """What a block with this header sees of itself and of the blocks before it."""
