"""The state under a block: who owns what, under which root.

node_format  a trie node in memory, as RLP and packed
nodes        nodes by version and path; their cache
ordered      the root over a list
trie         Merkle-Patricia trie: reads, proofs, batches of writes
account      one account, as its leaf and as a flat value
reader       one state, read-only
overlay      the running block over a reader, with an undo log
commit       overlay to root, nodes, codes and the change in flat values
flat         layers of changes over a flat base
"""
