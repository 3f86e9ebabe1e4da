"""Transactions before they are in a block. Pure: no clock, no disk, no network.

pool         add, replace, evict, follow the head; queue: one sender's; tails: who is evicted next
ordering     what a block takes next
heavy        what is known of transactions that a block had no time for
departures   why a transaction left, for the sender who asks
"""
