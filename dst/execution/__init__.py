"""The execution layer as a program: Prague from genesis, persistent, driven by the Engine API,
asked by JSON-RPC.

From the top; a module imports only from lines below its own (checked by `make contracts`):

main; transfer       the role: config in, exit code out; chains as files: export, import, snapshot
assembly, config     its parts put together; what it is told
rpc; engine_rpc      the JSON-RPC: dispatch table, families of methods, views; the Engine API's
engine_service       the rules of the Engine API; weigher: how heavy is it?; sealed: how far?
builds; call_workers blocks in the making, by payload id; threads for calls, shared fairly
pool; events; turns  the pool as a service; what happened, told to listeners; who may run when
chain                blocks and our own head, safe and finalized (never py-evm's fork choice)
states, pruning      every state that can be read; which ones stay; bulk: a large state at once
store                blocks on disk; block_format, flat_store: how bodies, receipts and state lie
block                a block's body executed, built, executed again; messages that no block carries
tracers              what clients want to see of a run, a file each; block_rlp: blocks as RLP
evm                  the one package that knows py-evm: runs messages on a state
slots, interrupts    how old the head is; ways to stop a run; reverts: what a revert says
environment, genesis what an execution is given and gives back; block 0 and its state
header, receipts     block header, receipts and logs
state                trie, flat layers, accounts of one state, the running block's overlay
"""

import os

from dst.crypto import keccak

# py-evm hashes through eth-hash, which picks its backend at the first hash and knows two of ours.
os.environ.setdefault(
    "ETH_HASH_BACKEND", "pysha3" if keccak.NAME == "safe-pysha3" else "pycryptodome"
)
