"""The node's view of L1, and the way onto it.

rpc           JSON-RPC client of one L1 node: blocks, transactions, nonces
view          the bounded canonical chain as this node sees it; reorg detection and origin choice
(pure)
source        polls the head, keeps the view, outlives outages
transactions  EIP-1559 encoding and signing (pure)
tx_manager    nonces, fee bumps, bounded resubmission
"""
