"""QBFT, sans-I/O: messages, inputs, effects, records, state, justification (predicates), upon
(rules), step (entry).

Nothing here awaits, reads a clock, draws randomness, opens a file or logs.
"""
