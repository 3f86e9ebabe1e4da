"""The validator client: window (which slots to ask for), client (the loop), signer (only holder of
the key share), protection (durable EIP-3076 store), transfer (export, import), main (start)."""
