"""Who dials whom: one proxy per directed link, on the Toxiproxy of the dialled side; every port has
its fixed place.

Both backends use the same port numbers. In the process backend they lie side by side on 127.0.0.1;
in the docker backend each pod has its own loopback, and only client, probe and admin ports are
published on the host's 127.0.0.1. The table for readers is docs/ports.md; a unit test keeps the two
equal.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from devnet.model.cluster import SIZES, ClusterKind

L1_BASE: Final = 20_000
ETCD_BASE: Final = 20_050
"""In the L1's block of 100, which needs only half of it."""
OPERATOR_STRIDE: Final = 100
FOLLOWER_BASE: Final = 21_100
"""Operators end at 21,099 (op10); follower j starts at 21,100 + 100 * j."""
MAX_OPERATORS: Final = 10
MAX_FOLLOWERS: Final = 5
HIGHEST_OFFSET: Final = 11_000
"""Ports stay below 32,768, where the kernel's ephemeral range begins: a dialling socket never takes
a listener's port."""
OPERATOR_COUNTS: Final = SIZES[ClusterKind.DST]

ADMIN: Final = 2
"""Toxiproxy's control port within a pod's block of 100; the L1 pod keeps it at +1."""
L1_ADMIN: Final = 1


class Service(StrEnum):
    """What listens on a pod's loopback."""

    L1_RPC = "l1-rpc"
    ENGINE = "engine"
    RPC = "rpc"
    ROLLUP = "rollup"
    MIDDLEWARE = "middleware"
    SEQUENCER = "sequencer"
    P2P = "p2p"
    ETCD = "etcd"
    ETCD_PEER = "etcd-peer"
    """Of other members of an etcd cluster; there are none, but it listens."""
    ROLLUP_OWN = "rollup-own"
    """For the operator's own middleware (or sequencer) alone."""


SERVICE_PORT: Final = {
    Service.L1_RPC: 10,
    Service.ETCD: 10,
    Service.ETCD_PEER: 11,
    Service.ENGINE: 10,
    Service.RPC: 11,
    Service.ROLLUP: 12,
    Service.MIDDLEWARE: 13,
    Service.SEQUENCER: 13,
    Service.P2P: 14,
    Service.ROLLUP_OWN: 15,
}


class Role(StrEnum):
    """A program in a pod. `TOXIPROXY` is the pod's host: operator faults never touch it."""

    TOXIPROXY = "toxiproxy"
    ANVIL = "anvil"
    EXECUTION = "execution"
    ROLLUP = "rollup"
    MIDDLEWARE = "middleware"
    VALIDATOR = "validator"
    SEQUENCER = "sequencer"
    """Of a baseline, instead of middleware and validator (`devnet.baseline`)."""
    ETCD = "etcd"


OPERATOR_ROLES: Final = (Role.EXECUTION, Role.ROLLUP, Role.MIDDLEWARE, Role.VALIDATOR)
BASELINE_ROLES: Final = (Role.EXECUTION, Role.ROLLUP, Role.SEQUENCER)
FOLLOWER_ROLES: Final = (Role.EXECUTION, Role.ROLLUP)
L1_ROLES: Final = (Role.ANVIL,)
ETCD_ROLES: Final = (Role.ETCD,)


class LinkClass(StrEnum):
    """Who uses a link. `PROBE` links carry the harness's own eyes: no fault ever touches them."""

    CLIENT = "client"
    PROBE = "probe"
    CONSENSUS = "consensus"
    INTERNAL = "internal"
    L1 = "l1"
    FORWARD = "forward"
    FOLLOW = "follow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One directed link and its proxy, e.g. `op1>op2.consensus`: op1 dials, the proxy lives on
    op2's Toxiproxy."""

    name: str
    source: str
    """Pod that dials, or `client` or `probe` (the harness and its user, on the host)."""
    target: str
    """Pod whose Toxiproxy has the listener."""
    service: Service
    kind: LinkClass
    listen_port: int
    service_port: int

    @property
    def is_inside_pod(self) -> bool:
        return self.source == self.target

    @property
    def is_from_host(self) -> bool:
        """Dialled from outside every pod, so docker publishes its port."""
        return self.source in ("client", "probe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One host: its Toxiproxy, its roles, its block of 100 ports."""

    name: str
    base_port: int
    roles: tuple[Role, ...]

    @property
    def admin_port(self) -> int:
        return self.base_port + (L1_ADMIN if self.name == "l1" else ADMIN)

    def port(self, service: Service) -> int:
        return self.base_port + SERVICE_PORT[service]

    @property
    def services(self) -> tuple[Service, ...]:
        if self.name == "l1":
            return (Service.L1_RPC,)
        if self.name == "etcd":
            return (Service.ETCD, Service.ETCD_PEER)
        follower = (Service.ENGINE, Service.RPC, Service.ROLLUP)
        if self.name.startswith("f"):
            return follower
        if Role.SEQUENCER in self.roles:
            return (*follower, Service.SEQUENCER, Service.ROLLUP_OWN)
        return (*follower, Service.MIDDLEWARE, Service.P2P, Service.ROLLUP_OWN)

    @property
    def programs(self) -> tuple[str, ...]:
        """Names of everything that runs here, the Toxiproxy first."""
        return tuple(f"{self.name}.{role}" for role in (Role.TOXIPROXY, *self.roles))


@dataclass(frozen=True)
class Topology:
    """All pods and links of a network; a pure function of three numbers and the kind of cluster."""

    operators: int
    followers: int
    port_offset: int
    cluster: ClusterKind = ClusterKind.DST

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        return tuple(_pods(self))

    @cached_property
    def links(self) -> tuple[Link, ...]:
        return tuple(_links(self))

    @cached_property
    def _link_by_name(self) -> dict[str, Link]:
        return {link.name: link for link in self.links}

    @property
    def operator_names(self) -> tuple[str, ...]:
        return tuple(f"op{i}" for i in range(1, self.operators + 1))

    @property
    def voting_role(self) -> Role:
        """The program of an operator that makes blocks the chain's: its middleware, or the
        sequencer of a baseline."""
        return Role.SEQUENCER if self.cluster.is_baseline else Role.MIDDLEWARE

    @property
    def follower_names(self) -> tuple[str, ...]:
        return tuple(f"f{j}" for j in range(1, self.followers + 1))

    def pod(self, name: str) -> Pod:
        """Raises: KeyError when there is no such pod."""
        for pod in self.pods:
            if pod.name == name:
                return pod
        raise KeyError(f"no pod {name!r}; there are {', '.join(pod.name for pod in self.pods)}")

    def link(self, name: str) -> Link:
        """Raises: KeyError when there is no such link."""
        return self._link_by_name[name]

    def links_on(self, pod: str) -> tuple[Link, ...]:
        """Links whose proxy lives on this pod's Toxiproxy."""
        return tuple(link for link in self.links if link.target == pod)

    def links_of(self, pod: str) -> tuple[Link, ...]:
        """Every link that this pod dials or answers, except probes."""
        return tuple(
            k for k in self.links if pod in (k.source, k.target) and k.kind is not LinkClass.PROBE
        )

    def between(
        self, left: frozenset[str], right: frozenset[str], kind: LinkClass | None = None
    ) -> tuple[Link, ...]:
        """Links from one group of pods to the other, both directions: what a partition cuts."""
        return tuple(
            link
            for link in self.links
            if kind in (None, link.kind)
            and (
                (link.source in left and link.target in right)
                or (link.source in right and link.target in left)
            )
        )

    @property
    def consensus_links(self) -> tuple[Link, ...]:
        """Between operators, a link in either direction for each pair; those to etcd, too."""
        return tuple(link for link in self.links if link.kind is LinkClass.CONSENSUS)

    def host_port(self, link_name: str) -> int:
        """Port on the host's 127.0.0.1 of a client or probe link."""
        link = self.link(link_name)
        assert link.is_from_host, f"{link_name} is not dialled from the host"
        return link.listen_port

    def host_url(self, link_name: str) -> str:
        """Where a client or probe link begins, over HTTP."""
        return f"http://127.0.0.1:{self.host_port(link_name)}"

    def host_ports(self, pod: Pod) -> tuple[int, ...]:
        """What docker publishes for a pod: its control port, client and probe links."""
        return (
            pod.admin_port,
            *(link.listen_port for link in self.links_on(pod.name) if link.is_from_host),
        )

    def all_ports(self) -> tuple[tuple[int, str], ...]:
        """Every port of the process backend with what uses it."""
        found = [(link.listen_port, f"proxy {link.name}") for link in self.links]
        for pod in self.pods:
            found.append((pod.admin_port, f"{pod.name} Toxiproxy control"))
            found += [(pod.port(service), f"{pod.name} {service}") for service in pod.services]
        return tuple(sorted(found))


def compute_topology(
    *,
    operators: int,
    followers: int = 1,
    port_offset: int = 0,
    cluster: ClusterKind = ClusterKind.DST,
) -> Topology:
    """Build the topology after checking the numbers.

    Raises: ValueError, saying what is allowed.
    """
    if cluster.is_baseline and operators not in SIZES[cluster]:
        sizes = " or ".join(map(str, SIZES[cluster]))
        raise ValueError(
            f"--operators {operators}: a {cluster} cluster has {sizes}; leave the flag out"
        )
    if operators not in OPERATOR_COUNTS and not cluster.is_baseline:
        raise ValueError(f"--operators {operators}: a cluster has 1, 4, 7 or 10 operators")
    if not 0 <= followers <= MAX_FOLLOWERS:
        raise ValueError(f"{followers} followers: at most {MAX_FOLLOWERS}")
    if not 0 <= port_offset <= HIGHEST_OFFSET:
        raise ValueError(f"--port-offset {port_offset}: must lie in 0..{HIGHEST_OFFSET}")
    return Topology(
        operators=operators, followers=followers, port_offset=port_offset, cluster=cluster
    )


def _pods(topology: Topology) -> Iterator[Pod]:
    offset = topology.port_offset
    yield Pod(name="l1", base_port=L1_BASE + offset, roles=L1_ROLES)
    roles = BASELINE_ROLES if topology.cluster.is_baseline else OPERATOR_ROLES
    for i in range(1, topology.operators + 1):
        yield Pod(name=f"op{i}", base_port=L1_BASE + OPERATOR_STRIDE * i + offset, roles=roles)
    if topology.cluster is ClusterKind.STANDBY:
        yield Pod(name="etcd", base_port=ETCD_BASE + offset, roles=ETCD_ROLES)
    for j in range(1, topology.followers + 1):
        yield Pod(
            name=f"f{j}",
            base_port=FOLLOWER_BASE + OPERATOR_STRIDE * j + offset,
            roles=FOLLOWER_ROLES,
        )


# Where a link's listener sits within the dialled pod's block of 100. Operators and followers count
# from 1.
_CLIENT_RPC, _CLIENT_BEACON, _PROBE_RPC, _PROBE_BEACON, _PROBE_MIDDLEWARE = 0, 1, 3, 4, 5
_ROLLUP_TO_ENGINE, _MIDDLEWARE_TO_ROLLUP, _VALIDATOR_TO_MIDDLEWARE = 20, 21, 22
_EXECUTION_TO_ROLLUP = 23
_CONSENSUS_FROM_OPERATOR, _RPC_FROM_OPERATOR = 29, 39
_BEACON_FROM_FOLLOWER, _RPC_FROM_FOLLOWER = 49, 59
_ETCD_FROM_OPERATOR = 19
_L1_CLIENT, _L1_PROBE, _L1_FROM_OPERATOR, _L1_FROM_FOLLOWER = 0, 2, 19, 39


def _link(name: str, source: str, pod: Pod, service: Service, kind: LinkClass, place: int) -> Link:
    return Link(
        name=name,
        source=source,
        target=pod.name,
        service=service,
        kind=kind,
        listen_port=pod.base_port + place,
        service_port=pod.port(service),
    )


def _links(topology: Topology) -> Iterator[Link]:
    yield from _links_on_l1(topology, topology.pod("l1"))
    for name in (*topology.operator_names, *topology.follower_names):
        pod = topology.pod(name)
        yield from _links_from_host(pod)
        yield from _links_of_every_node(pod)
    for name in topology.operator_names:
        yield from _links_on_operator(topology, topology.pod(name))
    if topology.cluster is ClusterKind.STANDBY:
        yield from _links_on_etcd(topology, topology.pod("etcd"))


def _links_on_etcd(topology: Topology, etcd: Pod) -> Iterator[Link]:
    """Consensus, for a stand-by: by these it is settled who leads."""
    for i, name in enumerate(topology.operator_names, 1):
        place = _ETCD_FROM_OPERATOR + i
        yield _link(f"{name}>etcd.lease", name, etcd, Service.ETCD, LinkClass.CONSENSUS, place)


def _links_on_l1(topology: Topology, l1: Pod) -> Iterator[Link]:
    yield _link("client>l1.rpc", "client", l1, Service.L1_RPC, LinkClass.CLIENT, _L1_CLIENT)
    yield _link("probe>l1.rpc", "probe", l1, Service.L1_RPC, LinkClass.PROBE, _L1_PROBE)
    for i, name in enumerate(topology.operator_names, 1):
        yield _link(f"{name}>l1.rpc", name, l1, Service.L1_RPC, LinkClass.L1, _L1_FROM_OPERATOR + i)
    for j, name in enumerate(topology.follower_names, 1):
        yield _link(f"{name}>l1.rpc", name, l1, Service.L1_RPC, LinkClass.L1, _L1_FROM_FOLLOWER + j)


def _links_from_host(pod: Pod) -> Iterator[Link]:
    name = pod.name
    yield _link(f"client>{name}.rpc", "client", pod, Service.RPC, LinkClass.CLIENT, _CLIENT_RPC)
    yield _link(
        f"client>{name}.beacon", "client", pod, Service.ROLLUP, LinkClass.CLIENT, _CLIENT_BEACON
    )
    yield _link(f"probe>{name}.rpc", "probe", pod, Service.RPC, LinkClass.PROBE, _PROBE_RPC)
    yield _link(
        f"probe>{name}.beacon", "probe", pod, Service.ROLLUP, LinkClass.PROBE, _PROBE_BEACON
    )


def _links_of_every_node(pod: Pod) -> Iterator[Link]:
    """Between the two roles that operators and followers have."""
    me, inside = pod.name, LinkClass.INTERNAL
    yield _link(f"{me}.rollup>{me}.engine", me, pod, Service.ENGINE, inside, _ROLLUP_TO_ENGINE)
    yield _link(
        f"{me}.execution>{me}.rollup", me, pod, Service.ROLLUP, inside, _EXECUTION_TO_ROLLUP
    )


def _links_on_operator(topology: Topology, pod: Pod) -> Iterator[Link]:
    yield from (_links_of_sequencer if topology.cluster.is_baseline else _links_of_member)(pod)
    me = pod.name
    consensus = LinkClass.CONSENSUS
    # Stand-bys have nothing to agree on: they fetch blocks where members exchange votes.
    peers = Service.ROLLUP if topology.cluster.is_baseline else Service.P2P
    for j, other in enumerate(topology.operator_names, 1):
        if other != me:
            yield _link(
                f"{other}>{me}.consensus",
                other,
                pod,
                peers,
                consensus,
                _CONSENSUS_FROM_OPERATOR + j,
            )
            yield _link(
                f"{other}>{me}.rpc",
                other,
                pod,
                Service.RPC,
                LinkClass.FORWARD,
                _RPC_FROM_OPERATOR + j,
            )
    for j, other in enumerate(topology.follower_names, 1):
        yield _link(
            f"{other}>{me}.beacon",
            other,
            pod,
            Service.ROLLUP,
            LinkClass.FOLLOW,
            _BEACON_FROM_FOLLOWER + j,
        )
        yield _link(
            f"{other}>{me}.rpc", other, pod, Service.RPC, LinkClass.FORWARD, _RPC_FROM_FOLLOWER + j
        )


def _links_of_member(pod: Pod) -> Iterator[Link]:
    """Middleware and validator."""
    me, inside = pod.name, LinkClass.INTERNAL
    yield _link(
        f"probe>{me}.middleware",
        "probe",
        pod,
        Service.MIDDLEWARE,
        LinkClass.PROBE,
        _PROBE_MIDDLEWARE,
    )
    yield _link(
        f"{me}.middleware>{me}.rollup", me, pod, Service.ROLLUP_OWN, inside, _MIDDLEWARE_TO_ROLLUP
    )
    yield _link(
        f"{me}.validator>{me}.middleware",
        me,
        pod,
        Service.MIDDLEWARE,
        inside,
        _VALIDATOR_TO_MIDDLEWARE,
    )


def _links_of_sequencer(pod: Pod) -> Iterator[Link]:
    """Of a baseline: where a member has the links of its middleware."""
    me = pod.name
    yield _link(
        f"probe>{me}.sequencer", "probe", pod, Service.SEQUENCER, LinkClass.PROBE, _PROBE_MIDDLEWARE
    )
    yield _link(
        f"{me}.sequencer>{me}.rollup",
        me,
        pod,
        Service.ROLLUP_OWN,
        LinkClass.INTERNAL,
        _MIDDLEWARE_TO_ROLLUP,
    )


_PROGRAM: Final = re.compile(r"(l1|etcd|op[1-9][0-9]?|f[1-9])(?:\.([a-z0-9]+))?")


def resolve_programs(topology: Topology, target: str) -> tuple[str, ...]:
    """`op2` -> all its roles (its Toxiproxy is the host and stays); `op2.rollup` -> that one.

    Raises: KeyError naming what exists.
    """
    match = _PROGRAM.fullmatch(target)
    if match is None:
        raise KeyError(f"no node {target!r}; try op1, op1.rollup, f1 or l1")
    pod = topology.pod(match[1])
    if match[2] is None:
        return pod.programs[1:]
    if target not in pod.programs:
        raise KeyError(f"no node {target!r}; {pod.name} has {', '.join(pod.programs)}")
    return (target,)
