"""What the parameters of JSON-RPC methods are: a kind is what the generated page prints and what a
test derives wrong values from. A method still checks its parameters itself (`dst.apis.eth`); the
annotation says which check.

In a signature `address: AddressParam` is an `object` for the type checker: JSON as it came.
"""

import inspect
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias, get_args

from dst.spec.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Kind:
    """`takes` completes the sentence "takes …"; `example` is one good value."""

    name: str
    takes: str
    example: Any


ADDRESS: Final = Kind("address", "20 bytes of hex", "0x" + "11" * 20)
HASH: Final = Kind("hash", "32 bytes of hex", "0x" + "22" * 32)
BLOCK: Final = Kind(
    "block",
    "a number as a quantity, `latest`, `safe`, `finalized`, `earliest`, `pending`, a block hash, "
    "or an object with `blockHash` or `blockNumber` (EIP-1898)",
    "latest",
)
QUANTITY: Final = Kind("quantity", "0x hex without leading zeros", "0x1")
DATA: Final = Kind("data", "bytes as 0x hex", "0x1234")
FLAG: Final = Kind("flag", "`true` or `false`", True)
SLOT: Final = Kind("slot", "at most 32 bytes of hex", "0x0")
COUNT: Final = Kind("count", "a quantity or a JSON integer", "0x2")
PERCENTILES: Final = Kind("percentiles", "ascending numbers from 0 to 100", [10, 50.5])
FILTER: Final = Kind(
    "filter",
    "an object: `fromBlock` and `toBlock`, or `blockHash`; `address` (one or a list); `topics` (up "
    "to four, each null, one or a list)",
    {"fromBlock": "earliest"},
)
CALL: Final = Kind(
    "transaction",
    "an object: `from`, `to`, `gas`, `gasPrice` or `maxFeePerGas`, `value`, `data` or `input`, …",
    {"from": "0x" + "33" * 20, "to": "0x" + "11" * 20},
)
STATE_OVERRIDES: Final = Kind(
    "state overrides",
    "an object: address to an object of `balance`, `nonce`, `code`, `state` or `stateDiff`, "
    "`movePrecompileToAddress`",
    {"0x" + "11" * 20: {"balance": "0x1"}},
)
BLOCK_OVERRIDES: Final = Kind(
    "block overrides",
    "an object: `number`, `time`, `gasLimit`, `feeRecipient`, `prevRandao`, `baseFeePerGas`, "
    "`blobBaseFee`, `beaconRoot`, `blockHash` (number to hash)",
    {"number": "0x10"},
)
SIMULATION: Final = Kind(
    "simulation",
    "an object: `blockStateCalls` (a list of `blockOverrides`, `stateOverrides`, `calls`), "
    "`traceTransfers`, `validation`, `returnFullTransactions`",
    {"blockStateCalls": [{}]},
)
SLOT_LIST: Final = Kind("slots", "a list of slots", ["0x0"])
TRACE_CONFIG: Final = Kind(
    "trace config",
    'an object: `tracer`, `tracerConfig`, `timeout` ("5s"); without a tracer `disableStack`, '
    "`disableStorage`, `enableMemory`, `enableReturnData`, `limit`; for a call `stateOverrides`, "
    "`blockOverrides`, `txIndex`",
    {"tracer": "callTracer"},
)
TRACE_TYPES: Final = Kind("trace types", "a list of `trace`, `stateDiff`, `vmTrace`", ["trace"])
TRACE_FILTER: Final = Kind(
    "trace filter",
    "an object: `fromBlock`, `toBlock`, `fromAddress` and `toAddress` (lists), `mode` (`union` or "
    "`intersection`), `after`, `count`",
    {"fromBlock": "latest"},
)
POSITION: Final = Kind("trace address", "a list of indices", ["0x0"])
CALLS: Final = Kind(
    "calls", "a list of pairs: transaction, trace types", [[{"to": "0x" + "11" * 20}, ["trace"]]]
)
FILTER_ID: Final = Kind("filter id", "what eth_new*Filter answered", "0x1")
SLOTS_BY_ADDRESS: Final = Kind(
    "slots by address", "an object: address to a list of slots", {"0x" + "11" * 20: ["0x0"]}
)
SUBSCRIPTION: Final = Kind(
    "subscription", "`newHeads`, `logs`, `newPendingTransactions` or `syncing`", "newHeads"
)
OPTIONS: Final = Kind(
    "options", "for `logs` a filter, for `newPendingTransactions` true for whole transactions", None
)
MILLISECONDS: Final = Kind("milliseconds", "a quantity or a JSON integer", 1)

TEXT: Final = Kind("text", "a string", "a")
TYPED_DATA: Final = Kind(
    "typed data",
    "an object, or its JSON as a string: `types`, `primaryType`, `domain`, `message` (EIP-712)",
    {
        "types": {"Note": [{"name": "text", "type": "string"}]},
        "primaryType": "Note",
        "domain": {"name": "example"},
        "message": {"text": "hello"},
    },
)
RAW_LIST: Final = Kind("raw transactions", "a list of signed transactions as 0x hex", ["0x12"])
HASH_LIST: Final = Kind("hashes", "a list of 32 bytes of hex each", ["0x" + "22" * 32])

AddressParam: TypeAlias = Annotated[object, ADDRESS]
HashParam: TypeAlias = Annotated[object, HASH]
BlockParam: TypeAlias = Annotated[object, BLOCK]
QuantityParam: TypeAlias = Annotated[object, QUANTITY]
DataParam: TypeAlias = Annotated[object, DATA]
FlagParam: TypeAlias = Annotated[object, FLAG]
SlotParam: TypeAlias = Annotated[object, SLOT]
CountParam: TypeAlias = Annotated[object, COUNT]
PercentilesParam: TypeAlias = Annotated[object, PERCENTILES]
FilterParam: TypeAlias = Annotated[object, FILTER]
CallParam: TypeAlias = Annotated[object, CALL]
StateOverridesParam: TypeAlias = Annotated[object, STATE_OVERRIDES]
BlockOverridesParam: TypeAlias = Annotated[object, BLOCK_OVERRIDES]
SimulationParam: TypeAlias = Annotated[object, SIMULATION]
SlotListParam: TypeAlias = Annotated[object, SLOT_LIST]
TraceConfigParam: TypeAlias = Annotated[object, TRACE_CONFIG]
TraceTypesParam: TypeAlias = Annotated[object, TRACE_TYPES]
TraceFilterParam: TypeAlias = Annotated[object, TRACE_FILTER]
PositionParam: TypeAlias = Annotated[object, POSITION]
CallsParam: TypeAlias = Annotated[object, CALLS]
FilterIdParam: TypeAlias = Annotated[object, FILTER_ID]
SlotsParam: TypeAlias = Annotated[object, SLOTS_BY_ADDRESS]
SubscriptionParam: TypeAlias = Annotated[object, SUBSCRIPTION]
OptionsParam: TypeAlias = Annotated[object, OPTIONS]
TextParam: TypeAlias = Annotated[object, TEXT]
TypedDataParam: TypeAlias = Annotated[object, TYPED_DATA]
RawListParam: TypeAlias = Annotated[object, RAW_LIST]
HashListParam: TypeAlias = Annotated[object, HASH_LIST]
MillisecondsParam: TypeAlias = Annotated[object, MILLISECONDS]


def kind_of(parameter: inspect.Parameter) -> Kind | None:
    """The kind in an annotation, or in that of its elements; None for a parameter that names
    none."""
    named = get_args(parameter.annotation)
    found = [each for part in named for each in (part, *get_args(part)) if isinstance(each, Kind)]
    return found[0] if found else None


def parse_slot(value: object) -> int:
    """A storage slot: clients send quantities and 32-byte words alike. Raises: InvalidInput."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise InvalidInput(f"storage key: expected 0x-prefixed hex, got {str(value)[:80]!r}")
    digits = value[2:]
    if len(digits) > 64:
        raise InvalidInput(f'storage key too long (want at most 32 bytes): "{value[:80]}"')
    if not digits.isascii() or not digits.isalnum():
        raise InvalidInput(f'invalid hex in storage key: "{value}"')
    try:
        return int(digits, 16)
    except ValueError:
        raise InvalidInput(f'invalid hex in storage key: "{value}"') from None
