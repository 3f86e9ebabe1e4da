"""JSON-RPC over the chain and the pool."""
