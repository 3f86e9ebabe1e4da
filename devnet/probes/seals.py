"""Group signatures and certificates as a node serves them. Of the signatures only what verifies
under the key of the genesis files is evidence.

Blocks are asked for by root, every root that any node ever reported: two roots at one height are
both looked up.
"""

from collections.abc import Callable, Sequence
from typing import Final

from devnet.model.clock import now
from devnet.model.history import (
    CertificateRead,
    CommitRead,
    Event,
    Genesis,
    GroupSignatureSeen,
    SealRefused,
)
from dst.apis.beacon import BeaconClient
from dst.apis.dst_v1 import DecidedBlock, DstClient
from dst.crypto.bls import verify
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.cluster import ClusterLock, genesis_validators_root, lock_proposer_domain
from dst.spec.domains import signing_root
from dst.spec.errors import DstError
from dst.spec.primitives import Height, Root, to_hex

MAX_ROOTS: Final = 4096
"""Looked up per node at the end of one run."""


def genesis_of(lock: ClusterLock, l1_block_seconds: float) -> Genesis:
    """For the record, so that whoever reads it needs nothing else."""
    return Genesis(
        group_public_key=to_hex(lock.group_public_key),
        seal_domain=to_hex(lock_proposer_domain(lock)),
        validators_root=to_hex(genesis_validators_root(lock)),
        identities=tuple(to_hex(operator.identity) for operator in lock.operators),
        batch_interval=lock.chain.batch_interval,
        l1_block_seconds=l1_block_seconds,
    )


class Verifier:
    """Checks each (root, signature) pair once, however many nodes serve it."""

    def __init__(self, lock: ClusterLock) -> None:
        self._key = lock.group_public_key
        self._domain = lock_proposer_domain(lock)
        self._known: dict[tuple[bytes, bytes], bool] = {}

    def is_valid(self, root: Root, signature: bytes) -> bool:
        key = (root, signature)
        if key not in self._known:
            self._known[key] = verify(self._key, signing_root(root, self._domain), signature)
        return self._known[key]


def roots_between(events: Sequence[Event], first: int, last: int) -> list[tuple[int, bytes]]:
    """Every (term, root) that anybody reported for these heights, without doubles."""
    found = {
        (event.term, bytes.fromhex(event.root[2:])): None
        for event in events
        if event.root is not None and first <= event.height <= last
    }
    return list(found)[-MAX_ROOTS:]


class BeaconSeals:
    """One node's sealed blocks, over its Beacon API."""

    def __init__(
        self, name: str, url: str, verifier: Verifier, events: Callable[[], Sequence[Event]]
    ) -> None:
        self.name = name
        self._url = url
        self._verifier = verifier
        self._events = events

    async def read(self, first: int, last: int) -> list[GroupSignatureSeen | SealRefused]:
        """Raises: DstError when the node cannot be read."""
        found = []
        async with BeaconClient(self._url) as client:
            for term, root in roots_between(self._events(), first, last):
                seen = await self._read(client, term, Root(root))
                if seen is not None:
                    found.append(seen)
        return found

    async def _read(
        self, client: BeaconClient, term: int, root: Root
    ) -> GroupSignatureSeen | SealRefused | None:
        wire = await client.block(root)
        if wire is None or not wire.is_sealed:
            return None
        block = ssz.decode(BeaconBlock, wire.message)
        served = ssz.hash_tree_root(block)
        if served != root:
            raise DstError(f"{self.name} serves {to_hex(served)} for the root {to_hex(root)}")
        payload = block.body.execution_payload
        if not self._verifier.is_valid(root, wire.signature):
            return SealRefused(
                node=self.name,
                height=payload.block_number,
                root=to_hex(root),
                signature=to_hex(wire.signature),
                monotonic=now(),
            )
        return GroupSignatureSeen(
            height=payload.block_number,
            root=to_hex(root),
            signature=to_hex(wire.signature),
            source=f"{self.name}.beacon",
            term=term,
            monotonic=now(),
            block_hash=to_hex(payload.block_hash),
            l1_origin=block.l1_origin.number,
        )


class Certificates:
    """By what one operator's node has its blocks decided, over `/dst/v1`."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._url = url

    async def read(self, first: int, last: int) -> list[CertificateRead]:
        """Nothing is checked here. Raises: DstError when the node cannot be read."""
        found = []
        async with DstClient(self._url) as client:
            for height in range(first, last + 1):
                decided = await client.get_decided(Height(height))
                if decided is not None:
                    found.append(self._record(height, decided))
        return found

    def _record(self, height: int, decided: DecidedBlock) -> CertificateRead:
        certificate = decided.certificate
        return CertificateRead(
            node=self.name,
            term=certificate.term,
            height=height,
            round=certificate.round,
            root=to_hex(certificate.root),
            commits=tuple(
                CommitRead(
                    operator=commit.sender,
                    term=commit.payload.term,
                    height=commit.payload.height,
                    round=commit.payload.round,
                    root=to_hex(commit.payload.root),
                    signature=to_hex(commit.signature),
                )
                for commit in certificate.commits
            ),
            monotonic=now(),
        )
