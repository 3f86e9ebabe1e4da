"""Contracts as people deploy them, by hand: a token, a pool that swaps two, plain computing."""

from typing import Final

from tests.unit.execution.assembler import assemble

TRANSFER: Final = 0xA9059CBB
TRANSFER_FROM: Final = 0x23B872DD
APPROVE: Final = 0x095EA7B3
MINT: Final = 0x40C10F19
SWAP: Final = 0x94B918DE
SYNC: Final = 0x40993B26
"""Sets the reserves: what liquidity is elsewhere."""
_TRANSFER_EVENT: Final = 0xDDF252AD1BE2C89B69C2B068FC378DAA952BA7F163C4A11628F55A4DF523B3EF
_SWAP_EVENT: Final = 0xD78AD95FA46C994B6551D0DA85FC275FE613CE37657FB8D5E3D130840159D822

_BALANCE_SLOT: Final = "0 MSTORE 0 32 MSTORE 64 0 KECCAK256"
"""address -> slot of `mapping(address => uint256)` at 0."""
_ALLOWANCE_SLOT: Final = "0 MSTORE 1 32 MSTORE 64 0 KECCAK256 32 MSTORE 0 MSTORE 64 0 KECCAK256"
"""owner, then spender below it -> slot of the nested mapping at 1."""
_TAKE: Final = "DUP1 SLOAD DUP3 DUP2 LT @fail JUMPI DUP3 SWAP1 SUB SWAP1 SSTORE"
"""amount, slot -> amount; reverts when the slot holds less."""
_GIVE: Final = "DUP1 SLOAD DUP3 ADD SWAP1 SSTORE"
_TRUE: Final = "1 0 MSTORE 32 0 RETURN"


def token() -> bytes:
    """transfer, transferFrom with allowance, approve, mint; a Transfer event each."""

    def moved(sender: str, receiver: str) -> str:
        return f"0 MSTORE {receiver} {sender} {_TRANSFER_EVENT} 32 0 LOG3 {_TRUE}"

    first, second, third = (f"{at} CALLDATALOAD" for at in (4, 36, 68))
    return assemble(
        f"""
        0 CALLDATALOAD 224 SHR
        DUP1 {TRANSFER} EQ @transfer JUMPI
        DUP1 {TRANSFER_FROM} EQ @from JUMPI
        DUP1 {APPROVE} EQ @approve JUMPI
        DUP1 {MINT} EQ @mint JUMPI
        fail: 0 0 REVERT
        transfer: {second} CALLER {_BALANCE_SLOT} {_TAKE} {first} {_BALANCE_SLOT} {_GIVE}
            {moved("CALLER", first)}
        from: {third} CALLER {first} {_ALLOWANCE_SLOT} {_TAKE}
            {first} {_BALANCE_SLOT} {_TAKE} {second} {_BALANCE_SLOT} {_GIVE}
            {moved(first, second)}
        approve: {second} {first} CALLER {_ALLOWANCE_SLOT} SSTORE {_TRUE}
        mint: {second} 2 {_GIVE} {first} {_BALANCE_SLOT} {_GIVE}
            {moved("0", first)}
        """
    )


def pool(token_in: int, token_out: int) -> bytes:
    """swap(amount): constant product less 0.3 %, two token calls, reserves, a price sum, an event.

    Slots: 0 and 1 the reserves, 2 the price sum, 3 the time of the last swap.
    """
    call = "32 0 {size} 256 0 {to} GAS CALL ISZERO @fail JUMPI"
    take = (
        f"{TRANSFER_FROM} 224 SHL 256 MSTORE CALLER 260 MSTORE ADDRESS 292 MSTORE DUP1 324 MSTORE "
        + call.format(size=100, to=token_in)
    )
    give = f"{TRANSFER} 224 SHL 256 MSTORE CALLER 260 MSTORE DUP1 292 MSTORE " + call.format(
        size=68, to=token_out
    )
    return assemble(
        f"""
        0 CALLDATALOAD 224 SHR
        DUP1 {SWAP} EQ @swap JUMPI
        {SYNC} EQ @sync JUMPI
        fail: 0 0 REVERT
        sync: 4 CALLDATALOAD 0 SSTORE 36 CALLDATALOAD 1 SSTORE TIMESTAMP 3 SSTORE STOP
        swap: 4 CALLDATALOAD {take}
            DUP1 997 MUL
            DUP1 0 SLOAD 1000 MUL ADD
            SWAP1 1 SLOAD MUL DIV
            DUP1 ISZERO @fail JUMPI
            {give}
            0 SLOAD 1 SLOAD 112 SHL DIV 3 SLOAD TIMESTAMP SUB MUL 2 SLOAD ADD 2 SSTORE
            TIMESTAMP 3 SSTORE
            DUP1 1 SLOAD SUB 1 SSTORE
            0 SLOAD DUP3 ADD 0 SSTORE
            0 MSTORE 32 MSTORE CALLER {_SWAP_EVENT} 64 0 LOG2
            32 0 RETURN
        """
    )


def computing() -> bytes:
    """As many turns of a mixing loop as the first word of calldata says, 100 gas each or so."""
    turn = "DUP1 MUL 0xff51afd7ed558ccd MUL DUP1 33 SHR XOR 7 ADD DUP1 64 SHL OR"
    return assemble(
        f"""
        0 CALLDATALOAD 1
        loop: {turn} SWAP1 1 SWAP1 SUB SWAP1 DUP2 @loop JUMPI
        0 MSTORE 32 0 RETURN
        """
    )


def calldata(selector: int, *words: int) -> bytes:
    return selector.to_bytes(4, "big") + b"".join(word.to_bytes(32, "big") for word in words)
