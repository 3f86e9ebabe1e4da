"""Another version of the code is found, laid ready and asked whether it fits; or refused in words
that say what to do."""

import os
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import dst
from devnet.model.topology import compute_topology
from devnet.network import versions
from devnet.network.versions import Formats, misfit, require_versions, version_of
from devnet.runner import campaign
from devnet.runner.attach import Wanted
from devnet.scenarios.parse import parse_scenario
from dst.cli.formats import formats
from dst.runtime.build import digest_of
from dst.spec.errors import BadConfig
from tests.other_versions import other_version

OWN = msgspec.convert(formats(), Formats)
THEIRS = msgspec.structs.replace(OWN, code="0" * 12)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of this test alone."""
    monkeypatch.setenv("DEVNET_TOOLS_DIR", str(tmp_path / "tools"))
    version_of.cache_clear()
    yield tmp_path / "tools" / "versions"
    version_of.cache_clear()


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody runs it, which takes seconds."""
    monkeypatch.setattr(versions, "_ask", lambda _tree: THEIRS)


# --------------------------------------------------------------------------------- what differs


def test_what_runs_here_fits_itself_but_for_being_the_same() -> None:
    assert misfit(THEIRS, OWN) == []
    (same,) = misfit(OWN, OWN)
    assert same.startswith("it is the code of this harness itself")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stores": dict(OWN.stores) | {"rollup": 9}}, "store of the rollup in format 9, this"),
        ({"stores": {"rollup": OWN.stores["rollup"]}}, "store of the middleware in format None"),
        ({"links": 7}, "speaks version 7 on the links between operators, this one 2"),
        ({"lock_file": 2}, "cluster files of version 2, not 1"),
    ],
)
def test_what_two_versions_do_not_share_is_named(changes: dict[str, Any], words: str) -> None:
    assert any(words in each for each in misfit(msgspec.structs.replace(THEIRS, **changes), OWN))


def test_configuration_that_it_does_not_read_is_named() -> None:
    keys = OWN.config["rollup"]
    config = dict(OWN.config)
    config["rollup"] = versions.Keys(
        known=tuple(key for key in (*keys.known, "new") if key not in ("own_listen", "from_l1")),
        required=(*keys.required, "new"),
    )
    assert misfit(msgspec.structs.replace(THEIRS, config=config), OWN) == [
        "its rollup does not know from_l1, own_listen in rollup.json",
        "its rollup needs new in rollup.json, which is not written",
    ]


# ------------------------------------------------------------------------------- where it is from


def test_a_folder_is_used_where_it_lies_and_asked_itself(tmp_path: Path) -> None:
    tree = other_version(tmp_path / "other")
    (found,) = require_versions([str(tree), "own"])
    assert found is version_of(str(tree))
    assert found.tree == tree
    assert (found.formats.version, found.formats.code) == ("9.9.9", digest_of(tree / "dst"))
    assert found.told() == f"version {tree}: dst 9.9.9, code {found.formats.code}, in {tree}"
    assert list((tree / "dst" / "__pycache__").iterdir()), "compiled: containers may not write"


def test_one_that_keeps_another_format_is_refused_before_anything_starts(tmp_path: Path) -> None:
    change = {"rollup/store.py": ('FORMAT: Final = b"3"', 'FORMAT: Final = b"4"')}
    tree = other_version(tmp_path / "other", change)
    with pytest.raises(BadConfig, match=r"other: it keeps the store of the rollup in format 4, "):
        require_versions([str(tree)])


def test_a_wheel_is_unpacked_once(tmp_path: Path, cache: Path, unasked: None) -> None:
    tree, wheel = other_version(tmp_path / "other"), tmp_path / "dst-9.9.9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in (tree / "dst").rglob("*"):
            archive.write(path, path.relative_to(tree))
    found = version_of(str(wheel))
    assert found.tree.parent == cache
    assert found.tree.name.startswith("wheel-")
    assert digest_of(found.tree / "dst") == digest_of(tree / "dst")
    (found.tree / "mark").touch()
    version_of.cache_clear()
    assert (version_of(str(wheel)).tree / "mark").exists()


def test_a_revision_is_what_was_committed_there(
    tmp_path: Path, cache: Path, unasked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = other_version(tmp_path / "checkout", version="1.0.0")
    monkeypatch.setattr(versions, "REPOSITORY", checkout)
    git(checkout, "init", "--quiet")
    (checkout / "devnet").mkdir()
    (checkout / "devnet" / "x.py").touch()
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", "x")
    git(checkout, "tag", "v1")
    committed = digest_of(checkout / "dst")
    (checkout / "dst" / "__init__.py").write_text('__version__ = "2.0.0"\n')
    found = version_of("v1")
    assert found.tree.parent == cache
    assert [path.name for path in found.tree.iterdir()] == ["dst"]
    assert digest_of(found.tree / "dst") == committed
    with pytest.raises(BadConfig, match=r"version v2: no revision of .*checkout"):
        version_of("v2")


def git(folder: Path, *words: str) -> None:
    who = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER")
           for what in ("NAME", "EMAIL")}  # fmt: skip
    environment = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", "-C", str(folder), *words], check=True, env=environment)


def test_a_copy_is_the_same_but_for_its_number(cache: Path) -> None:
    found = version_of("copy")
    assert found.formats.version == f"{dst.__version__}+copy"
    assert found.formats.code == digest_of(cache / f"copy-{OWN.code}" / "dst")
    assert misfit(found.formats, version_of("own").formats) == []


# ------------------------------------------------------------------------------ what cannot be had


def test_without_a_checkout_there_are_no_revisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it lies within somebody else's, as an installed package may."""
    monkeypatch.setattr(versions, "REPOSITORY", tmp_path / "site-packages")
    (tmp_path / "site-packages").mkdir()
    for _ in range(2):
        with pytest.raises(BadConfig, match=r"is no git checkout, so it has no revisions: name a"):
            version_of("HEAD")
        git(tmp_path, "init", "--quiet")
        git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "x")


def broken(tree: Path) -> None:
    (tree / "dst" / "rollup" / "main.py").write_text("import a_package_that_nobody_has\n")


def older(tree: Path) -> None:
    path = tree / "dst" / "cli" / "main.py"
    path.write_text(path.read_text().replace('add_parser("formats"', 'add_parser("shapes"'))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            broken,
            "it does not start with the packages of this environment: ModuleNotFoundError: .*",
        ),
        (older, "it has no `dst formats` yet, so it cannot say whether it fits"),
    ],
)
def test_what_cannot_say_whether_it_fits_is_refused(
    tmp_path: Path, change: Callable[[Path], None], words: str
) -> None:
    tree = other_version(tmp_path / "other")
    change(tree)
    with pytest.raises(BadConfig, match=rf"version .*other: {words}"):
        version_of(str(tree))


def test_one_that_is_locked_to_other_packages_is_refused(tmp_path: Path, unasked: None) -> None:
    tree = other_version(tmp_path / "other")
    here = msgspec.__version__
    (tree / "pyproject.toml").write_text('[project]\ndependencies = ["msgspec>=0.18"]\n')
    lock = tree / "requirements.lock"
    lock.write_text(f"pytest==1.0 \\\n    --hash=sha256:00\nmsgspec=={here} ; x \\\n    --hash\n")
    assert version_of(str(tree)).tree == tree, "what only tests need may be another"
    version_of.cache_clear()
    lock.write_text("msgspec==0.0.1 \\\n    --hash=sha256:00\n")
    with pytest.raises(BadConfig, match=rf"other packages .*: msgspec 0\.0\.1, here {here}"):
        version_of(str(tree))


@pytest.mark.parametrize("name", ["nothing", "nothing.whl"])
def test_a_place_that_holds_nothing_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadConfig, match=rf"version .*{name}: no wheel, and no folder"):
        version_of(str(tmp_path / name))


def test_a_file_that_is_no_wheel_is_named(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"no archive")
    with pytest.raises(BadConfig, match="not a wheel"):
        version_of(str(tmp_path / "x.whl"))
    assert list(cache.iterdir()) == [], "nothing half is left"


@pytest.mark.parametrize("runs_already", [True, False])
def test_it_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs_already: bool
) -> None:
    """On a network that runs, and on one that would have to be brought up."""
    topology = compute_topology(operators=4, followers=1)
    there = SimpleNamespace(topology=topology, backend="process", cluster=topology.cluster)
    monkeypatch.setattr(campaign, "is_claimed", lambda _: runs_already)
    monkeypatch.setattr(campaign, "read_descriptor", lambda _: there)
    monkeypatch.setattr(campaign, "require_same", lambda *_: None)
    fault = {"id": "a", "do": "upgrade", "target": "op2", "to": str(tmp_path / "gone")}
    document = {"scenario": 1, "name": "x", "about": "x"}
    asked = campaign.Campaign(
        scenario=parse_scenario({**document, "faults": [{**fault, "until": {"hold": "1s"}}]}),
        source="x",
        wanted=Wanted(directory=tmp_path / "net", backend="process"),
        runs=1,
        seed=1,
        root=tmp_path,
        say=lambda _: None,
    )
    with pytest.raises(BadConfig, match="gone: no wheel, and no folder that holds dst/"):
        campaign.require_possible(asked)
