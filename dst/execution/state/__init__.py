"""The state under a block: who owns what, under which root.

trie     Merkle-Patricia trie, incremental
account  one account, encoded as its leaf
reader   one state root, read-only
overlay  the running block over a reader, with an undo log
commit   overlay to root, nodes and codes
"""
