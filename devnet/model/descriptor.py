"""`DIR/network.json`: all that a tool needs to use a running network. Its schema is
fixtures/network.schema.json.

It never holds a secret: the accounts are those of the public test mnemonic.
"""

from pathlib import Path
from typing import Final

import msgspec

from devnet.model.accounts import ACCOUNTS
from devnet.model.cluster import ClusterKind
from devnet.model.topology import Pod, Topology, compute_topology
from devnet.model.whole import write_whole
from dst.spec.cluster import ClusterLock
from dst.spec.errors import BadConfig
from dst.spec.primitives import to_hex

DESCRIPTOR_VERSION: Final = 1
FILE_NAME: Final = "network.json"


class L1Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The L1 of the network."""

    rpc: str
    toxiproxy: str


class OperatorEndpoint(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One operator; `index` counts from 1, `identity` is its compressed secp256k1 key."""

    index: int
    name: str
    rpc: str
    beacon: str
    identity: str
    toxiproxy: str
    ws: str | None = None


class FollowerEndpoint(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One follower; `from_l1` marks one that rebuilds the chain from L1 alone."""

    name: str
    rpc: str
    beacon: str
    toxiproxy: str
    from_l1: bool = False
    ws: str | None = None


class FundedAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public test account, funded on L1 and L2."""

    address: str
    private_key: str


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A running network. URLs are of the host's 127.0.0.1 and go through the `client` links."""

    version: int = DESCRIPTOR_VERSION
    id: str
    """Also the value of the label `dst.devnet` on containers."""
    backend: str
    seed: int
    port_offset: int
    chain_id: int
    l1_chain_id: int
    genesis_time: int
    genesis_hash: str = ""
    """Of L2 block 0, which every node has; empty: of a network that an earlier version started."""
    slot_seconds: int
    group_public_key: str
    l1: L1Endpoint
    cluster: ClusterKind = ClusterKind.DST
    operators: tuple[OperatorEndpoint, ...]
    followers: tuple[FollowerEndpoint, ...]
    accounts: tuple[FundedAccount, ...]

    @property
    def topology(self) -> Topology:
        """Who dials whom, with all ports: client, probe and control."""
        return compute_topology(
            operators=len(self.operators),
            followers=len(self.followers),
            port_offset=self.port_offset,
            cluster=self.cluster,
        )


def build_descriptor(
    lock: ClusterLock,
    topology: Topology,
    *,
    identifier: str,
    backend: str,
    seed: int,
    l1_followers: frozenset[str],
) -> Descriptor:
    """Describe a network; pure."""
    chain = lock.chain
    # A baseline has the keys of a cluster of one, each sequencer all of them.
    each = topology.operators if topology.cluster.is_baseline else 1
    records = lock.operators * each
    return Descriptor(
        id=identifier,
        backend=backend,
        seed=seed,
        port_offset=topology.port_offset,
        chain_id=chain.chain_id,
        l1_chain_id=chain.l1_chain_id,
        genesis_time=chain.genesis_time,
        genesis_hash=to_hex(chain.l2_genesis_hash),
        slot_seconds=chain.seconds_per_slot,
        group_public_key=to_hex(lock.group_public_key),
        cluster=topology.cluster,
        l1=L1Endpoint(rpc=topology.host_url("client>l1.rpc"), toxiproxy=_admin(topology.pod("l1"))),
        operators=tuple(
            OperatorEndpoint(
                index=index,
                name=name,
                rpc=topology.host_url(f"client>{name}.rpc"),
                beacon=topology.host_url(f"client>{name}.beacon"),
                identity=to_hex(record.identity),
                toxiproxy=_admin(topology.pod(name)),
            )
            for index, (name, record) in enumerate(
                zip(topology.operator_names, records, strict=True), 1
            )
        ),
        followers=tuple(
            FollowerEndpoint(
                name=name,
                rpc=topology.host_url(f"client>{name}.rpc"),
                beacon=topology.host_url(f"client>{name}.beacon"),
                toxiproxy=_admin(topology.pod(name)),
                from_l1=name in l1_followers,
            )
            for name in topology.follower_names
        ),
        accounts=tuple(
            FundedAccount(address=a.address, private_key=a.private_key) for a in ACCOUNTS
        ),
    )


def _admin(pod: Pod) -> str:
    return f"http://127.0.0.1:{pod.admin_port}"


def write_descriptor(directory: Path, descriptor: Descriptor) -> Path:
    """It appears whole, and only when the network runs."""
    path = directory / FILE_NAME
    write_whole(path, msgspec.json.format(msgspec.json.encode(descriptor), indent=2) + b"\n")
    return path


def read_descriptor(directory: Path) -> Descriptor:
    """Raises: BadConfig when no network runs in the folder or the file is not ours."""
    path = directory / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Descriptor)
    except FileNotFoundError:
        raise BadConfig(
            f"no network runs in {directory} (no {FILE_NAME}); start one with `devnet up`"
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise BadConfig(f"{path}: {error}") from error
