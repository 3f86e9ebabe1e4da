"""The L2 genesis block: from a geth-style genesis file to a header, and to the state under it.

The file is one that a stock geth takes too: Prague from genesis, no proof of work. `prague_genesis`
writes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from dst.execution.header import INITIAL_BASE_FEE, Header
from dst.execution.state.commit import StateCommit, commit
from dst.execution.state.nodes import EMPTY_REF, NodeStore, nothing_stored
from dst.execution.state.overlay import BlockState
from dst.execution.state.reader import StateReader
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import ZERO_ADDRESS, Address, Hash32, parse_hex, to_hex

BEACON_ROOTS_ADDRESS: Final = Address(bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02"))
HISTORY_STORAGE_ADDRESS: Final = Address(bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935"))
WITHDRAWAL_REQUESTS_ADDRESS: Final = Address(
    bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002")
)
CONSOLIDATION_REQUESTS_ADDRESS: Final = Address(
    bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251")
)

_BEACON_ROOTS_CODE: Final = (
    "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001f"
    "ff810690815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff"
    "015500"
)
_HISTORY_STORAGE_CODE: Final = (
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff"
    "81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)
_WITHDRAWAL_REQUESTS_CODE: Final = (
    "3373fffffffffffffffffffffffffffffffffffffffe1460cb5760115f54807fffffffffffffffffffffffffffffff"
    "ffffffffffffffffffffffffffffffffff146101f457600182026001905f5b5f821115606857810190830284830290"
    "04916001019190604d565b909390049250505036603814608857366101f457346101f4575f5260205ff35b34106101"
    "f457600154600101600155600354806003026004013381556001015f35815560010160203590553360601b5f526038"
    "5f601437604c5fa0600101600355005b6003546002548082038060101160df575060105b5f5b818114610183578281"
    "0160030260040181604c02815460601b8152601401816001015481526020019060020154807fffffffffffffffffff"
    "ffffffffffffff00000000000000000000000000000000168252906010019060401c908160381c8160070153816030"
    "1c81600601538160281c81600501538160201c81600401538160181c81600301538160101c81600201538160081c81"
    "600101535360010160e1565b910180921461019557906002556101a0565b90505f6002555f6003555b5f54807fffff"
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff14156101cd57505f5b6001546002828201"
    "116101e25750505f6101e8565b01600290035b5f555f600155604c025ff35b5f5ffd"
)
_CONSOLIDATION_REQUESTS_CODE: Final = (
    "3373fffffffffffffffffffffffffffffffffffffffe1460d35760115f54807fffffffffffffffffffffffffffffff"
    "ffffffffffffffffffffffffffffffffff1461019a57600182026001905f5b5f821115606857810190830284830290"
    "04916001019190604d565b9093900492505050366060146088573661019a573461019a575f5260205ff35b34106101"
    "9a57600154600101600155600354806004026004013381556001015f35815560010160203581556001016040359055"
    "3360601b5f5260605f60143760745fa0600101600355005b6003546002548082038060021160e7575060025b5f5b81"
    "81146101295782810160040260040181607402815460601b8152601401816001015481526020018160020154815260"
    "20019060030154905260010160e9565b910180921461013b5790600255610146565b90505f6002555f6003555b5f54"
    "807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff141561017357505f5b60015460"
    "01828201116101885750505f61018e565b01600190035b5f555f6001556074025ff35b5f5ffd"
)

PREDEPLOYS: Final[Mapping[Address, bytes]] = {
    BEACON_ROOTS_ADDRESS: bytes.fromhex(_BEACON_ROOTS_CODE),
    HISTORY_STORAGE_ADDRESS: bytes.fromhex(_HISTORY_STORAGE_CODE),
    WITHDRAWAL_REQUESTS_ADDRESS: bytes.fromhex(_WITHDRAWAL_REQUESTS_CODE),
    CONSOLIDATION_REQUESTS_ADDRESS: bytes.fromhex(_CONSOLIDATION_REQUESTS_CODE),
}
"""The system contracts of Cancun and Prague, code as their EIPs print it (4788, 2935, 7002, 7251).
A Prague block is invalid without the last two."""


class GenesisConfig(msgspec.Struct, rename="camel", frozen=True):
    chain_id: int


class GenesisAccount(msgspec.Struct, frozen=True):
    balance: str | int = "0x0"
    nonce: str | int = "0x0"
    code: str = "0x"
    storage: dict[str, str] = {}


class GenesisFile(msgspec.Struct, rename="camel", frozen=True):
    """geth's format; keys we do not need are skipped, because it is not ours."""

    config: GenesisConfig
    timestamp: str | int
    gas_limit: str | int
    alloc: dict[str, GenesisAccount]
    extra_data: str = "0x"
    coinbase: str = to_hex(ZERO_ADDRESS)
    mix_hash: str = to_hex(bytes(32))
    base_fee_per_gas: str | int = INITIAL_BASE_FEE
    difficulty: str | int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    chain_id: int
    header: Header
    state: StateCommit


def load_genesis(path: Path) -> Genesis:
    """Read a genesis file. Raises: BadConfig naming the file and what is wrong."""
    try:
        return read_genesis(msgspec.json.decode(path.read_bytes()))
    except OSError as error:
        raise BadConfig(f"genesis {path}: {error.strerror}") from None
    except (ValueError, RecursionError, InvalidInput) as error:
        raise BadConfig(f"genesis {path}: {error}") from None


def genesis_block_header(genesis_json: Mapping[str, Any]) -> Header:
    """The header of block 0 (`.hash`, `.state_root`, ...). Raises: InvalidInput."""
    return read_genesis(genesis_json).header


def read_genesis(genesis_json: Mapping[str, Any]) -> Genesis:
    """Compute header and state of a decoded genesis file. Raises: InvalidInput."""
    try:
        file = msgspec.convert(genesis_json, GenesisFile)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(error)) from None
    if _number(file.difficulty, "difficulty"):
        raise InvalidInput("difficulty must be 0: this chain never had proof of work")
    state = _genesis_state(file.alloc)
    header = Header(
        fee_recipient=Address(parse_hex(file.coinbase, 20, what="coinbase")),
        state_root=state.root,
        number=0,
        gas_limit=_number(file.gas_limit, "gasLimit"),
        timestamp=_number(file.timestamp, "timestamp"),
        extra_data=parse_hex(file.extra_data, what="extraData"),
        prev_randao=Hash32(parse_hex(file.mix_hash, 32, what="mixHash")),
        base_fee_per_gas=_number(file.base_fee_per_gas, "baseFeePerGas"),
    )
    return Genesis(chain_id=file.config.chain_id, header=header, state=state)


def prague_genesis(
    *,
    chain_id: int,
    timestamp: int,
    gas_limit: int,
    balances: Mapping[Address, int],
    extra_data: bytes = b"",
    fee_recipient: Address = ZERO_ADDRESS,
    codes: Mapping[Address, bytes] | None = None,
) -> dict[str, Any]:
    """A genesis file as a JSON-ready dict: `balances` in wei, the predeploys, every fork at 0."""
    contracts = {**PREDEPLOYS, **(codes or {})}
    alloc = {to_hex(address): {"balance": hex(wei)} for address, wei in balances.items()}
    for address, code in contracts.items():
        balance = hex(balances.get(address, 0))
        alloc[to_hex(address)] = {"balance": balance, "nonce": "0x1", "code": to_hex(code)}
    return {
        "config": _fork_schedule(chain_id),
        "nonce": "0x0",
        "timestamp": hex(timestamp),
        "extraData": to_hex(extra_data),
        "gasLimit": hex(gas_limit),
        "difficulty": "0x0",
        "mixHash": to_hex(bytes(32)),
        "coinbase": to_hex(fee_recipient),
        "baseFeePerGas": hex(INITIAL_BASE_FEE),
        "alloc": alloc,
    }


_BLOCK_FORKS: Final = (
    "homesteadBlock eip150Block eip155Block eip158Block byzantiumBlock constantinopleBlock "
    "petersburgBlock istanbulBlock berlinBlock londonBlock mergeNetsplitBlock"
).split()


def _fork_schedule(chain_id: int) -> dict[str, Any]:
    return {
        "chainId": chain_id,
        **dict.fromkeys(_BLOCK_FORKS, 0),
        "terminalTotalDifficulty": 0,
        "shanghaiTime": 0,
        "cancunTime": 0,
        "pragueTime": 0,
        "blobSchedule": {
            "cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477},
            "prague": {"target": 6, "max": 9, "baseFeeUpdateFraction": 5007716},
        },
    }


def _genesis_state(alloc: Mapping[str, GenesisAccount]) -> StateCommit:
    state = BlockState(StateReader(NodeStore(nothing_stored), _no_code, EMPTY_REF))
    for text, account in alloc.items():
        address = Address(parse_hex("0x" + text.removeprefix("0x"), 20, what="alloc address"))
        state.set_balance(address, _number(account.balance, f"balance of {text}"))
        state.set_nonce(address, _number(account.nonce, f"nonce of {text}"))
        if code := parse_hex(account.code, what=f"code of {text}"):
            state.set_code(address, code)
        for slot, value in account.storage.items():
            state.set_storage(address, _number(slot, "slot"), _number(value, "storage value"))
    return commit(state)


def _no_code(code_hash: bytes) -> bytes:
    raise AssertionError(f"genesis state asks for code {code_hash.hex()}")


def _number(value: str | int, what: str) -> int:
    """geth takes numbers, decimal strings and hex strings alike."""
    try:
        number = value if isinstance(value, int) else int(value, 0)
    except ValueError:
        raise InvalidInput(f"{what}: not a number: {value!r}") from None
    if number < 0 or number >> 256:
        raise InvalidInput(f"{what}: out of range")
    return number
