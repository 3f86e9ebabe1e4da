"""A block: its body executed, its requests, and how one is built from the pool."""
