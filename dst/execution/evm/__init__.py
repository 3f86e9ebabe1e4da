"""The one package that knows py-evm: it runs messages on a state root.

py-evm gives the opcodes, call and create semantics and gas rules. Ours are the state, transaction
validity before any change, native precompiles, and an opcode loop that can be interrupted. All
through its extension points; nothing in it is patched.

computation  py-evm's extension points: message call, view of a block
precompiles  the table by address; bls12_381: EIP-2537
messages     a message from outside on one block's state
call         a message that is never mined

Time. Every run takes an `Interrupt`, called at each message call and every few hundred opcodes; it
stops the run by raising `ExecutionAborted`.
"""
