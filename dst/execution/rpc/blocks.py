"""Blocks, headers, receipts of a block, and the counts that go with them."""

from dst.apis.eth import BlockId, BlockTag, parse_block_id, parse_bool, parse_hash
from dst.apis.quantity import parse_quantity
from dst.execution.chain import Chain
from dst.execution.pool.service import TransactionPool
from dst.execution.rpc import views
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.dispatch import Threads, Where, rpc
from dst.execution.rpc.parameters import BlockParam, FlagParam, HashParam, QuantityParam
from dst.execution.rpc.pending import pending_transactions


class Blocks:
    def __init__(
        self, chain: Chain, blocks: BlocksById, pool: TransactionPool, threads: Threads
    ) -> None:
        self._chain, self._blocks, self._pool, self._threads = chain, blocks, pool, threads

    @rpc("eth_getBlockByNumber", where=Where.LOOP)
    async def by_number(
        self, block: BlockParam, full: FlagParam = False
    ) -> dict[str, object] | None:
        """A block, with hashes of its transactions or with them whole; null when it is not here.

        `pending` is the block that would come next: its number, its fees, the time of the next
        slot, and what the pool offers for it. Nobody has executed it: its roots are the head's.
        """
        block_id, whole = parse_block_id(block), parse_bool(full, "full")
        if block_id is BlockTag.PENDING:
            header = self._blocks.pending_header()
            offered = pending_transactions(self._pool, header)  # the pool lives on the loop
            return await self._threads.on_read(
                views.show_pending_block, header, offered, full=whole
            )
        return await self._threads.on_read(self._show, block_id, full=whole)

    @rpc("eth_getBlockByHash")
    def by_hash(self, block_hash: HashParam, full: FlagParam = False) -> dict[str, object] | None:
        """A block by its hash, canonical or not; null when it is not here."""
        wanted, whole = parse_hash(block_hash, "block hash"), parse_bool(full, "full")
        return self._show(wanted, full=whole)

    @rpc("eth_getHeaderByNumber")
    def header_by_number(self, block: BlockParam) -> dict[str, object] | None:
        """A header; null when it is not here."""
        block_id = parse_block_id(block)
        if block_id is BlockTag.PENDING:
            return views.unsealed(views.show_header(self._blocks.pending_header()))
        found = self._blocks.find(block_id)
        if found is None:
            return None
        header, block_hash = found
        return views.show_whole_header(header, block_hash)

    @rpc("eth_getHeaderByHash")
    def header_by_hash(self, block_hash: HashParam) -> dict[str, object] | None:
        """A header by its block's hash; null when it is not here."""
        wanted = parse_hash(block_hash, "block hash")
        header = self._chain.header(wanted)
        return None if header is None else views.show_whole_header(header, wanted)

    @rpc("eth_getBlockReceipts")
    def receipts(self, block: BlockParam) -> list[dict[str, object]] | None:
        """All receipts of a block; null when it is not here."""
        view = self._view(parse_block_id(block))
        if view is None:
            return None
        return views.show_receipts(view, self._chain.receipts(view.hash))

    @rpc("eth_getBlockTransactionCountByNumber", where=Where.LOOP)
    async def count_by_number(self, block: BlockParam) -> str | None:
        """How many transactions a block has; null when it is not here."""
        block_id = parse_block_id(block)
        if block_id is BlockTag.PENDING:
            return hex(len(pending_transactions(self._pool, self._blocks.pending_header())))
        return await self._threads.on_read(self._count, block_id)

    @rpc("eth_getBlockTransactionCountByHash")
    def count_by_hash(self, block_hash: HashParam) -> str | None:
        """How many transactions a block has; null when it is not here."""
        return self._count(parse_hash(block_hash, "block hash"))

    @rpc("eth_getUncleCountByBlockNumber")
    def uncle_count_by_number(self, block: BlockParam) -> str | None:
        """Zero: this chain has no uncles; null when the block is not here."""
        return None if self._blocks.find(parse_block_id(block)) is None else "0x0"

    @rpc("eth_getUncleCountByBlockHash")
    def uncle_count_by_hash(self, block_hash: HashParam) -> str | None:
        """Zero: this chain has no uncles; null when the block is not here."""
        return None if self._blocks.find(parse_hash(block_hash, "block hash")) is None else "0x0"

    @rpc("eth_getUncleByBlockNumberAndIndex")
    def uncle_by_number(self, block: BlockParam, index: QuantityParam) -> None:
        """Null: this chain has no uncles."""
        parse_block_id(block)
        parse_quantity(index, what="index")

    @rpc("eth_getUncleByBlockHashAndIndex")
    def uncle_by_hash(self, block_hash: HashParam, index: QuantityParam) -> None:
        """Null: this chain has no uncles."""
        parse_hash(block_hash, "block hash")
        parse_quantity(index, what="index")

    def _show(self, block: BlockId, *, full: bool) -> dict[str, object] | None:
        view = self._view(block)
        return None if view is None else views.show_block(view, full=full)

    def _count(self, block: BlockId) -> str | None:
        found = self._blocks.find(block)
        return None if found is None else hex(len(self._chain.body(found[1]).transactions))

    def _view(self, block: BlockId) -> views.BlockView | None:
        found = self._blocks.find(block)
        return None if found is None else views.load_block(self._chain, found[1])
