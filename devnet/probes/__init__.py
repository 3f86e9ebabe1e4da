"""Eyes of the harness: `events` tails every node's event stream, `chain` reads the end state, `rpc`
is one JSON-RPC call.

Probes use the `probe>` links, which no fault ever touches.
"""
