"""The same scenarios on real containers. Needs a Docker Engine; `make e2e-docker` and the CI run
them."""

import pytest

from tests.e2e.conftest import PORT_OFFSET, NetworkFactory, RunningNetwork

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker-network")]


@pytest.fixture(scope="module")
def network(network_factory: NetworkFactory) -> RunningNetwork:
    return network_factory("--backend", "docker", "--port-offset", str(PORT_OFFSET + 2000))


@pytest.mark.parametrize(
    "name",
    [
        "leader-kill",
        "leader-freeze",
        "split-2-2",
        "planned-restart",
        "rolling-upgrade",
        "host-lost",
        "packet-blackhole",
        "cpu-starved",
        "out-of-memory",
    ],
)
def test_scenario_passes(network: RunningNetwork, name: str) -> None:
    done, answer = network.chaos(name, "--seed", "20261123")
    assert done.code == 0, done.told
    assert answer["outcome"] == "pass"
    assert answer["backend"] == "docker"
    (run,) = answer["runs"]
    assert run["tx_ok"] > 0
    assert run["tx_lost"] == 0
