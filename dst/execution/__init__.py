"""The execution layer as a program: Prague from genesis, persistent, driven by the Engine API,
asked by JSON-RPC.

header, receipts     block header, receipts and logs; genesis: block 0 and its state
environment          what an execution is given and gives back; interrupts: ways to stop one
state                trie, flat layers, accounts of one state, the running block's overlay
evm                  the one package that knows py-evm: runs messages on a state
block                a block's body executed; a block built from the pool within its time
store, chain         blocks on disk; our own head, safe and finalized (never py-evm's fork choice)
block_format, flat_store   how bodies, receipts and the flat base lie in the store
states, pruning      every state that can be read; which ones stay
block_rlp, transfer  chains as files: export, import, snapshot, restore; bulk: a large state at once
pool                 the pool as a service; forwarder: once to each of the other operators
engine_service       the rules of the Engine API
events, slots        what happened, told to listeners; how old the head is
rpc                  the JSON-RPC: dispatch table, families of methods, views
main                 the role: config in, exit code out
"""

import os

from dst.crypto import keccak

# py-evm hashes through eth-hash, which picks its backend at the first hash and knows two of ours.
os.environ.setdefault(
    "ETH_HASH_BACKEND", "pysha3" if keccak.NAME == "safe-pysha3" else "pycryptodome"
)
