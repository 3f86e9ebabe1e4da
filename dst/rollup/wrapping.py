"""Between the engine's payloads and beacon blocks. Pure."""

from dataclasses import replace
from functools import lru_cache
from typing import Final

from dst.apis.engine import BuiltPayload, PayloadAttributes
from dst.derivation.frame import MAX_BLOCK_BYTES
from dst.spec import ssz
from dst.spec.beacon import (
    BeaconBlock,
    ConsolidationRequest,
    DepositRequest,
    ExecutionRequests,
    L1Origin,
    WithdrawalRequest,
)
from dst.spec.cluster import ClusterLock, membership_root
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32, Root, Slot
from dst.spec.rules import PROPOSER_INDEX, compose_body, prev_randao, timestamp_at
from dst.spec.state import compute_state_root

_REQUEST_TYPES: Final = (
    (0, "deposits", DepositRequest, 192),
    (1, "withdrawals", WithdrawalRequest, 76),
    (2, "consolidations", ConsolidationRequest, 116),
)
"""EIP-7685 type byte, field, container, SSZ size. All three are of fixed size, so a list is their
concatenation."""

DECODED_KEPT: Final = 8
"""The same block comes by as proposal, decision and sealed block within a second; each decoding of
a
full one costs tens of milliseconds. Bounds memory to 8 times 512 KiB, decoded."""


@lru_cache(DECODED_KEPT)
def decode_block(data: bytes) -> tuple[BeaconBlock, Root]:
    """An encoded block and its root. Raises: InvalidInput."""
    block = decode_bounded(data)
    return block, ssz.hash_tree_root(block)


def decode_bounded(data: bytes) -> BeaconBlock:
    """A block from outside, unless it is longer than any chain allows. Raises: InvalidInput."""
    if len(data) > MAX_BLOCK_BYTES:
        raise InvalidInput(f"block of {len(data)} bytes is too long: at most {MAX_BLOCK_BYTES}")
    return ssz.decode(BeaconBlock, data)


def build_attributes(
    lock: ClusterLock, slot: Slot, origin: L1Origin, *, no_tx_pool: bool
) -> PayloadAttributes:
    """What the execution layer builds from: all of it follows from slot and origin."""
    chain = lock.chain
    return PayloadAttributes(
        timestamp=timestamp_at(chain, slot),
        prev_randao=Hash32(prev_randao(origin.hash, slot)),
        suggested_fee_recipient=chain.fee_recipient,
        parent_beacon_block_root=origin.hash,
        no_tx_pool=no_tx_pool,
    )


def wrap(
    lock: ClusterLock, parent_root: Root, slot: Slot, origin: L1Origin, built: BuiltPayload
) -> BeaconBlock:
    """The beacon block around a built payload."""
    body = compose_body(lock.chain, origin, built.payload)
    return BeaconBlock(
        slot=slot,
        proposer_index=PROPOSER_INDEX,
        parent_root=parent_root,
        state_root=compute_state_root(origin, built.payload, membership_root(lock)),
        body=replace(body, execution_requests=decode_requests(built.execution_requests)),
    )


def encode_requests(requests: ExecutionRequests) -> tuple[bytes, ...]:
    """The engine's form: type byte and data, ascending, empty ones left out (EIP-7685)."""
    lists = ((kind, getattr(requests, name)) for kind, name, _, _ in _REQUEST_TYPES)
    return tuple(
        bytes([kind]) + b"".join(ssz.encode(item) for item in items)
        for kind, items in lists
        if items
    )


def decode_requests(encoded: tuple[bytes, ...]) -> ExecutionRequests:
    """Inverse of `encode_requests`. Raises: InvalidInput."""
    fields: dict[str, tuple[object, ...]] = {}
    known = {kind: (name, cls, size) for kind, name, cls, size in _REQUEST_TYPES}
    for request in encoded:
        kind, data = request[0] if request else -1, request[1:]
        if kind not in known or known[kind][0] in fields or not data:
            raise InvalidInput(f"execution request of type {kind}: unknown, repeated or empty")
        name, cls, size = known[kind]
        if len(data) % size:
            raise InvalidInput(f"execution requests: {name} are not multiples of {size} bytes")
        fields[name] = tuple(
            ssz.decode(cls, data[at : at + size]) for at in range(0, len(data), size)
        )
    return ExecutionRequests(**fields)  # type: ignore[arg-type]  # each field got its own class
