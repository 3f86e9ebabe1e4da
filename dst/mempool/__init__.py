"""Transactions before they are in a block: pool (add, replace, evict), ordering (what a block takes
next). Pure: no clock, no disk, no network.
"""
