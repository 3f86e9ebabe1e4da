"""How Quint is asked and what is made of its answer; a script stands in for it."""

import json
from pathlib import Path

import pytest

from devnet.sim.formal import quint
from devnet.sim.formal.quint import HERE, ModelBroken, Search, explore
from devnet.toolchain.npm_project import NpmProject


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: what the stand-in prints. Its arguments land beside it."""
    node = tmp_path / "node"
    node.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\ncat {tmp_path}/said\n')
    node.chmod(0o755)
    project = NpmProject(folder=tmp_path, node=node)
    monkeypatch.setattr(quint, "ensure_npm_project", lambda _source: project)
    return tmp_path / "said"


def test_witnesses_and_the_verdict_are_read(said: Path) -> None:
    said.write_text(
        "[ok] No violation found (10ms at 4 traces/second).\nWitnesses:\n"
        "fetched was witnessed in 3 trace(s) out of 20 explored (15.00%)\n"
    )
    found = explore(Search(samples=20, seed=7), invariants=("a", "b"), witnesses=("fetched",))
    assert (found.violated, found.witnesses, found.traces) == (False, {"fetched": 3}, ())
    words = (said.parent / "words").read_text()
    for word in ("--backend=typescript", "--max-samples=20", "--seed=7", "--invariants a b"):
        assert word in words


def test_a_violation_is_told(said: Path) -> None:
    said.write_text("[violation] Found an issue (881ms at 9 traces/second).\n")
    assert explore(Search(samples=1), invariants=("a",)).violated


def test_a_model_that_does_not_parse_is_not_a_model_that_holds(said: Path) -> None:
    said.write_text("error: parsing failed\n")
    with pytest.raises(ModelBroken, match="parsing failed"):
        explore(Search(samples=1), invariants=("a",))


def test_the_lock_file_pins_every_package_and_names_no_address() -> None:
    lock = json.loads((HERE / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages["node_modules/antlr4ts"]["version"] == "0.5.0-alpha.4"
    assert packages["node_modules/@informalsystems/quint"]["version"] == "0.33.1"
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    assert "resolved" not in json.dumps(lock)
