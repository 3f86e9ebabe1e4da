"""Every program of a network: what it runs, what it may read and write, and its configuration file.
Pure but for writing.

Layout of a network's folder: `cluster/` (dealt keys, lock, genesis), `nodes/POD/ROLE/` (config.json
and data/), `logs/`, `run/` (pid files, control socket), `network.json`. A container sees only what
its program names here.
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from devnet.backends.base import Program
from devnet.model.accounts import BATCHER_ACCOUNTS, L1_ACCOUNTS
from devnet.model.bend import bender_home, bender_of
from devnet.model.cluster import LEASE_SECONDS, ClusterKind
from devnet.model.firewall import (
    FIREWALL_CAPABILITIES,
    FIREWALL_CODE,
    firewall_home,
    firewall_of,
)
from devnet.model.topology import Link, LinkClass, Pod, Role, Service, Topology
from dst.spec.drills import MACHINE_VARIABLE

L1_CHAIN_ID: Final = 900
L2_CHAIN_ID: Final = 901
L1_BLOCK_SECONDS: Final = 2
MACHINE_FOLDER: Final = "machine"
"""Of a program, beside its config: what a fault says of its machine (`dst.spec.drills`)."""
MACHINE_FILE: Final = "machine.json"
_UP: Final = "../../.."
"""From nodes/POD/ROLE/config.json to the network's folder: role configs hold paths relative to
their own file."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All programs of a network. `backend` decides only by which name a pod is dialled."""

    topology: Topology
    backend: str
    l1_followers: frozenset[str]
    log_level: str = "info"
    lease_seconds: int = LEASE_SECONDS
    trees: Mapping[str, str] = field(default_factory=dict)
    """Node -> folder of the code that it runs, where that is not the harness's own."""

    @property
    def programs(self) -> dict[str, Program]:
        made = [program for pod in self.topology.pods for program in self._programs_of(pod)]
        return {program.name: program for program in made}

    @property
    def configs(self) -> dict[str, dict[str, Any]]:
        """Program name -> contents of its config.json."""
        names = (*self.topology.operator_names, *self.topology.follower_names)
        made: dict[str, dict[str, Any]] = {}
        for name in names:
            pod = self.topology.pod(name)
            for role in pod.roles:
                made[f"{name}.{role}"] = {
                    "name": name,
                    **self._config(pod, role),
                    "log_level": self.log_level,
                }
        return made

    def _programs_of(self, pod: Pod) -> list[Program]:
        return [
            self._toxiproxy(pod),
            *(self._program(pod, role) for role in pod.roles),
            _bender(pod),
            *([_firewall(pod)] if self.backend == "docker" else []),
        ]

    def _toxiproxy(self, pod: Pod) -> Program:
        """In a pod the control port listens on the management network only; its launcher fills the
        address in."""
        host = "@management" if self.backend == "docker" else "127.0.0.1"
        return Program(
            name=f"{pod.name}.{Role.TOXIPROXY}",
            command="toxiproxy-server",
            arguments=("-host", host, "-port", str(pod.admin_port)),
            environment=(("LOG_LEVEL", "error"),),  # at info it writes two lines a connection
        )

    def _program(self, pod: Pod, role: Role) -> Program:
        match role:
            case Role.ANVIL:
                return self._anvil(pod)
            case Role.ETCD:
                return _etcd(pod)
            case _:
                return replace(_role(pod, role), tree=self.trees.get(pod.name, ""))

    def _anvil(self, pod: Pod) -> Program:
        flags = {
            "--host": "127.0.0.1",
            "--port": pod.port(Service.L1_RPC),
            "--chain-id": L1_CHAIN_ID,
            "--block-time": L1_BLOCK_SECONDS,
            "--accounts": L1_ACCOUNTS,
        }
        words = tuple(str(word) for pair in flags.items() for word in pair)
        return Program(
            name="l1.anvil",
            command="anvil",
            arguments=(*words, "--silent"),
            writes=("nodes/l1/anvil",),
        )

    # ---------------------------------------------------------------------------- role configs

    def _config(self, pod: Pod, role: Role) -> dict[str, Any]:
        match role:
            case Role.EXECUTION:
                return self._execution(pod)
            case Role.ROLLUP:
                return self._rollup(pod)
            case Role.MIDDLEWARE:
                return self._middleware(pod)
            case Role.VALIDATOR:
                return self._validator(pod)
            case Role.SEQUENCER:
                return self._sequencer(pod)
            case _:
                raise AssertionError(f"{role} has no config file")

    def _execution(self, pod: Pod) -> dict[str, Any]:
        forward = [
            k for k in self.topology.links if k.kind is LinkClass.FORWARD and k.source == pod.name
        ]
        return {
            "data_dir": "data",
            "genesis": f"{_UP}/cluster/genesis.json",
            "lock": f"{_UP}/cluster/cluster-lock.json",
            "jwt_secret": f"{_UP}/{secrets_of(pod)}/jwt.hex",
            "engine_listen": f"127.0.0.1:{pod.port(Service.ENGINE)}",
            "rpc_listen": f"127.0.0.1:{pod.port(Service.RPC)}",
            "forward_to": [self._url(link) for link in forward],
            "rollup": self._url_of(f"{pod.name}.execution>{pod.name}.rollup"),
            "subscribe": not _is_operator(pod),
            "peer_secret": f"{_UP}/{secrets_of(pod)}/peers.hex" if _is_operator(pod) else None,
        }

    def _rollup(self, pod: Pod) -> dict[str, Any]:
        is_operator, from_l1 = _is_operator(pod), pod.name in self.l1_followers
        follow = [
            k for k in self.topology.links if k.kind is LinkClass.FOLLOW and k.source == pod.name
        ]
        return {
            "data_dir": "data",
            "lock": f"{_UP}/cluster/cluster-lock.json",
            "genesis": f"{_UP}/cluster/genesis.json",
            "l1": self._url_of(f"{pod.name}>l1.rpc"),
            "engine": self._url_of(f"{pod.name}.rollup>{pod.name}.engine"),
            "jwt_secret": f"{_UP}/{secrets_of(pod)}/jwt.hex",
            "listen": f"127.0.0.1:{pod.port(Service.ROLLUP)}",
            "own_listen": f"127.0.0.1:{pod.port(Service.ROLLUP_OWN)}" if is_operator else None,
            "own_secret": f"{_UP}/{secrets_of(pod)}/own.hex" if is_operator else None,
            "index": self._index(pod) if is_operator else None,
            "sources": [] if from_l1 else [self._url(link) for link in follow],
            "from_l1": from_l1,
            "batcher_key": f"{_UP}/{secrets_of(pod)}/batcher.key" if self._posts(pod) else None,
        }

    def _posts(self, pod: Pod) -> bool:
        """Batches to L1. Stand-bys post none: which of two chains L1 were to take when a leader's
        newest blocks are lost is no question to the sequencers."""
        return _is_operator(pod) and self.topology.cluster is not ClusterKind.STANDBY

    def _middleware(self, pod: Pod) -> dict[str, Any]:
        peers = [
            k for k in self.topology.links if k.kind is LinkClass.CONSENSUS and k.source == pod.name
        ]
        return {
            "data_dir": "data",
            "lock": f"{_UP}/cluster/cluster-lock.json",
            "index": _index(pod),
            "identity_key": f"{_UP}/{secrets_of(pod)}/identity.key",
            "transport_key": f"{_UP}/{secrets_of(pod)}/transport.key",
            "transport_cert": f"{_UP}/{secrets_of(pod)}/transport.crt",
            "certs_dir": f"{_UP}/cluster/certs",
            "rollup": self._url_of(f"{pod.name}.middleware>{pod.name}.rollup"),
            "own_secret": f"{_UP}/{secrets_of(pod)}/own.hex",
            "listen": f"127.0.0.1:{pod.port(Service.MIDDLEWARE)}",
            "p2p_listen": f"127.0.0.1:{pod.port(Service.P2P)}",
            "peers": [
                {"index": int(k.target.removeprefix("op")), "address": self._address(k)}
                for k in peers
            ],
        }

    def _validator(self, pod: Pod) -> dict[str, Any]:
        return {
            "data_dir": "data",
            "lock": f"{_UP}/cluster/cluster-lock.json",
            "index": _index(pod),
            "keystore": f"{_UP}/{secrets_of(pod)}/keystore.json",
            "password_file": f"{_UP}/{secrets_of(pod)}/keystore.password",
            "beacon": self._url_of(f"{pod.name}.validator>{pod.name}.middleware"),
        }

    def _sequencer(self, pod: Pod) -> dict[str, Any]:
        return {
            "lock": f"{_UP}/cluster/cluster-lock.json",
            "keystore": f"{_UP}/{secrets_of(pod)}/keystore.json",
            "password_file": f"{_UP}/{secrets_of(pod)}/keystore.password",
            "identity_key": f"{_UP}/{secrets_of(pod)}/identity.key",
            "rollup": self._url_of(f"{pod.name}.sequencer>{pod.name}.rollup"),
            "own_secret": f"{_UP}/{secrets_of(pod)}/own.hex",
            "listen": f"127.0.0.1:{pod.port(Service.SEQUENCER)}",
            "standby": self._standby(pod),
        }

    def _standby(self, pod: Pod) -> dict[str, Any] | None:
        if self.topology.cluster is not ClusterKind.STANDBY:
            return None
        mine = [k for k in self.topology.consensus_links if k.source == pod.name]
        return {
            "etcd": self._url_of(f"{pod.name}>etcd.lease"),
            "lease_seconds": self.lease_seconds,
            "peers": [{"name": k.target, "url": self._url(k)} for k in mine if k.target != "etcd"],
        }

    def _index(self, pod: Pod) -> int:
        """In the lock: baselines have the keys of a cluster of one."""
        return 1 if self.topology.cluster.is_baseline else _index(pod)

    def _address(self, link: Link) -> str:
        """How the dialling pod reaches the link's listener: by the pod's name on the mesh, or side
        by side."""
        other_pod = self.backend == "docker" and not link.is_inside_pod
        return f"{link.target if other_pod else '127.0.0.1'}:{link.listen_port}"

    def _url(self, link: Link) -> str:
        return f"http://{self._address(link)}"

    def _url_of(self, name: str) -> str:
        return self._url(self.topology.link(name))


def _is_operator(pod: Pod) -> bool:
    return pod.name.startswith("op")


def _index(pod: Pod) -> int:
    return int(pod.name.removeprefix("op"))


def secrets_of(pod: Pod) -> str:
    """Folder of a pod's own secrets; a follower has nothing but the token of its Engine API."""
    return f"cluster/operators/{pod.name}" if _is_operator(pod) else f"cluster/followers/{pod.name}"


_SECRETS_OF: Final[Mapping[Role, tuple[str, ...]]] = {
    Role.EXECUTION: ("jwt.hex", "peers.hex"),
    Role.ROLLUP: ("jwt.hex", "own.hex", "batcher.key"),
    Role.MIDDLEWARE: ("own.hex", "identity.key", "transport.key", "transport.crt"),
    Role.VALIDATOR: ("keystore.json", "keystore.password"),
    Role.SEQUENCER: ("own.hex", "identity.key", "keystore.json", "keystore.password"),
}
_SHARED_WITH: Final[Mapping[Role, tuple[str, ...]]] = {
    Role.EXECUTION: ("cluster/cluster-lock.json", "cluster/genesis.json"),
    Role.ROLLUP: ("cluster/cluster-lock.json", "cluster/genesis.json"),
    Role.MIDDLEWARE: ("cluster/cluster-lock.json", "cluster/certs"),
    Role.VALIDATOR: ("cluster/cluster-lock.json",),
    Role.SEQUENCER: ("cluster/cluster-lock.json",),
}
_OF_BASELINES: Final = ("devnet/__init__.py", "devnet/baseline")
_HAS_STORE: Final = frozenset({Role.MIDDLEWARE, Role.VALIDATOR})


def _bender(pod: Pod) -> Program:
    """Not one of the pod's roles: faults never hit it."""
    home = bender_home(pod.name)
    return Program(
        name=bender_of(pod.name),
        command="python",
        arguments=("-P", "-m", "devnet.bender.main", home),
        writes=(home,),
        code=("devnet/bender", "devnet/model/bend.py", "devnet/model/whole.py"),
        on_demand=True,
    )


def _firewall(pod: Pod) -> Program:
    """None of the pod's roles either."""
    home = firewall_home(pod.name)
    return Program(
        name=firewall_of(pod.name),
        command="python",
        arguments=("-P", "-m", "devnet.firewall.main", home),
        writes=(home,),
        code=FIREWALL_CODE,
        capabilities=FIREWALL_CAPABILITIES,
        on_demand=True,
    )


def _etcd(pod: Pod) -> Program:
    client, peer = (
        f"http://127.0.0.1:{pod.port(service)}" for service in (Service.ETCD, Service.ETCD_PEER)
    )
    home = "nodes/etcd/etcd"
    flags = {
        "--name": "etcd",
        "--data-dir": f"{home}/data",
        "--listen-client-urls": client,
        "--advertise-client-urls": client,
        "--listen-peer-urls": peer,
        "--initial-advertise-peer-urls": peer,
        "--initial-cluster": f"etcd={peer}",
    }
    return Program(
        name="etcd.etcd",
        command="etcd",
        arguments=tuple(word for pair in flags.items() for word in pair),
        writes=(home,),
    )


def _role(pod: Pod, role: Role) -> Program:
    home = f"nodes/{pod.name}/{role}"
    own = [f for f in _SECRETS_OF[role] if _is_operator(pod) or f == "jwt.hex"]
    return Program(
        name=f"{pod.name}.{role}",
        command="python",
        arguments=("-P", "-m", *_module(role), "--config", f"{home}/config.json"),
        first_arguments=("--new",) if role in _HAS_STORE else (),
        reads=(
            *_SHARED_WITH[role],
            *(f"{secrets_of(pod)}/{name}" for name in own),
            f"{home}/config.json",
            f"{home}/{MACHINE_FOLDER}",
        ),
        writes=(f"{home}/data",),
        code=("dst", *(_OF_BASELINES if role is Role.SEQUENCER else ())),
        environment=((MACHINE_VARIABLE, f"{home}/{MACHINE_FOLDER}/{MACHINE_FILE}"),),
    )


def _module(role: Role) -> tuple[str, ...]:
    return ("devnet.baseline",) if role is Role.SEQUENCER else ("dst", str(role))


def write_configs(directory: Path, plan: Plan) -> None:
    """Role configs, and the secrets that only a devnet needs: batcher keys and the followers'
    Engine API tokens."""
    for name, config in plan.configs.items():
        pod, _, role = name.partition(".")
        home = directory / "nodes" / pod / role
        for folder in ("data", MACHINE_FOLDER):
            (home / folder).mkdir(parents=True, exist_ok=True)
        (home / MACHINE_FOLDER / MACHINE_FILE).unlink(missing_ok=True)
        (home / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for pod_name, account in zip(plan.topology.operator_names, BATCHER_ACCOUNTS, strict=False):
        _write_secret(
            directory / secrets_of(plan.topology.pod(pod_name)) / "batcher.key", account.private_key
        )
    for pod_name in plan.topology.follower_names:
        _write_secret(
            directory / secrets_of(plan.topology.pod(pod_name)) / "jwt.hex", secrets.token_hex(32)
        )


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text + "\n")
