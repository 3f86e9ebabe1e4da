"""Which block a client means: a tag, a canonical number, or a hash (EIP-1898)."""

from dst.apis.eth import BlockId, BlockTag, parse_block_id
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.execution.chain import Chain
from dst.execution.header import Header
from dst.execution.state.reader import StateReader
from dst.spec.primitives import Hash32


class BlocksById:
    """Shared by the method families; any thread."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

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
