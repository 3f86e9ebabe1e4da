"""The one package that knows py-evm: it runs messages on a state root.

py-evm gives the rules of the outermost call and creation, its computation's interface to opcodes, a
few opcodes, and in stock mode everything. Ours are the state, transaction validity before any
change, native precompiles, child calls, and code translated to Python. All through its extension
points; nothing in it is patched.

computation    one message call being run
message        a message call or creation, and its transaction, as the opcodes read them
interpreter    the loop: translated blocks where code is hot, handlers where it is not
translator     bytecode to Python; its invariants. translation: how the text grows; opcode_table:
               what is written for each opcode; operations: the functions that this text calls
handlers       the opcodes by number; calls: those that make a child
program        code and what is known about it, in a cache by code hash
state          py-evm's view of a block over our accounts
precompiles    the table by address, and what is behind each
messages       a message from outside on one block's state
overrides      the state that a call pretends
tracer         what one sees of a run; tracing: a run with one beside it; refused_messages: calls
               and creations that never began; opcodes, words: how it is called

Time. Every run takes an `Interrupt`, asked at each message call, every 10,000 gas, and by whatever
takes long for its gas; it stops the run by raising `ExecutionAborted`.
"""
