"""The execution layer as a program: Prague from genesis, persistent, driven by the Engine API,
asked by JSON-RPC.

trie, state, header  the data: Merkle-Patricia trie, one block's overlay over a state root, headers
evm                  the one module that knows py-evm: executes one block or one call
store, chain         blocks on disk; our own head, safe and finalized (never py-evm's fork choice)
payload_builder      a block from the pool, bounded by wall clock
engine_service       the rules of the Engine API; eth_service, filters, views: of the JSON-RPC
forwarder            a client's transaction goes once to each of the other operators
main                 the role: config in, exit code out
"""

import os

# py-evm hashes through eth-hash, which picks its backend at the first hash; the native one is
# eight times faster.
os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")
