"""Every worst-case transaction in turn to a running cluster of four at one-second slots, beside a
normal load: no round changes, no block is late, and every sender learns what became of its own."""

from pathlib import Path

import pytest

from devnet.workload.hostile.catalogue import CATALOGUE
from tests.e2e.conftest import PORT_OFFSET, NetworkFactory

pytestmark = pytest.mark.xdist_group("hostile-network")

BACKENDS = [
    pytest.param("process", PORT_OFFSET + 1000),
    pytest.param("docker", PORT_OFFSET + 3000, marks=pytest.mark.docker),
]


@pytest.mark.parametrize(("backend", "offset"), BACKENDS)
def test_no_transaction_delays_a_block_or_vanishes(
    network_factory: NetworkFactory, backend: str, offset: int
) -> None:
    network = network_factory("--backend", backend, "--port-offset", str(offset))
    done, answer = network.chaos("hostile-transactions", "--seed", "20261125")
    assert done.code == 0, done.told
    (run,) = answer["runs"]
    assert answer["backend"] == backend
    assert run["target"] == f"{len(CATALOGUE)} hostile txs"
    assert run["tx_ok"] > 0
    assert run["tx_lost"] == 0
    page = (Path(run["folder"]) / "report.html").read_text()
    assert all(f"<td>{name}</td>" in page for name in CATALOGUE)
