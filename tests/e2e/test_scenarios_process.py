"""Scenarios on plain processes: what `make test` runs. All on one network, one after another, as a
user would."""

import gzip
import os
import re
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import msgspec
import pytest

import dst
from tests.e2e.conftest import (
    PORT_OFFSET,
    REPOSITORY,
    Finished,
    NetworkFactory,
    RunningNetwork,
    run_devnet,
)
from tests.other_versions import VERSION, other_version

CLIENT_VERSION = b'{"jsonrpc": "2.0", "id": 1, "method": "web3_clientVersion", "params": []}'

pytestmark = pytest.mark.xdist_group("process-network")


@pytest.fixture(scope="module")
def network(network_factory: NetworkFactory) -> RunningNetwork:
    return network_factory("--backend", "process", "--port-offset", str(PORT_OFFSET))


def test_the_example_deploys_through_an_operator_and_reads_from_the_follower(
    network: RunningNetwork,
) -> None:
    """Whatever proxy the environment names for the world."""
    done = subprocess.run(
        [
            sys.executable,
            str(REPOSITORY / "docs" / "examples" / "deploy.py"),
            str(network.directory / "network.json"),
        ],
        env={**os.environ, "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the follower reads 42" in done.stdout


@pytest.mark.parametrize(
    "name",
    [
        "leader-kill",
        "split-2-2",
        "all-restart",
        "one-way",
        "world",
        "restart-loop",
        "engine-syncing",
        "follower-lied-to",
        "l1-lies-to-one",
    ],
)
def test_scenario_passes(network: RunningNetwork, name: str) -> None:
    done, answer = network.chaos(name, "--seed", "20261123")
    assert done.code == 0, done.told
    assert answer["outcome"] == "pass"
    (run,) = answer["runs"]
    assert run["tx_ok"] > 0
    assert run["tx_lost"] == 0
    folder = Path(run["folder"])
    assert "<svg" in (folder / "report.html").read_text()
    suite = ET.parse(folder / "junit.xml").getroot()
    assert suite.get("failures") == "0"
    judged = run_devnet(["chaos", "judge", str(folder.resolve())], network.directory)
    assert judged.code == 0, judged.told
    assert "not what the run said" not in judged.err


UPGRADE = """\
scenario: 1
name: upgrade-one
about: One operator goes over to another version of the code and comes back.
faults:
  - {id: upgrade, do: upgrade, target: op2, to: %s, at: {event: decided}, until: {heights: 2}}
expect: {progress: 4, gap: 2 slots + 4s, rejoin: 60s}
"""


def test_an_operator_goes_over_to_another_version_and_comes_back(
    network: RunningNetwork, tmp_path: Path
) -> None:
    """As its own users see it: the version that its JSON-RPC tells is another one meanwhile."""
    path = tmp_path / "upgrade-one.yaml"
    path.write_text(UPGRADE % other_version(tmp_path / "other"))
    told: list[str] = []
    with listening_to(network.descriptor["operators"][1]["rpc"], told):
        done, answer = network.chaos(str(path), "--seed", "1")
    assert done.code == 0, done.told
    own = f"dst/{dst.__version__}"
    assert told == [own, f"dst/{VERSION}", own]
    (run,) = answer["runs"]
    (log,) = network.directory.glob("logs/op2.validator.log")
    codes = re.findall(r" ready .* code=([0-9a-f]+)", log.read_text())
    assert codes[-3] == codes[-1] != codes[-2], "the one that listens nowhere, too"
    assert run["tx_lost"] == 0
    report = (Path(run["folder"]) / "report.html").read_text()
    assert f"code {codes[-1]} before, {codes[-2]} since" in report


@contextmanager
def listening_to(url: str, told: list[str]) -> Iterator[None]:
    """What `web3_clientVersion` says there, each time that it is another than before."""
    over = threading.Event()
    ask = Request(url, CLIENT_VERSION, {"Content-Type": "application/json"})

    def listen() -> None:
        while not over.wait(0.2):
            with suppress(OSError, HTTPException):  # it is being restarted
                with urlopen(ask, timeout=2) as answer:
                    version = msgspec.json.decode(answer.read())["result"]
                told.extend([version] if told[-1:] != [version] else [])

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield
    finally:
        over.set()
        listener.join()


def test_flags_that_contradict_the_running_network_are_refused(network: RunningNetwork) -> None:
    done, _ = network.chaos("leader-kill", "--operators", "7")
    assert done.code == 3
    assert "operators 4 instead of 7" in done.err


def test_an_unknown_key_in_a_scenario_ends_in_one_line(
    network: RunningNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "scenario: 1\nname: mine\nabout: x\nfaults:\n"
        "  - {id: a, do: kill, tagret: leader, until: {heights: 1}}\n"
    )
    done, _ = network.chaos(str(path))
    assert done.code == 3
    assert "unknown key 'tagret'" in done.err
    assert "Traceback" not in done.err


def test_list_names_every_scenario(tmp_path: Path) -> None:
    done = run_devnet(["chaos", "list"], tmp_path)
    assert done.code == 0, done.told
    assert "leader-kill" in done.out
    assert len(done.out.splitlines()) >= 10


# --------------------------------------------------------- positive controls: what has to be a fail

TOO_FAST = """\
scenario: 1
name: nobody-seals-so-fast
about: A bound that nobody meets.
faults:
  - {id: kill, do: kill, target: follower, until: {heights: 1}}
settle: {heights: 10}  # to a batch on L1
expect: {gap: 1ms}
"""


@pytest.fixture(scope="module")
def missed(network: RunningNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run that missed a bound of one millisecond, and nothing else."""
    path = tmp_path_factory.mktemp("controls") / "too-fast.yaml"
    path.write_text(TOO_FAST)
    done, answer = network.chaos(str(path), "--seed", "1")
    assert done.code == 1, done.told
    (run,) = answer["runs"]
    assert "L2 gap between sealed blocks" in run["reason"]
    assert "allowed 0.00 s" in run["reason"]
    folder = Path(run["folder"]).resolve()
    assert verdicts_in(folder) == {"L2 gap between sealed blocks": "fail"}
    return folder


def verdicts_in(folder: Path) -> dict[str, str]:
    """Checker -> outcome, of those that did not pass."""
    verdicts = msgspec.json.decode((folder / "verdicts.json").read_bytes())
    return {v["checker"]: v["outcome"] for v in verdicts if v["outcome"] != "pass"}


def judged(folder: Path, change: Callable[[Path], None], to: Path) -> Finished:
    """`devnet chaos judge` of a changed copy."""
    shutil.copytree(folder, to)
    change(to)
    return run_devnet(["chaos", "judge", str(to)], to.parent)


def expecting(words: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        scenario = folder / "scenario.yaml"
        text = scenario.read_text()
        assert "expect:" in text
        scenario.write_text(text[: text.index("expect:")] + f"expect: {words}\n")

    return change


def forging(kind: str, **fields: Any) -> Callable[[Path], None]:
    """The first record of this kind, changed; of a fault the last, which counts."""

    def change(folder: Path) -> None:
        packed = folder / "history.ndjson.gz"
        lines = gzip.decompress(packed.read_bytes()).splitlines()
        records = [msgspec.json.decode(line) for line in lines]
        places = [at for at, record in enumerate(records) if record["type"] == kind]
        place = places[-1] if kind == "fault" else places[0]
        lines[place] = msgspec.json.encode(records[place] | fields)
        packed.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))

    return change


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (expecting("{gap: 1ms, fails: L2}"), 0, "fails as it must"),
        (expecting("{gap: 1ms, fails: S1}"), 1, "S1 agreement had to fail, and is: pass"),
        (expecting("{gap: 60s}"), 0, "S3 valid certificates"),
    ],
    ids=["the bound was to be missed", "another reason was asked for", "a bound that is met"],
)
def test_a_missed_bound_fails_its_run_and_passes_as_a_control(
    missed: Path, tmp_path: Path, change: Callable[[Path], None], code: int, words: str
) -> None:
    done = judged(missed, change, tmp_path / "copy")
    assert done.code == code, done.told
    assert words in done.out


OTHER = "0x" + "66" * 32


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (forging("certificate", commits=[]), 1, "S3 valid certificates: op"),
        (forging("block", block_hash=OTHER), 1, "S1 agreement: height"),
        (forging("receipt", block_hash=OTHER), 1, "S7 order stays: height"),
        (forging("derived", root=OTHER), 1, "S9 derived from L1: height"),
        (forging("fault", verified=None), 2, "kill: not verified"),
    ],
    ids=["certificate", "block", "receipt", "L1", "fault"],
)
def test_a_record_in_which_something_is_wrong_is_judged_so(
    missed: Path, tmp_path: Path, change: Callable[[Path], None], code: int, words: str
) -> None:
    """Each by the layer that it concerns: what is decided, served, confirmed, on L1, injected."""

    def both(folder: Path) -> None:
        expecting("{}")(folder)
        change(folder)

    done = judged(missed, both, tmp_path / "copy")
    assert done.code == code, done.told
    assert words in done.out


FOUR_BUGS = """\
scenario: 1
name: four-bugs
about: A follower, and three operators, each with a bug of its own.
faults:
  - {id: lost, do: seeded-bug, bug: lost-transactions, target: op2, until: {heights: 2n}}
  - {id: stale, do: seeded-bug, bug: stale-reads, target: f1, until: {heights: n}}
  - id: moved
    do: seeded-bug
    bug: moved-receipts
    target: op1
    at: {delay: 4s}  # its clients turn to op2, whose own went when it was started anew
    until: {heights: n}
  - id: twice
    do: seeded-bug
    bug: double-signature
    target: op3
    at: {after: {inject: stale}}
    until: {heights: n}
settle: {heights: n + 2}
expect: {fails: S18}
"""


@pytest.fixture(scope="module")
def bugs(network: RunningNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run in which four nodes had a bug each."""
    path = tmp_path_factory.mktemp("controls") / "four-bugs.yaml"
    path.write_text(FOUR_BUGS)
    done, answer = network.chaos(str(path), "--seed", "1")
    assert done.code == 0, done.told
    assert "BREACH S12 sign-once: op3 made two partials" in done.err  # when it happened
    (run,) = answer["runs"]
    return Path(run["folder"]).resolve()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("S18", "S18 linearizable objects: f1 read "),
        ("S12", "S12 sign-once: op3 made two partials at height "),
        ("S4/S5", "S4/S5 receipts stay: transaction 0x"),
        ("L6", " via op2 was in"),
    ],
)
def test_a_node_with_a_bug_is_found_out(
    bugs: Path, tmp_path: Path, number: str, words: str
) -> None:
    """By the checker of the promise that it breaks."""
    done = judged(bugs, expecting(f"{{fails: {number}}}"), tmp_path / "copy")
    assert done.code == 0, done.told
    assert words in done.out


def test_nobody_else_is_blamed_for_it(bugs: Path, tmp_path: Path) -> None:
    shutil.copytree(bugs, tmp_path / "copy")
    expecting("{}")(tmp_path / "copy")
    done = run_devnet(["chaos", "judge", str(tmp_path / "copy"), "--json"], tmp_path)
    assert done.code == 1, done.told
    failed = [each for each in msgspec.json.decode(done.out) if each["outcome"] == "fail"]
    assert {each["checker"].partition(" ")[0] for each in failed} == {"S18", "S12", "S4/S5", "L6"}


TWO_CHAINS = """\
scenario: 1
name: two-chains
about: Two of four show the other two different blocks.
faults:
  - {id: liars, do: byzantine, target: random(f+1), strategy: equivocate, until: {hold: 1s}}
settle: {timeout: 1s}
expect: {fails: S1}
"""


def test_one_liar_too_many_is_found_out(network: RunningNetwork, tmp_path: Path) -> None:
    """The last one: a network that had more liars than it bears is spent."""
    path = tmp_path / "two-chains.yaml"
    path.write_text(TWO_CHAINS)
    done, answer = network.chaos(str(path), "--seed", "20261123")
    assert done.code == 0, done.told
    assert "BREACH S1 agreement" in done.err  # when it happened, not afterwards
    (run,) = answer["runs"]
    folder = Path(run["folder"]).resolve()
    without = judged(folder, expecting("{}"), folder.parent / "without-the-promise")
    assert without.code == 1, without.told
    assert "S1 agreement: height" in without.out
