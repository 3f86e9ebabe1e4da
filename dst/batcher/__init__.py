"""L2 blocks in, batcher transactions out. A role inside the rollup node of an operator.

plan       whose turn it is, and how blocks are split into frames (pure)
batcher    the loop: when it is our turn, post what is missing on L1
"""
