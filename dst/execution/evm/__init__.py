"""The one package that knows py-evm: it runs messages on a state root.

py-evm gives the opcodes, call and create semantics and gas rules. Ours are the state, transaction
validity before any change, native precompiles, and an opcode loop that can be interrupted. All
through its extension points; nothing in it is patched.

computation  one message call being run: py-evm's, lean, with a loop that can be interrupted
message      a message call or creation, and its transaction, as the opcodes read them
program      code and what is known about it, in a cache by code hash
handlers     the opcodes by number; calls: those that make a child
state        py-evm's view of a block over our accounts
precompiles  the table by address; bls12_381: EIP-2537
messages     a message from outside on one block's state
call         a message that is never mined

Time. Every run takes an `Interrupt`, called at each message call and every few hundred opcodes; it
stops the run by raising `ExecutionAborted`.
"""
