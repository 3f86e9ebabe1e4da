"""`dst_finality`: how far a block has come on its way to being final.

Operators decide a block (from then on nobody can decide another at its height), sign it together
(sealed: one group signature, which followers and L1 check), post it to L1 (safe), and L1 makes it
final. This node's head is a decided block for an operator, a sealed one for a follower.
"""

from dst.apis.eth import BlockId, parse_block_id
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.execution.chain import Chain
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.dispatch import Threads, Where, rpc
from dst.execution.rpc.parameters import BlockParam
from dst.execution.sealed import SealedHeight, nobody_knows
from dst.spec.primitives import Hash32, to_hex


class Finality:
    def __init__(
        self,
        chain: Chain,
        blocks: BlocksById,
        threads: Threads,
        sealed_height: SealedHeight = nobody_knows,
    ) -> None:
        self._chain, self._blocks, self._threads = chain, blocks, threads
        self._sealed_height = sealed_height

    @rpc("dst_finality", where=Where.LOOP, errors=("-32000: header not found",))
    async def finality(self, block: BlockParam) -> dict[str, object]:
        """How final a block is: `decided`, `sealed`, `safe`, `finalized`; all false for a block
        that is not on the chain.

        `sealed` is null when this node cannot know it: its rollup node (`rollup` in its
        configuration) does not answer within a second, or is not set. A safe block is sealed.
        """
        wanted = parse_block_id(block)
        sealed = await self._sealed_height()
        return await self._threads.on_read(self._judge, wanted, sealed)

    def _judge(self, block: BlockId, sealed: int | None) -> dict[str, object]:
        header, block_hash = self._blocks.resolve(block)
        decided = self._chain.canonical_hash(header.number) == block_hash
        heads = self._chain.heads
        safe = decided and header.number <= self._height(heads.safe_hash)
        return {
            "number": hex(header.number),
            "hash": to_hex(block_hash),
            "decided": decided,
            "sealed": _is_sealed(header.number, decided=decided, safe=safe, sealed=sealed),
            "safe": safe,
            "finalized": decided and header.number <= self._height(heads.finalized_hash),
        }

    def _height(self, block_hash: Hash32) -> int:
        header = self._chain.header(block_hash)
        if header is None:
            raise RpcError(REFUSED, "header not found")
        return header.number


def _is_sealed(number: int, *, decided: bool, safe: bool, sealed: int | None) -> bool | None:
    """A batch on L1 holds the seal, and what nobody decided nobody seals: neither needs asking."""
    if safe or not decided:
        return safe
    return None if sealed is None else number <= sealed
