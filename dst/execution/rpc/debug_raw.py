"""Blocks, headers and receipts in their encoded forms: `debug_getRaw*`."""

from dst.apis.eth import parse_block_id
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.execution.chain import Chain
from dst.execution.rpc import views
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.dispatch import rpc
from dst.execution.rpc.parameters import BlockParam
from dst.spec.primitives import to_hex

_NOT_HERE = ("-32000: block not found",)


class RawData:
    def __init__(self, chain: Chain, blocks: BlocksById) -> None:
        self._chain, self._blocks = chain, blocks

    @rpc("debug_getRawHeader", errors=_NOT_HERE)
    def header(self, block: BlockParam) -> str:
        """A header's RLP."""
        return to_hex(self._view(block).header.encode())

    @rpc("debug_getRawBlock", errors=_NOT_HERE)
    def block(self, block: BlockParam) -> str:
        """A block's RLP: header, transactions, no uncles, withdrawals."""
        return to_hex(views.block_bytes(self._view(block)))

    @rpc("debug_getRawReceipts", errors=_NOT_HERE)
    def receipts(self, block: BlockParam) -> list[str]:
        """Receipts as the receipts root commits to them (EIP-2718)."""
        return [to_hex(each.encode()) for each in self._chain.receipts(self._view(block).hash)]

    def _view(self, block: object) -> views.BlockView:
        found = self._blocks.find(parse_block_id(block))
        view = None if found is None else views.load_block(self._chain, found[1])
        if view is None:
            raise RpcError(REFUSED, "block not found")
        return view
