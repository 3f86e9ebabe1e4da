"""Transactions before they are in a block: transaction (decode), validity (the one rule set that
pool, builder and importer share), pool (add, replace, evict), ordering (what a block takes
next). Pure: no clock, no disk, no network.
"""
