"""Transactions and receipts, in blocks and waiting in the pool."""

from dst.apis.eth import BlockId, parse_address, parse_block_id, parse_hash, show_transaction
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.apis.quantity import parse_quantity
from dst.execution.chain import Chain
from dst.execution.pool.service import TransactionPool
from dst.execution.rpc import views
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.dispatch import rpc
from dst.execution.rpc.parameters import AddressParam, BlockParam, HashParam, QuantityParam
from dst.spec.primitives import Address, Hash32, to_hex
from dst.transactions.decoded import decode_once
from dst.transactions.transaction import Transaction


class Transactions:
    def __init__(self, chain: Chain, blocks: BlocksById, pool: TransactionPool) -> None:
        self._chain, self._blocks, self._pool = chain, blocks, pool

    @rpc("eth_getTransactionByHash")
    def by_hash(self, transaction_hash: HashParam) -> dict[str, object] | None:
        """A transaction of a canonical block or of the pool; null when neither has it."""
        wanted = parse_hash(transaction_hash, "transaction hash")
        found = self._find(wanted)
        if isinstance(found, Transaction):
            return show_transaction(found)
        return None if found is None else self._show_at(*found)

    @rpc("eth_getTransactionByBlockHashAndIndex")
    def by_block_hash(self, block_hash: HashParam, index: QuantityParam) -> object:
        """A transaction by its place; null when there is none."""
        return self._in_block(parse_hash(block_hash, "block hash"), index)

    @rpc("eth_getTransactionByBlockNumberAndIndex")
    def by_block_number(self, block: BlockParam, index: QuantityParam) -> object:
        """A transaction by its place; null when there is none."""
        return self._in_block(parse_block_id(block), index)

    @rpc(
        "eth_getTransactionBySenderAndNonce",
        errors=("-32000: state is not available: pruned (the nonce was used before)",),
    )
    def by_sender(self, sender: AddressParam, nonce: QuantityParam) -> dict[str, object] | None:
        """The transaction that used, or would use, a sender's nonce; null when there is none."""
        owner, number = parse_address(sender), parse_quantity(nonce, what="nonce")
        head = self._chain.heads.head
        if number >= self._chain.reader(head.state_root).get_nonce(owner):
            waiting = self._pool.by_nonce(owner, number)
            return None if waiting is None else show_transaction(waiting)
        return self._mined_with(owner, number)

    @rpc("eth_getRawTransactionByHash")
    @rpc("debug_getRawTransaction")
    def raw_by_hash(self, transaction_hash: HashParam) -> str | None:
        """The signed bytes (EIP-2718); null when neither chain nor pool has the transaction."""
        found = self._find(parse_hash(transaction_hash, "transaction hash"))
        if isinstance(found, Transaction):
            return to_hex(found.raw)
        return None if found is None else to_hex(self._raw_at(*found))

    @rpc("eth_getRawTransactionByBlockHashAndIndex")
    def raw_by_block_hash(self, block_hash: HashParam, index: QuantityParam) -> str | None:
        """The signed bytes by place; null when there are none."""
        return self._raw_in_block(parse_hash(block_hash, "block hash"), index)

    @rpc("eth_getRawTransactionByBlockNumberAndIndex")
    def raw_by_block_number(self, block: BlockParam, index: QuantityParam) -> str | None:
        """The signed bytes by place; null when there are none."""
        return self._raw_in_block(parse_block_id(block), index)

    @rpc("eth_getTransactionReceipt")
    def receipt(self, transaction_hash: HashParam) -> dict[str, object] | None:
        """The receipt of a transaction in a canonical block; null while there is none."""
        return views.receipt_of(self._chain, parse_hash(transaction_hash, "transaction hash"))

    def _find(self, wanted: Hash32) -> tuple[Hash32, int] | Transaction | None:
        """Where it is. The chain is asked twice: between the first look and the one into the pool a
        block may have taken it."""
        return (
            self._chain.location(wanted) or self._pool.get(wanted) or self._chain.location(wanted)
        )

    def _in_block(self, block: BlockId, index: object) -> dict[str, object] | None:
        place = self._place(block, index)
        return None if place is None else self._show_at(*place)

    def _raw_in_block(self, block: BlockId, index: object) -> str | None:
        place = self._place(block, index)
        return None if place is None else to_hex(self._raw_at(*place))

    def _place(self, block: BlockId, index: object) -> tuple[Hash32, int] | None:
        position = parse_quantity(index, what="index")
        found = self._blocks.find(block)
        if found is None or self._chain.transaction_at(found[1], position) is None:
            return None
        return found[1], position

    def _raw_at(self, block_hash: Hash32, index: int) -> bytes:
        raw = self._chain.transaction_at(block_hash, index)
        assert raw is not None, "the index of transactions names only what is there"
        return raw

    def _show_at(self, block_hash: Hash32, index: int) -> dict[str, object] | None:
        header = self._chain.header(block_hash)
        if header is None:
            return None
        return views.show_transaction_at(
            header, block_hash, index, decode_once(self._raw_at(block_hash, index))
        )

    def _mined_with(self, sender: Address, nonce: int) -> dict[str, object] | None:
        """Bisects the canonical chain for the block in which the account passed the nonce."""

        def passed(number: int) -> bool:
            header, _ = self._blocks.resolve(number)
            return self._chain.reader(header.state_root).get_nonce(sender) > nonce

        low, high = self._chain.oldest_state, self._chain.heads.head.number
        if low and passed(low):
            raise RpcError(REFUSED, "state is not available: pruned")
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if passed(middle) else (middle + 1, high)
        block_hash = self._blocks.resolve(low)[1]
        for index, raw in enumerate(self._chain.body(block_hash).transactions):
            transaction = decode_once(raw)
            if transaction.sender == sender and transaction.nonce == nonce:
                return self._show_at(block_hash, index)
        return None
