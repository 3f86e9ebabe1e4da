"""Signed transactions by the protocol's rules: decode (transaction), what they pay (gas), which may
be in a block (validity). Pure; shared by pool, builder, importer and derivation.
"""
