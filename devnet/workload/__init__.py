"""Clients that submit transactions and record how each submission ended (Jepsen's ok, fail,
info)."""
