"""Worst-case transactions in turn to a running cluster of four at one-second slots, beside a normal
load: no round changes, no block is late, and every sender learns what became of its own.

One of each kind of cost; `make chaos NAME=hostile-transactions` sends the whole catalogue.
"""

from pathlib import Path

import pytest

from devnet.workload.hostile.catalogue import CATALOGUE
from tests.e2e.conftest import PORT_OFFSET, NetworkFactory

pytestmark = pytest.mark.xdist_group("hostile-network")

BACKENDS = [
    pytest.param("process", PORT_OFFSET + 1000),
    pytest.param("docker", PORT_OFFSET + 3000, marks=pytest.mark.docker),
]
KINDS = (
    "blake2f-one-call",
    "bn254-pairing-many-calls",
    "modexp-small",
    "call-contract",
    "deep-recursion",
    "create-jumpdests",
    "keccak-megabyte",
    "authorizations",
)
"""A long native call, many native calls, frames, deep frames, new code, memory, signatures."""


@pytest.mark.parametrize(("backend", "offset"), BACKENDS)
def test_no_transaction_delays_a_block_or_vanishes(
    network_factory: NetworkFactory, tmp_path: Path, backend: str, offset: int
) -> None:
    assert set(KINDS) <= set(CATALOGUE)
    scenario = tmp_path / "hostile.yaml"
    scenario.write_text(
        "scenario: 1\n"
        "name: hostile-few\n"
        "about: One hostile transaction of each kind of cost.\n"
        f"hostile: {{kinds: [{', '.join(KINDS)}], gas: 10000000}}\n"
        "expect: {round_changes: forbidden, gap: 2 slots}\n"
    )
    network = network_factory("--backend", backend, "--port-offset", str(offset))
    done, answer = network.chaos(str(scenario), "--seed", "20261125")
    assert done.code == 0, done.told
    (run,) = answer["runs"]
    assert answer["backend"] == backend
    assert run["target"] == f"{len(KINDS)} hostile txs"
    assert run["tx_ok"] > 0
    assert run["tx_lost"] == 0
    page = (Path(run["folder"]) / "report.html").read_text()
    assert all(f"<td>{name}</td>" in page for name in KINDS)
