"""Flags and files in, exit code out: main (front door), cluster (dealer), genesis (L2 genesis),
dev_contracts (what a `dev` genesis holds beside accounts)."""
