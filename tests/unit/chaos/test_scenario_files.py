"""The written form: everything in the catalogue is valid, everything else is refused with the place
and the remedy."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from devnet.bugs.names import Bug
from devnet.byzantine.names import Strategy
from devnet.faults.kill import Kill
from devnet.model.reading import read_count, read_duration
from devnet.model.terms import Aim, Count, Duration
from devnet.scenarios import catalogue
from devnet.scenarios.parse import EXPECT_KEYS, SCENARIO_KEYS, parse_scenario, parse_text
from devnet.scenarios.schema import PAGE, page, schema
from devnet.scenarios.write import scenario_yaml, written
from dst.spec.errors import BadConfig

SCHEMA = json.loads((catalogue.FOLDER / "scenario.schema.json").read_text())

WANTED = {
    "steady",
    "follower-restart",
    "operator-restart",
    "leader-kill",
    "leader-freeze",
    "leader-isolated",
    "leader-blackhole",
    "split-2-2",
    "split-3-1",
    "all-restart",
    "wan-50ms",
    "slow-engine",
    "hostile-transactions",
    "l1-unreachable",
    "one-way",
    "overlapping-majorities",
    "bridge",
    "flapping-links",
    "swizzle",
    "torn-frames",
    "resets",
    "world",
    "execution-killed",
    "host-lost",
    "packet-blackhole",
    "cpu-starved",
    "out-of-memory",
    "planned-restart",
    "planned-drain",
    "restart-loop",
    "l1-torn",
    "l1-lags",
    "l1-reorg",
    "l1-wrong-blocks",
    "l1-lies-to-one",
    "l1-lies-to-all",
    "engine-syncing",
    "engine-invalid",
    "engine-500",
    "validator-late",
    "follower-lied-to",
    "clock-offset",
    "clock-jump",
    "clock-drift",
    "slow-fsync",
    "full-disk",
    "crash-after-persist",
    "crash-points",
    "power-loss",
    "lost-store-rejoin",
    "old-copy",
    "old-copy-forgotten",
    "rolling-restart",
    "rolling-upgrade",
    "flipped-bytes",
    *(f"byzantine-{strategy}" for strategy in Strategy),
    "beyond-f-equivocate",
    "beyond-f-silent",
    "beyond-f-claim-lock",
    "beyond-f-false-status",
    "beyond-f-forge-round-changes",
    *(f"bug-{bug}" for bug in Bug),
}


def minimal() -> dict[str, object]:
    return {
        "scenario": 1,
        "name": "mine",
        "about": "one fault",
        "faults": [{"id": "a", "do": "kill", "target": "leader", "until": {"heights": 4}}],
    }


def with_fault(**changes: object) -> dict[str, object]:
    document = minimal()
    fault = {"id": "a", "do": "kill", "target": "leader", "until": {"heights": 4}, **changes}
    document["faults"] = [{key: value for key, value in fault.items() if value is not None}]
    return document


def test_the_catalogue_is_complete_and_every_file_is_named_after_its_scenario() -> None:
    assert set(catalogue.names()) == WANTED
    assert all(catalogue.load(name).name == name for name in catalogue.names())
    assert set(catalogue.ORDER) == WANTED


@pytest.mark.parametrize("name", sorted(WANTED))
def test_every_file_satisfies_the_published_schema(name: str) -> None:
    document = yaml.safe_load((catalogue.FOLDER / f"{name}.yaml").read_text())
    jsonschema.validate(document, SCHEMA)


def test_the_published_schema_is_the_readers() -> None:
    """`make docs` writes it."""
    assert schema() == SCHEMA
    assert set(SCHEMA["properties"]) == set(SCENARIO_KEYS)
    assert set(SCHEMA["properties"]["expect"]["properties"]) == set(EXPECT_KEYS)


def test_the_page_of_faults_is_current() -> None:
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("changes", [{"mode": "drop"}, {"target": None}, {"do": "explode"}])
def test_the_schema_refuses_what_the_reader_refuses(changes: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(with_fault(**changes), SCHEMA)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({**minimal(), "topologie": 4}, ["unknown key 'topologie'", "allowed: scenario, name"]),
        (with_fault(tagret="op1"), ["faults[0]", "unknown key 'tagret'", "target"]),
        (with_fault(mode="drop"), ["faults[0] (kill)", "unknown key 'mode'"]),
        (with_fault(until={"hieghts": 3}), ["faults[0] (kill).until", "'hieghts'", "heights"]),
        (with_fault(until={}), ["a fault needs an end"]),
        (with_fault(target="chef"), ["expected leader, not-leader", "'chef'"]),
        (with_fault(target=None), ["faults[0] (kill)", "the key 'target' is missing"]),
        (with_fault(do="explode"), ["one of bandwidth, bridge, byzantine, cl", "'explode'"]),
        (with_fault(at={"delay": 3}), ["expected a duration such as 300ms"]),
        (with_fault(at={"after": "b"}), ["[0].at.after", "names no fault: 'b'", "there are a"]),
        (with_fault(at={"after": {"middle": "a"}}), ["at.after", "'middle'", "inject, heal"]),
        (with_fault(at={"after": {}}), ["at.after", "one of {inject: ID}, {heal: ID}"]),
        (with_fault(at={"every": "5 heights"}), ["every and times go together"]),
        (with_fault(at={"every": "5 hours", "times": 2}), ["at.every", "expected a duration"]),
        (with_fault(at={"every": "5s", "times": 1}), ["at.times", "from 2 to 100"]),
        (with_fault(until={"after": "b"}), ["faults[0].until.after", "names no fault: 'b'"]),
        (with_fault(until={"forever": True}), ["all are forever", "give one an end"]),
        (with_fault(until={"forever": 1}), ["until.forever", "expected true or false"]),
        (with_fault(until={"event": "start"}), ["until.event", "proposal, prepared", "'start'"]),
        (with_fault(until={"event": "sealed", "leader": "op1"}), ["until.leader", "decided"]),
        (with_fault(until={"after": "a"}), ["wait for each other", "the heal of a"]),
        (with_fault(target="random(0)"), ["random(2), random(f)", "'random(0)'"]),
        (with_fault(do="partition", split=[2, 2]), ["either target (isolated alone) or split"]),
        (with_fault(do="partition", target=None, split=[4]), ["one group is no partition"]),
        (with_fault(do="latency", target=None, one_way="1 slot"), ["at least 1 ms"]),
        (with_fault(do="latency", target=None), ["the key 'one_way' is missing"]),
        (with_fault(do="latency", one_way="5ms", jitter="6ms"), ["jitter: at most one_way"]),
        (with_fault(do="latency", one_way="5ms", toxicity=0), [".toxicity", "above 0", "got 0"]),
        (with_fault(do="latency", one_way="5ms", toxicity=1.5), [".toxicity", "at most 1"]),
        (with_fault(do="latency", one_way="5ms", toxicity=True), [".toxicity", "got True"]),
        (with_fault(do="latency", one_way="5ms", stream="up"), [".stream", "upstream, downstream"]),
        (with_fault(do="slicer", bytes=64, variation=64), ["variation: less than bytes"]),
        (
            with_fault(do="cut", target=None, direction="out"),
            ["direction out needs a target"],
        ),
        ({**minimal(), "expect": {"rejoin": "soon"}}, ["expect.rejoin", "duration", "'soon'"]),
        ({**minimal(), "expect": {"no_progress": "yes"}}, ["expected true or false"]),
        ({**minimal(), "load": {"rate": 0}}, ["load.rate", "got 0"]),
        ({**minimal(), "operators": True}, ["operators", "whole number"]),
        ({**minimal(), "scenario": 2}, ["knows version 1"]),
        ({**minimal(), "name": "Mit Leerzeichen"}, ["expected a name of a-z"]),
        ({**minimal(), "faults": []}, ["expected a list of 1 to 32 faults"]),
        ([1, 2], ["expected a mapping"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(document: object, words: list[str]) -> None:
    with pytest.raises(BadConfig) as caught:
        parse_scenario(document)
    for word in words:
        assert word in str(caught.value)


def test_two_faults_of_one_id_are_refused() -> None:
    document = minimal()
    document["faults"] = [*with_fault()["faults"], *with_fault()["faults"]]  # type: ignore[misc]
    with pytest.raises(BadConfig, match="'a' is used twice"):
        parse_scenario(document)


def test_a_file_of_the_users_is_found_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(minimal()))
    scenario = catalogue.load(str(path))
    assert scenario.name == "mine"
    assert scenario.faults[0].do == Kill(target=Aim.LEADER)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(BadConfig, match=r"no scenario 'laeder-kill'; known: follower-restart"):
        catalogue.load("laeder-kill")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"nothing\.yaml: cannot read the scenario"):
        catalogue.load(str(tmp_path / "nothing.yaml"))


def test_a_path_that_can_be_none_is_refused() -> None:
    with pytest.raises(BadConfig, match="cannot read the scenario"):
        catalogue.load("\0.yaml")


@pytest.mark.parametrize("do", [[], {}, ["kill"], 3, None])
def test_a_kind_that_is_no_word_is_refused(do: object) -> None:
    document = minimal()
    document["faults"] = [{"id": "x", "do": do, "until": {"hold": "1s"}}]
    with pytest.raises(BadConfig, match=r"faults\[0\]\.do: expected one of"):
        parse_scenario(document)


@pytest.mark.parametrize("text", ["a: [", "- - -\n  x", "\t", "", "just text", "[" * 60_000])
def test_text_that_is_no_scenario_is_refused_with_the_files_name(text: str) -> None:
    with pytest.raises(BadConfig, match=r"^mine\.yaml: "):
        parse_text(text, what="mine.yaml")


def test_durations_and_counts() -> None:
    assert read_duration("2 slots + 4s", "x") == Duration(seconds=4, slots=2)
    assert read_duration("1 slot", "x").in_seconds(2.0) == 2.0
    assert read_duration("50ms", "x") == Duration(seconds=0.05)
    assert read_count("n", "x").for_operators(7) == 7
    assert read_count("n + 3", "x") == Count(plain=3, operators=1)
    assert read_count("2n + 1", "x").for_operators(4) == 9
    assert written(read_count("2n + 1", "x")) == "2n + 1"
    assert read_count(5, "x") == Count(plain=5)


@given(st.one_of(st.text(max_size=30), st.integers(max_value=-1), st.floats(), st.none()))
def test_no_other_text_is_a_count_or_crashes_the_reader(value: object) -> None:
    try:
        read_count(value, "x")
        assert isinstance(value, str)
    except BadConfig:
        pass


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["scenario", "name", "faults", "do", "id", "until", "at", "split", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_document_is_read_or_refused_never_a_crash(document: object) -> None:
    with pytest.raises(BadConfig):
        parse_scenario(document)


def test_the_examples_of_the_documentation_are_scenarios() -> None:
    page = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    names = []
    for example in examples:
        names.append(parse_text(example, what="docs/scenarios.md").name)
        jsonschema.validate(yaml.safe_load(example), SCHEMA)
    assert names == ["first", "leader-then-split", "two-of-them", "two-chains"]


@pytest.mark.parametrize("name", sorted(WANTED))
def test_what_is_written_is_read_back(name: str) -> None:
    scenario = catalogue.load(name)
    again = parse_text(scenario_yaml(scenario), what="again")
    assert again == scenario
    jsonschema.validate(yaml.safe_load(scenario_yaml(scenario)), SCHEMA)


DURATIONS = st.builds(
    Duration,
    seconds=st.integers(0, 3_600_000).map(lambda ms: ms / 1000),
    slots=st.integers(0, 36_000).map(lambda tenths: tenths / 10),
)


@given(DURATIONS)
def test_durations_are_read_back(duration: Duration) -> None:
    read = read_duration(written(duration), "x")
    assert read.seconds == pytest.approx(duration.seconds)
    assert read.slots == pytest.approx(duration.slots)
