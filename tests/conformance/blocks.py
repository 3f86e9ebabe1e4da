"""A published block's RLP as the parameters of `engine_newPayloadV4`.

Read with the reference RLP library, not with ours: two readers of one block. What the Engine API
does not carry (ommers, difficulty, nonce, the roots of transactions and withdrawals) stands in the
block hash alone, so a block that lies there is refused by its hash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import rlp
from eth_hash.auto import keccak
from rlp.exceptions import RLPException

BLOB_TYPE = 3
PRAGUE_HEADER_FIELDS = 21


class NotAPayload(Exception):
    """No Prague payload has this block's form."""


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


@dataclass(frozen=True, slots=True)
class WireBlock:
    number: int
    hash: str
    parent_hash: str
    payload: dict[str, Any]
    parent_beacon_block_root: str
    requests_hash: bytes
    transactions: tuple[bytes, ...]
    header: bytes

    @property
    def has_blobs(self) -> bool:
        """A blob transaction, or a header that speaks of blob gas."""
        gas = self.payload["blobGasUsed"], self.payload["excessBlobGas"]
        return gas != ("0x0", "0x0") or any(raw[:1] == b"\x03" for raw in self.transactions)

    def parameters(
        self, requests: Sequence[bytes] = (), versioned_hashes: Sequence[bytes] = ()
    ) -> list[Any]:
        """Of engine_newPayloadV4."""
        return [
            self.payload,
            [hexed(each) for each in versioned_hashes],
            self.parent_beacon_block_root,
            [hexed(each) for each in requests],
        ]


def read_block(raw: bytes) -> WireBlock:
    """Raises: NotAPayload."""
    try:
        block = rlp.decode(raw)
        return _read(block)
    except (RLPException, ValueError, TypeError, IndexError, AttributeError) as error:
        raise NotAPayload(f"{type(error).__name__}: {error}") from None


def _read(block: list[Any]) -> WireBlock:
    header, transactions, _ommers, *rest = block
    if len(header) != PRAGUE_HEADER_FIELDS or len(rest) != 1:
        raise NotAPayload(f"{len(header)} header fields, {len(rest)} lists behind the ommers")
    if any(isinstance(each, list) for each in header):
        raise NotAPayload("a list in the header")
    encoded = rlp.encode(header)
    raws = tuple(each if isinstance(each, bytes) else rlp.encode(each) for each in transactions)
    payload: dict[str, Any] = {
        "parentHash": hexed(header[0]),
        "feeRecipient": hexed(header[2]),
        "stateRoot": hexed(header[3]),
        "receiptsRoot": hexed(header[5]),
        "logsBloom": hexed(header[6]),
        "blockNumber": _quantity(header[8]),
        "gasLimit": _quantity(header[9]),
        "gasUsed": _quantity(header[10]),
        "timestamp": _quantity(header[11]),
        "extraData": hexed(header[12]),
        "prevRandao": hexed(header[13]),
        "baseFeePerGas": _quantity(header[15]),
        "blobGasUsed": _quantity(header[17]),
        "excessBlobGas": _quantity(header[18]),
        "blockHash": hexed(keccak(encoded)),
        "transactions": [hexed(each) for each in raws],
        "withdrawals": [_withdrawal(each) for each in rest[0]],
    }
    return WireBlock(
        number=int.from_bytes(header[8], "big"),
        hash=payload["blockHash"],
        parent_hash=payload["parentHash"],
        payload=payload,
        parent_beacon_block_root=hexed(header[19]),
        requests_hash=header[20],
        transactions=raws,
        header=encoded,
    )


def _withdrawal(item: list[bytes]) -> dict[str, str]:
    index, validator, address, amount = item
    return {
        "index": _quantity(index),
        "validatorIndex": _quantity(validator),
        "address": hexed(address),
        "amount": _quantity(amount),
    }


def _quantity(data: bytes) -> str:
    return hex(int.from_bytes(data, "big"))


def split_chain(data: bytes) -> list[bytes]:
    """The blocks of a `chain.rlp`: one encoding after another."""
    blocks = []
    while data:
        _, _, end = rlp.codec.consume_item(data, 0)
        blocks.append(data[:end])
        data = data[end:]
    return blocks
