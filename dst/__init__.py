"""Distributed Sequencer Technology: one sequencer identity shared by n = 3f+1 operators.

Map, top to bottom; a package imports only from lower ones (`docs/architecture.md` draws it): cli;
the roles middleware, validator, rollup and execution; batcher; p2p and l1; apis; runtime; the pure
cores qbft, sealing, derivation, mempool and slashing; crypto; spec.
"""

__version__ = "0.1.0"
