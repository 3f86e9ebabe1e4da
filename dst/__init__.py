"""Distributed Sequencer Technology: one sequencer identity shared by n = 3f+1 operators.

Map, top to bottom; a package imports only from lower ones (`docs/architecture.md` draws it):
cli, node roles (middleware, validator, rollup, batcher, execution), p2p and l1, apis, runtime; then the pure
cores qbft, sealing, mempool, slashing; then crypto and spec.
"""

__version__ = "0.1.0"
