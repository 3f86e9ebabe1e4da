"""Links between operators: framing, handshake and reachability (sans-I/O), tls (pinned
certificates), transport (the links), watch (who is lost).

A link is dialled by its sender and carries messages one way; the other way carries only HELLO and
pongs. What it promises: authenticated peer, frames whole and in order while the link lasts, nothing
about delivery across a reconnect.
"""
