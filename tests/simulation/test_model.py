"""The model of one height: it holds, it reaches what matters, it notices rules taken out, and it is
a model of our code (`devnet/sim/formal`, `docs/consensus.md`, "The model").

Seeds lie far apart on purpose: Quint draws with a counter, so that near seeds give the same runs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import dst.qbft.justification
import dst.qbft.proposing
import dst.qbft.restoring
import dst.qbft.tables
from devnet.sim.formal.quint import MODEL, Found, Search, explore
from devnet.sim.formal.replay import Drift, from_memory, from_store, replay
from devnet.sim.formal.values import NO_ROOT, Trace
from dst.qbft.messages import RoundChangeMessage
from dst.qbft.state import Proposing, State
from dst.spec.primitives import Round

SAFETY = ("agreement", "saidOnce", "locksAreValid", "proposalsAreJustified")
WITNESSES = (
    "allDecidedAfterHeal",
    "lockedReproposal",
    "claimPassedOver",
    "forgottenButServed",
    "fetched",
)
SAMPLES = 160


@pytest.fixture(scope="module")
def shipped() -> Found:
    """The shipped rules, one liar who may be any of the four, every trace kept."""
    return explore(
        Search(samples=SAMPLES),
        invariants=(*SAFETY, "preparedIsAvailable", "progress"),
        witnesses=WITNESSES,
        traces=SAMPLES,
    )


def test_with_the_shipped_rules_nothing_is_violated(shipped: Found) -> None:
    assert not shipped.violated, shipped.output
    assert len(shipped.traces) == SAMPLES


def test_after_the_heal_a_liar_does_not_keep_the_height_open(shipped: Found) -> None:
    """Nearly every schedule heals within its steps, and then ends in a decision."""
    assert shipped.witnesses["allDecidedAfterHeal"] > SAMPLES * 0.9


@pytest.mark.parametrize("name", WITNESSES)
def test_the_schedules_reach(name: str, shipped: Found) -> None:
    assert shipped.witnesses[name] > 0


def test_every_schedule_is_one_of_the_code(shipped: Found) -> None:
    for trace in shipped.traces:
        replay(trace)


# ---------------------------------------------------------------- model and code cannot drift apart


def _furthest(state: State, n: int) -> Round | None:
    asked = (known[-1].signed.payload.round for known in state.round_changes.values())
    return max((round_ for round_ in asked if round_ > state.round), default=None)


CHANGES_OF_CODE: dict[str, tuple[object, str, Callable[..., object]]] = {
    "jump to the furthest": (dst.qbft.tables, "jump_target", _furthest),
    "no jump": (dst.qbft.tables, "jump_target", lambda _state, _n: None),
    "timers unarmed": (dst.qbft.tables, "operators_at", lambda _state, _round: 4),
    "two are enough": (dst.qbft.justification, "quorum_size", lambda _n: 2),
    "any proposal": (dst.qbft.justification, "is_justified_proposal", lambda _m, _c: True),
    "any claim": (dst.qbft.justification, "is_proven_claim", lambda _p, _s, _c: True),
    "log not read": (dst.qbft.restoring, "remembered", lambda *_: ()),
}


@pytest.mark.parametrize("change", CHANGES_OF_CODE)
def test_a_change_in_the_code_is_noticed(
    change: str, shipped: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name, replacement = CHANGES_OF_CODE[change]
    monkeypatch.setattr(module, name, replacement)
    with pytest.raises(Drift):
        _replay_all(shipped.traces)


def _replay_all(traces: tuple[Trace, ...]) -> None:
    for trace in traces:
        replay(trace)


CHANGES_OF_MODEL = {
    "one asks and all jump": ("pure val F = 1", "pure val F = 0"),
    "old votes are counted": (
        "if (v.round < op.round or v.sender == op.me\n",
        "if (v.sender == op.me\n",
    ),
}


@pytest.mark.parametrize("change", CHANGES_OF_MODEL)
def test_a_change_in_the_model_is_noticed(change: str, tmp_path: Path) -> None:
    before, after = CHANGES_OF_MODEL[change]
    text = MODEL.read_text()
    assert text.count(before) == 1
    model = tmp_path / MODEL.name
    model.write_text(text.replace(before, after))
    found = explore(Search(samples=15), invariants=("agreement",), traces=15, model=model)
    with pytest.raises(Drift):
        _replay_all(found.traces)


# ------------------------------------------------------------------------------ rules taken out


@dataclass(frozen=True)
class Removal:
    """Without which rule which invariant fails.

    seed: of a schedule that shows it, so that the gate need not look for it. A change of the model
    may draw other schedules from it: `samples` is three times what a search from any seed takes.
    """

    init: str
    invariant: str
    samples: int
    seed: int = 1


REMOVALS = (
    Removal("initWithoutQuorum", "agreement", 2000, seed=0x3B9F4C1D),
    Removal("initWithoutQuorum", "locksAreValid", 100),
    Removal("initWithoutLog", "saidOnce", 100),
    Removal("initWithoutJustification", "proposalsAreJustified", 900, seed=0x1675F),
    Removal("initWithoutAvailability", "preparedIsAvailable", 100),
)


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda each: f"{each.init} {each.invariant}")
def test_a_rule_taken_out_is_missed(removal: Removal) -> None:
    search = Search(init=removal.init, samples=removal.samples, seed=removal.seed)
    assert explore(search, invariants=(removal.invariant,)).violated


# -------------------------------------------------------------------------------------------- B1


@pytest.fixture(scope="module")
def halt() -> Trace:
    """Neither rule: blocks may be forgotten, and a claim without its block holds the leader."""
    found = explore(Search(init="initWithoutBoth", samples=400), invariants=("progress",))
    assert found.violated
    return found.traces[0]


def test_either_rule_alone_keeps_the_height_going() -> None:
    found = explore(Search(init="initWithoutOne", samples=60), invariants=("progress",))
    assert not found.violated, found.output


def test_without_both_one_liar_halts_the_height(halt: Trace) -> None:
    """The last moment: the network is perfect, honest operators led, and nobody can go on."""
    last = halt[-1]
    assert {each.decided.root for each in last.world.operators.values()} == {NO_ROOT}
    leader = next(each for each in last.world.operators.values() if each.proposing.active)
    claims = {change.payload.prepared_root: change.payload for change in leader.round_changes}
    assert claims[leader.proposing.root].sender == last.setting.liar
    assert all(leader.proposing.root not in each.blocks for each in last.world.operators.values())


def test_the_halt_is_the_codes_own_without_the_two_rules(
    halt: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dst.qbft.proposing, "quorums", _first_of(dst.qbft.proposing.quorums))
    nodes = replay(halt, available=from_memory)
    leader = next(node for node in nodes.values() if node.state.proposing is not None)
    assert leader.state.proposing is not None
    root = leader.state.proposing.root
    assert root is not None
    assert all(from_memory(node, root) is None for node in nodes.values())
    holders = [node for node in nodes.values() if from_store(node, root) is not None]
    assert len(holders) >= 2, "the store has what the memory lost: the rule that was taken out"


def test_the_shipped_code_does_not_follow_into_the_halt(halt: Trace) -> None:
    """It parts from the trace where the leader passes the claim over."""
    with pytest.raises(Drift, match="proposing"):
        replay(halt)


def _first_of(
    quorums: Callable[[tuple[RoundChangeMessage, ...], int], Iterator[Proposing]],
) -> Callable[[tuple[RoundChangeMessage, ...], int], Iterator[Proposing]]:
    """The rule "pass-over" taken out of the code."""

    def first(round_changes: tuple[RoundChangeMessage, ...], quorum: int) -> Iterator[Proposing]:
        for proposing in quorums(round_changes, quorum):
            yield proposing
            return

    return first
