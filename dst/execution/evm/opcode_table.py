"""The opcodes that `translator` writes inline: fixed price, operands, and Python for what they do.

`{0}` is the operand from the top of the stack, `{1}` the one below. Operands are local names or
literals, never negative, so Python's precedence of binary operators is all that has to be minded
(`&` binds weaker than `+`, `*` and `<<`).

Names in the expressions: `c` the computation, `gas` what is left, `A` its storage address, `D` its
call data, `X` the block, `mem` its memory, `V` and `W` the state's slots and warm set, `M` 2^256-1,
and the functions of `dst.execution.evm.operations`.

Source: yellow paper appendix H.2; EIP-1344, 1884, 3198, 3855, 4399.
"""

from typing import Final, NamedTuple


class Expression(NamedTuple):
    """An opcode that takes operands and pushes one value."""

    gas: int
    operands: int
    python: str


EXPRESSIONS: Final = {
    0x01: Expression(3, 2, "({0} + {1}) & M"),
    0x02: Expression(5, 2, "{0} * {1} & M"),
    0x03: Expression(3, 2, "({0} - {1}) & M"),
    0x04: Expression(5, 2, "{0} // {1} if {1} else 0"),
    0x05: Expression(5, 2, "sdiv({0}, {1})"),
    0x06: Expression(5, 2, "{0} % {1} if {1} else 0"),
    0x07: Expression(5, 2, "smod({0}, {1})"),
    0x08: Expression(8, 3, "({0} + {1}) % {2} if {2} else 0"),
    0x09: Expression(8, 3, "{0} * {1} % {2} if {2} else 0"),
    0x0B: Expression(5, 2, "signextend({0}, {1})"),
    0x10: Expression(3, 2, "1 if {0} < {1} else 0"),
    0x11: Expression(3, 2, "1 if {0} > {1} else 0"),
    0x12: Expression(3, 2, "1 if signed({0}) < signed({1}) else 0"),
    0x13: Expression(3, 2, "1 if signed({0}) > signed({1}) else 0"),
    0x14: Expression(3, 2, "1 if {0} == {1} else 0"),
    0x15: Expression(3, 1, "0 if {0} else 1"),
    0x16: Expression(3, 2, "{0} & {1}"),
    0x17: Expression(3, 2, "{0} | {1}"),
    0x18: Expression(3, 2, "{0} ^ {1}"),
    0x19: Expression(3, 1, "M - {0}"),
    0x1A: Expression(3, 2, "{1} >> 8 * (31 - {0}) & 255 if {0} < 32 else 0"),
    0x1B: Expression(3, 2, "{1} << {0} & M if {0} < 256 else 0"),
    0x1C: Expression(3, 2, "{1} >> {0} if {0} < 256 else 0"),
    0x1D: Expression(3, 2, "sar({0}, {1})"),
    0x30: Expression(2, 0, "integer(A)"),  # ADDRESS
    0x32: Expression(2, 0, "integer(c.transaction_context._origin)"),
    0x33: Expression(2, 0, "integer(c.msg.sender)"),
    0x34: Expression(2, 0, "c.msg.value"),
    0x35: Expression(3, 1, "word_of(D, {0})"),  # CALLDATALOAD
    0x36: Expression(2, 0, "len(D)"),
    0x38: Expression(2, 0, "len(c.msg.code)"),
    0x3A: Expression(2, 0, "c.transaction_context._gas_price"),
    0x3D: Expression(2, 0, "len(c.return_data)"),
    0x40: Expression(20, 1, "integer(c.state.get_ancestor_hash({0}))"),  # BLOCKHASH
    0x41: Expression(2, 0, "integer(X.coinbase)"),
    0x42: Expression(2, 0, "X.timestamp"),
    0x43: Expression(2, 0, "X.block_number"),
    0x44: Expression(2, 0, "integer(X.mix_hash)"),  # PREVRANDAO
    0x45: Expression(2, 0, "X.gas_limit"),
    0x46: Expression(2, 0, "X.chain_id"),
    0x47: Expression(5, 0, "c.accounts.get_balance(A)"),  # SELFBALANCE
    0x48: Expression(2, 0, "X.base_fee_per_gas"),
    0x49: Expression(3, 1, "0"),  # BLOBHASH: no transaction carries blobs
    0x4A: Expression(2, 0, "c.state.blob_base_fee"),
    0x59: Expression(2, 0, "len(mem)"),  # MSIZE
    0x5C: Expression(100, 1, "c.accounts.transient.get((A, {0}), 0)"),  # TLOAD
}


class Statements(NamedTuple):
    """An opcode with an effect, or a price that depends on its operands. `{t}` is the name of the
    value it pushes, if it does; `{ahead}` the fixed prices of what follows in the segment."""

    gas: int
    operands: int
    pushes: bool
    python: tuple[str, ...]


_OUT_OF_GAS: Final = "if gas < 0: raise OutOfGas('dynamic price')"

STATEMENTS: Final = {
    0x0A: Statements(  # EXP
        10,
        2,
        True,
        (
            "gas -= 50 * (({1}).bit_length() + 7 >> 3)",
            _OUT_OF_GAS,
            "{t} = pow({0}, {1}, CEILING)",
        ),
    ),
    0x20: Statements(30, 2, True, ("{t}, gas = keccak(c, {0}, {1}, gas)",)),
    0x31: Statements(  # BALANCE
        0,
        1,
        True,
        (
            "a = address_of({0})",
            "gas = access(c, a, gas)",
            "{t} = c.accounts.get_balance(a)",
        ),
    ),
    0x37: Statements(3, 3, False, ("gas = copy_call_data(c, {0}, {1}, {2}, gas)",)),
    0x39: Statements(3, 3, False, ("gas = copy_code(c, {0}, {1}, {2}, gas)",)),
    0x3B: Statements(  # EXTCODESIZE
        0,
        1,
        True,
        (
            "a = address_of({0})",
            "gas = access(c, a, gas)",
            "{t} = len(program_at(c.accounts, a).code)",
        ),
    ),
    0x3C: Statements(0, 4, False, ("gas = copy_other_code(c, {0}, {1}, {2}, {3}, gas)",)),
    0x3E: Statements(3, 3, False, ("gas = copy_return_data(c, {0}, {1}, {2}, gas)",)),
    0x3F: Statements(  # EXTCODEHASH
        0,
        1,
        True,
        ("a = address_of({0})", "gas = access(c, a, gas)", "{t} = code_hash_of(c, a)"),
    ),
    0x54: Statements(  # SLOAD
        0,
        1,
        True,
        (
            "k = (A, {0})",
            "if k in W: gas -= 100",
            "else: gas = access_slot(c, k, gas)",
            _OUT_OF_GAS,
            "{t} = V.get(k)",
            "if {t} is None: {t} = c.accounts.get_storage(A, {0})",
        ),
    ),
    0x55: Statements(0, 2, False, ("gas = sstore(c, {0}, {1}, gas, {ahead})",)),
    0x5A: Statements(2, 0, True, ("{t} = gas + {ahead}",)),  # GAS
    0x5D: Statements(100, 2, False, ("tstore(c, {0}, {1})",)),
    0x5E: Statements(3, 3, False, ("gas = copy_memory(c, {0}, {1}, {2}, gas)",)),
    **{
        0xA0 + topics: Statements(
            375 * (topics + 1),
            2 + topics,
            False,
            (
                "gas = log(c, {0}, {1}, ("
                + "".join(f"{{{number}}}, " for number in range(2, 2 + topics))
                + "), gas)",
            ),
        )
        for topics in range(5)
    },
}
