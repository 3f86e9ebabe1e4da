"""Wire structs with their client and server bindings; no decisions.

rest        what the REST APIs share: error bodies, content negotiation, server-sent events, a
client session
beacon      the streamlined Beacon API between follower, rollup node, middleware and validator
client
dst_v1      what the standard has no call for, under `/dst/v1/`
engine      the Engine API between rollup node and execution layer
"""
