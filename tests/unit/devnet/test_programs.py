"""Every role dials through its own proxy, sees its own secrets alone, and its config names only
what exists."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import devnet
from devnet.backends.base import Extra, with_extra
from devnet.model.accounts import ACCOUNTS, BATCHER_ACCOUNTS
from devnet.model.cluster import SIZES
from devnet.model.code import read_codes
from devnet.model.topology import LinkClass, Topology, compute_topology
from devnet.network.programs import Plan, write_configs
from dst.cli.genesis import DEV_ACCOUNTS
from dst.runtime.browsers import DEFAULT_POLICY

TOPOLOGY = compute_topology(operators=4, followers=2)


def plan(backend: str = "process") -> Plan:
    return Plan(TOPOLOGY, backend, frozenset({"f2"}))


NETWORKS = [
    plan(),
    *(
        Plan(compute_topology(operators=n, followers=1, cluster=kind), "process", frozenset())
        for kind, sizes in SIZES.items()
        if kind.is_baseline
        for n in sizes
    ),
]
"""Our cluster, and every baseline."""


def _addresses(value: object) -> list[str]:
    if isinstance(value, dict):
        return [a for item in value.values() for a in _addresses(item)]
    if isinstance(value, list):
        return [a for item in value for a in _addresses(item)]
    text = str(value).removeprefix("http://")
    return [text] if text.rpartition(":")[2].isdigit() and ":" in text else []


@pytest.mark.parametrize("network", NETWORKS)
def test_no_role_dials_a_service_port(network: Plan) -> None:
    services = {pod.port(s) for pod in network.topology.pods for s in pod.services}
    for name, config in network.configs.items():
        dialled = {k: v for k, v in config.items() if not k.endswith("listen")}
        for address in _addresses(dialled):
            assert int(address.rpartition(":")[2]) not in services, (name, address)


@pytest.mark.parametrize("network", [*NETWORKS, plan("docker")])
def test_every_listener_is_on_loopback(network: Plan) -> None:
    for config in network.configs.values():
        listens = [v for k, v in config.items() if k.endswith("listen") and v is not None]
        assert all(str(listen).startswith("127.0.0.1:") for listen in listens)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_link_between_pods_is_dialled_by_exactly_one_config(network: Plan) -> None:
    dialled: list[str] = []
    for config in network.configs.values():
        dialled += _addresses({k: v for k, v in config.items() if not k.endswith("listen")})
    ports = sorted(int(address.rpartition(":")[2]) for address in dialled)
    links = network.topology.links
    wanted = sorted(k.listen_port for k in links if not k.is_from_host)
    # A follower that rebuilds the chain from L1 has beacon links that it does not use.
    unused = {
        k.listen_port
        for k in links
        if k.source in network.l1_followers and k.kind is LinkClass.FOLLOW
    }
    assert ports == [port for port in wanted if port not in unused]


def test_a_sequencer_has_the_key_and_its_code_and_only_one_alone_posts_batches() -> None:
    _, single, *_, standby = NETWORKS
    program = standby.programs["op2.sequencer"]
    assert program.arguments[:3] == ("-P", "-m", "devnet.baseline")
    assert "cluster/operators/op2/keystore.json" in program.reads
    assert all((Path(devnet.__file__).parents[1] / path).exists() for path in program.code)
    config = standby.configs["op2.sequencer"]
    assert [peer["name"] for peer in config["standby"]["peers"]] == ["op1", "op3"]
    assert single.configs["op1.sequencer"]["standby"] is None
    assert single.configs["op1.rollup"]["batcher_key"] is not None
    assert standby.configs["op2.rollup"]["batcher_key"] is None


def test_docker_dials_other_pods_by_name_and_its_own_by_loopback() -> None:
    config = plan("docker").configs["op1.middleware"]
    assert config["peers"][0] == {
        "index": 2,
        "address": f"op2:{TOPOLOGY.link('op1>op2.consensus').listen_port}",
    }
    assert config["rollup"].startswith("http://127.0.0.1:")
    assert plan("docker").configs["op1.rollup"]["l1"].startswith("http://l1:")


@pytest.mark.parametrize("backend", ["process", "docker"])
def test_every_execution_layer_asks_the_rollup_node_beside_it(backend: str) -> None:
    """Within the pod, so by loopback on both backends."""
    configs = plan(backend).configs
    for name in (*TOPOLOGY.operator_names, *TOPOLOGY.follower_names):
        link = TOPOLOGY.link(f"{name}.execution>{name}.rollup")
        listen = configs[f"{name}.rollup"]["listen"]
        assert configs[f"{name}.execution"]["rollup"] == f"http://127.0.0.1:{link.listen_port}"
        assert listen == f"127.0.0.1:{link.service_port}", "and the proxy leads there"


@pytest.mark.parametrize("backend", ["process", "docker"])
def test_every_name_that_is_dialled_needs_no_entry_in_hosts(backend: str) -> None:
    for name, config in plan(backend).configs.items():
        for address in _addresses(config):
            assert DEFAULT_POLICY.allows_host(address), (name, address)


def test_secrets_are_shared_by_need() -> None:
    programs = plan().programs
    assert not any("identity.key" in path for path in programs["op1.validator"].reads)
    assert not any("keystore" in path for path in programs["op1.middleware"].reads)
    for name, program in programs.items():
        others = [
            path
            for path in program.reads
            if "/operators/" in path and f"/{program.pod}/" not in path
        ]
        assert others == [], name
    assert "cluster/operators/op1/peers.hex" in programs["op1.execution"].reads
    assert not any("peers.hex" in path for path in programs["f1.execution"].reads)
    assert programs["f1.rollup"].reads.count("cluster/followers/f1/jwt.hex") == 1


def test_only_roles_with_a_store_are_told_new() -> None:
    told = {name for name, program in plan().programs.items() if program.first_arguments}
    assert told == {f"op{i}.{role}" for i in range(1, 5) for role in ("middleware", "validator")}


def test_configs_are_written_and_secrets_are_private(tmp_path: Path) -> None:
    write_configs(tmp_path, plan())
    config = json.loads((tmp_path / "nodes" / "f2" / "rollup" / "config.json").read_text())
    assert config["from_l1"] is True
    assert config["sources"] == []
    assert config["index"] is None
    for secret in (*tmp_path.rglob("batcher.key"), *tmp_path.rglob("jwt.hex")):
        assert secret.stat().st_mode & 0o777 == 0o600
    keys = {path.read_text() for path in tmp_path.rglob("batcher.key")}
    assert len(keys) == 4


@pytest.mark.parametrize("operators", [1, 4, 7, 10])
def test_every_operator_has_a_batcher_account(operators: int) -> None:
    topology: Topology = compute_topology(operators=operators)
    assert len(BATCHER_ACCOUNTS) >= len(topology.operator_names)


def test_the_standard_accounts_are_those_of_the_genesis() -> None:
    assert [account.address.lower() for account in ACCOUNTS] == list(DEV_ACCOUNTS)


def test_another_module_runs_on_the_same_configuration() -> None:
    program = plan().programs["op2.middleware"]
    liar = with_extra(program, Extra(module="devnet.byzantine", flags=("--strategy", "flood")))
    config = "nodes/op2/middleware/config.json"
    assert liar.arguments == (
        "-P", "-m", "devnet.byzantine", "--config", config, "--strategy", "flood",
    )  # fmt: skip
    assert (liar.name, liar.reads, liar.writes) == (program.name, program.reads, program.writes)
    assert liar.first_arguments == ()
    assert liar.code == ("dst", "devnet/__init__.py", "devnet/byzantine")
    assert all((Path(devnet.__file__).parents[1] / path).exists() for path in liar.code)
    assert with_extra(replace(program, tree="/old"), Extra(module="devnet.byzantine")).tree == ""
    back = with_extra(program, Extra(flags=("--rejoin",)))
    assert back.arguments == (*program.arguments, "--rejoin")
    assert back.code == ("dst",)


def test_a_node_of_another_version_runs_all_its_roles_from_there_and_nothing_else() -> None:
    mixed = replace(plan(), trees={"op2": "/versions/v1"})
    of_there = {name for name, program in mixed.programs.items() if program.tree}
    assert of_there == {f"op2.{role}" for role in mixed.topology.pod("op2").roles}
    assert {mixed.programs[name].tree for name in of_there} == {"/versions/v1"}


def test_the_last_word_that_names_a_node_says_its_version() -> None:
    nodes = ("op1", "op2", "f1")
    found = read_codes(["v1", "op2=/old", "f1=own"], nodes, "--version")
    assert found == {"op1": "v1", "op2": "/old"}
    assert read_codes([], nodes, "--version") == {}
