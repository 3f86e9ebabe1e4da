"""Transactions that make every kind of frame and step, on a genesis that any client takes."""

from typing import Any

from eth_account import Account

from dst.spec.primitives import Address
from dst.transactions.transaction import Transaction
from tests.unit.execution.evm.asm import asm, call, init_code, push
from tests.unit.execution.worlds import ADDRESSES, CHAIN_ID, KEYS, address_of, signed

LOGGER, REVERTER, STORE, CHILD = (address_of(number) for number in (0xA1, 0xA2, 0xA3, 0xA4))
PARENT, MAKER, POOR, DEEP = (address_of(number) for number in (0xB1, 0xB2, 0xB3, 0xB4))
BURNER, DOOMED, PANICKER, JUMPER = (address_of(number) for number in (0xB5, 0xB6, 0xB7, 0xB8))
READER, ECHO, CLEARER = (address_of(number) for number in (0xB9, 0xBA, 0xBB))
IDENTITY = address_of(4)
DELEGATOR = ADDRESSES[3]

ERROR_TEXT = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (5).to_bytes(32, "big")
ERROR_TEXT += b"wrong".ljust(32, b"\x00")


def revert_with(data: bytes) -> bytes:
    stores = b"".join(
        push(int.from_bytes(data[at : at + 32].ljust(32, b"\x00"), "big")) + push(at) + b"\x52"
        for at in range(0, len(data), 32)
    )
    return stores + push(len(data)) + asm("0 REVERT")


_log_both = "7 0 MSTORE 0x1234 0x5678 32 0 LOG2 0 0 LOG0 "
_small = init_code(asm("0 0 RETURN"))
_bad = init_code(asm("0 0 RETURN"), asm("1 2 3 POP POP POP INVALID"))

CODES: dict[Address, bytes] = {
    LOGGER: asm(_log_both + "STOP"),
    REVERTER: asm("0xabcd 32 0 LOG1") + revert_with(ERROR_TEXT),
    PANICKER: revert_with(bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big")),
    STORE: asm("1 SLOAD 1 ADD 1 SSTORE 2 SLOAD POP 0 3 SSTORE 5 4 SSTORE 0 4 SSTORE STOP"),
    CHILD: asm("CALLVALUE 0 MSTORE 32 0 RETURN"),
    PARENT: asm(
        " ".join(
            (
                "0xa1b2c3d4 224 SHL 0 MSTORE",
                call(CHILD, value=3, data=36),
                call(LOGGER),
                call(REVERTER, data=4),
                call(STORE, kind="DELEGATECALL"),
                call(STORE),
                call(CHILD, kind="STATICCALL", data=32),
                call(STORE, kind="STATICCALL"),
                call(CHILD, kind="CALLCODE", value=1),
                call(IDENTITY, kind="STATICCALL", data=64),
                call(PANICKER),
                call(address_of(0x777), value=1),
                _log_both,
                "RETURNDATASIZE 0 MSTORE 32 0 RETURN",
            )
        )
    ),
    MAKER: push(int.from_bytes(_small.rjust(64, b"\x00")[:32], "big"))
    + asm("0 MSTORE")
    + push(int.from_bytes(_small.rjust(64, b"\x00")[32:], "big"))
    + asm(f"32 MSTORE {len(_small)} {64 - len(_small)} 0 CREATE POP")
    + asm(f"99 {len(_small)} {64 - len(_small)} 1 CREATE2 POP")
    + asm(f"99 {len(_small)} {64 - len(_small)} 0 CREATE2 POP")
    + push(int.from_bytes(_bad.rjust(64, b"\x00")[:32], "big"))
    + asm("0 MSTORE")
    + push(int.from_bytes(_bad.rjust(64, b"\x00")[32:], "big"))
    + asm(f"32 MSTORE {len(_bad)} {64 - len(_bad)} 0 CREATE POP STOP"),
    POOR: asm(
        call(CHILD, value=10**30)
        + " 0 0 1000000000000000000000000000000 CREATE POP "
        + call(CHILD, kind="CALLCODE", value=10**30)
        + " STOP"
    ),
    DEEP: asm("0 0 0 0 0 ADDRESS GAS CALL POP STOP"),
    BURNER: asm(call(JUMPER, gas=3_000) + call(DEEP, gas=5_000) + "JUMPDEST 1 0 SSTORE " * 40),
    DOOMED: asm("0xbeef SELFDESTRUCT"),
    JUMPER: asm("99 JUMP"),
    READER: asm(
        f"0x{ADDRESSES[2].hex()} BALANCE POP {int.from_bytes(CHILD, 'big')} EXTCODESIZE POP "
        f"{int.from_bytes(LOGGER, 'big')} EXTCODEHASH POP 8 0 0 {int.from_bytes(STORE, 'big')} "
        "EXTCODECOPY 64 MLOAD POP 1 2 TSTORE 2 TLOAD POP 32 0 KECCAK256 POP 5 3 EXP POP "
        "32 0 64 MCOPY PC MSIZE GAS SELFBALANCE CHAINID GASPRICE ORIGIN CALLER POP POP STOP"
    ),
    ECHO: asm("CALLDATASIZE 0 0 CALLDATACOPY CALLDATASIZE 0 RETURN"),
    CLEARER: asm("1 SLOAD POP 0 1 SSTORE " + call(DOOMED) + " STOP"),
}
STORAGE: dict[Address, dict[int, int]] = {STORE: {3: 7}, PARENT: {1: 41, 3: 9}, CLEARER: {1: 5}}
BALANCES = {PARENT: 1_000, DOOMED: 77, MAKER: 10}


def genesis_alloc(genesis: dict[str, Any]) -> dict[str, Any]:
    """`genesis` with the scenario's storage and balances."""
    for address, slots in STORAGE.items():
        genesis["alloc"]["0x" + address.hex()]["storage"] = {
            f"0x{slot:064x}": f"0x{value:064x}" for slot, value in slots.items()
        }
    for address, wei in BALANCES.items():
        genesis["alloc"]["0x" + address.hex()]["balance"] = hex(wei)
    return genesis


def transactions() -> list[Transaction]:
    """Sent one a block or all in one; nonces count from 0."""
    calls: list[dict[str, Any]] = [
        {"to": ADDRESSES[1], "value": 5},
        {"to": PARENT, "data": bytes.fromhex("a1b2c3d4") + bytes(32)},
        {"to": MAKER},
        {"to": POOR},
        {"to": DEEP, "gas": 200_000},
        {"to": BURNER, "gas": 60_000},
        {"to": REVERTER, "data": b"\x01\x02\x03\x04"},
        {"to": PANICKER},
        {"to": JUMPER, "gas": 50_000},
        {"to": READER},
        {"to": CLEARER},
        {"to": DOOMED},
        {"to": b"", "data": _small, "value": 2},
        {"to": b"", "data": revert_with(ERROR_TEXT)},
        {"to": b"", "data": init_code(b"\xef\x00")},
        {"to": IDENTITY, "data": b"\x11" * 40},
        {"to": STORE},
        {"to": ECHO, "data": b"\xaa" * 70},
    ]
    made = [
        signed(**{"value": 0, "gas": 600_000, "nonce": nonce, **fields})
        for nonce, fields in enumerate(calls)
    ]
    authorization = Account.from_key(KEYS[3]).sign_authorization(
        {"chainId": CHAIN_ID, "address": CHILD, "nonce": 0}
    )
    fields: dict[str, Any] = {
        "type": 4,
        "to": DELEGATOR,
        "value": 9,
        "gas": 300_000,
        "nonce": len(made),
    }
    made.append(signed(**fields, authorizationList=[authorization]))
    made.append(signed(to=DELEGATOR, value=1, gas=100_000, nonce=len(made)))
    return made
