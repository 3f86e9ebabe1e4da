"""From L1 calldata back to the chain: pure functions and values.

frame   one inbox transaction: header, group signature, compressed blocks; authenticated before it
is decompressed
batch   what a frame holds, and whether it extends what was derived so far
"""
