"""The rollup node: op-node's role. Top-down:

main            role entry: configuration in, exit code out; assembles the rest
node            what it serves: the Beacon API and `/dst/v1/` over the parts below
operator        the driver of a cluster member: produce, validate, decided, publish
follower        the driver outside the cluster: follows operators, or L1 alone
importer        executes and stores blocks that a group signature covers
scanner         reads the inbox on L1: the derived chain, safe and finalized heads
reset_watch     does L1 still hold the origins of our decided blocks?
engine_controller  one call at a time, fresh validations abortable, refill of a lost head
chain           heads and block look-ups over the store
store           SQLite: blocks, certificates, signatures, batches found, scan cursor
evidence        two signed blocks at one height: written down, and the node stops
events          the ring buffer of `/dst/v1/events`, the bus of the standard event stream
wrapping        payload to beacon block and back (pure)
trust           group signatures and certificates against the lock (pure)
spec_values     the constants of `config/spec`
config          rollup.json
"""
