"""Transactions that each spend their gas on what is slowest for its price, and the client that
sends them in turn.

assembly (a small assembler), programs (loops and calls), precompiles, opcodes, contracts and fields
(the catalogue's parts), catalogue (all of it by name), client (sends one after another and learns
each one's fate).
"""
