"""Which block a client means: a tag, a canonical number, or a hash (EIP-1898); and what a message
run "at" it sees.

`pending` is the block that would come next on the head: its number and fees are certain, its time
is the next slot's. Its state is the head's: what the pool offers is shown, never run.
"""

from dst.apis.eth import BlockId, BlockTag, parse_block_id
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.execution.chain import Chain, Heads
from dst.execution.environment import BlockEnvironment
from dst.execution.header import Header, next_base_fee
from dst.execution.slots import SlotClock
from dst.execution.state.reader import StateReader
from dst.spec.primitives import Hash32


class BlocksById:
    """Shared by the method families; any thread."""

    def __init__(self, chain: Chain, clock: SlotClock | None = None) -> None:
        """Without a clock, slots are of one second and begin at genesis."""
        self._chain = chain
        self._clock = clock or _clock_from_genesis(chain)

    def find(self, block: BlockId) -> tuple[Header, Hash32] | None:
        """Header and hash, None when the block is not here; `pending` is the head."""
        heads = self._chain.heads
        match block:
            case BlockTag.LATEST | BlockTag.PENDING:
                return heads.head, heads.head_hash
            case BlockTag.SAFE:
                block_hash: Hash32 | None = heads.safe_hash
            case BlockTag.FINALIZED:
                block_hash = heads.finalized_hash
            case BlockTag.EARLIEST:
                block_hash = self._chain.genesis_hash
            case int():
                block_hash = self._chain.canonical_hash(block)
            case _:
                block_hash = block
        header = None if block_hash is None else self._chain.header(block_hash)
        return None if header is None or block_hash is None else (header, block_hash)

    def resolve(self, block: BlockId) -> tuple[Header, Hash32]:
        """Raises: RpcError when the block is not here."""
        found = self.find(block)
        if found is None:
            raise RpcError(REFUSED, "header not found")
        return found

    def state(self, block: object) -> StateReader:
        """The state after the block that a raw parameter names. Raises: RpcError, InvalidInput."""
        header, _ = self.resolve(parse_block_id(block))
        return self._chain.reader(header.state_root)

    def environment_for(self, block: BlockId) -> tuple[StateReader, BlockEnvironment]:
        """What a message run at `block` sees: the state after it, and its own number and time; at
        `pending` the next block's over the head's state.

        Raises: RpcError when the block is not here.
        """
        header = self.pending_header() if block is BlockTag.PENDING else self.resolve(block)[0]
        return self._chain.reader(header.state_root), self._chain.environment(header)

    def pending_header(self, heads: Heads | None = None) -> Header:
        """The next block's header as far as anybody knows it; the state is the head's.

        Randomness, fee recipient and beacon root are the head's: consensus brings the next ones.
        """
        heads = heads or self._chain.heads
        head = heads.head
        return Header(
            parent_hash=heads.head_hash,
            fee_recipient=head.fee_recipient,
            state_root=head.state_root,
            number=head.number + 1,
            gas_limit=head.gas_limit,
            timestamp=self._clock.next_timestamp(head),
            extra_data=head.extra_data,
            prev_randao=head.prev_randao,
            base_fee_per_gas=next_base_fee(head),
            parent_beacon_block_root=head.parent_beacon_block_root,
        )


def _clock_from_genesis(chain: Chain) -> SlotClock:
    genesis = chain.header(chain.genesis_hash)
    assert genesis is not None, "the store was opened"
    return SlotClock(genesis_time=genesis.timestamp, seconds_per_slot=1)
