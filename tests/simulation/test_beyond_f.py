"""One liar more than is borne, with each strategy: what breaks is found, and what is said to break
nothing breaks nothing while they lie. What reads blocks is tested on real ones, in
tests/unit/byzantine/test_real_blocks.py."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from devnet.byzantine.names import KNOWN, Strategy
from devnet.faults.byzantine import Byzantine
from devnet.model.history import EventKind, FaultReceipt
from devnet.model.terms import Several
from devnet.model.verdict import Outcome
from devnet.scenarios import catalogue
from devnet.scenarios.parse import parse_text
from devnet.scenarios.scenario import Scenario
from devnet.sim.rehearsal import Rehearsed, rehearse
from dst.spec.primitives import faults_tolerated

BEYOND = Several(plain=1, tolerated=True)
HARMLESS = tuple(
    each
    for each, known in KNOWN.items()
    if not known.breaks and each not in (Strategy.CENSOR, Strategy.INVALID_BLOCK)
)
FLOODED = 8
"""Heights: two flooders cost as much as forty others."""


def controls(strategy: Strategy) -> list[Scenario]:
    """Of the catalogue, with f + 1 of them."""
    found = map(catalogue.load, catalogue.names())
    return [each for each in found if each.faults and _is_beyond(each.faults[0].do, strategy)]


def _is_beyond(do: object, strategy: Strategy) -> bool:
    return isinstance(do, Byzantine) and (do.strategy, do.target) == (strategy, BEYOND)


@pytest.mark.parametrize("strategy", Strategy)
def test_a_strategy_has_a_control_or_breaks_nothing(strategy: Strategy) -> None:
    asked = [each.expect.fails.partition(" ")[0] for each in controls(strategy)]
    assert asked == ([KNOWN[strategy].breaks] if KNOWN[strategy].breaks else [])


@pytest.mark.parametrize("operators", [4, 7])
@pytest.mark.parametrize("strategy", [each for each in KNOWN if KNOWN[each].breaks])
def test_what_breaks_is_found(strategy: Strategy, operators: int) -> None:
    (scenario,) = controls(strategy)
    found = rehearse(replace(scenario, operators=operators), 1, drawn_from=1)
    assert found.summary.outcome is Outcome.PASS, found.summary.reason
    assert found.verdicts[0].note.startswith(KNOWN[strategy].breaks)


@pytest.mark.parametrize("strategy", [Strategy.CLAIM_LOCK, Strategy.FALSE_STATUS,
                                      Strategy.FORGE_ROUND_CHANGES])  # fmt: skip
def test_it_is_the_lie_that_breaks_it(strategy: Strategy) -> None:
    """The same scenario with as many that tell a harmless one."""
    (scenario,) = controls(strategy)
    liars = replace(scenario.faults[0].do, strategy=Strategy.STALE_RESEND)  # type: ignore[type-var]
    harmless = replace(scenario.faults[0], do=liars)
    found = rehearse(replace(scenario, faults=(harmless, *scenario.faults[1:])), 1, drawn_from=1)
    assert found.summary.outcome is Outcome.FAIL
    assert "L9 progress under fault had to fail, and is: pass" in found.summary.reason


TEXT = """
scenario: 1
name: one-too-many
about: One liar more than is borne.
operators: {operators}
faults:
  - id: liars
    do: byzantine
    target: random(f+1)
    strategy: {strategy}
    at: {{event: decided}}
    until: {{heights: {heights}, timeout: 120s}}
"""


@pytest.mark.parametrize(
    ("strategy", "operators"),
    [(s, n) for s in HARMLESS for n in (4, 7) if (s, n) != (Strategy.FLOOD, 7)],
)
def test_what_breaks_nothing_breaks_nothing(strategy: Strategy, operators: int) -> None:
    """While they lie. Afterwards more than f rejoin, and wait for one another as they must."""
    heights = FLOODED if strategy is Strategy.FLOOD else 4 * operators
    text = TEXT.format(operators=operators, strategy=strategy, heights=heights)
    found = rehearse(parse_text(text, what="one-too-many"), 1, drawn_from=1)
    (liars,) = found.history.faults
    assert liars.verified
    assert len(liars.lying) == faults_tolerated(operators) + 1
    moments = _sealed_under(liars, found)
    assert len(moments) >= heights // 2, "seen from the proof on, which may take a turn"
    assert max(later - earlier for earlier, later in pairwise(moments)) < 4.0
    unsafe = [v for v in found.verdicts if v.checker[0] == "S" and v.outcome is Outcome.FAIL]
    assert unsafe == []


def _sealed_under(liars: FaultReceipt, found: Rehearsed) -> list[float]:
    """When each height was sealed first at an honest operator, from the proof to the heal."""
    first: dict[int, Any] = {}
    for event in found.history.events:
        if event.kind is EventKind.SEALED and event.node not in liars.lying:
            first.setdefault(event.height, event.monotonic)
    assert liars.verified
    assert liars.revert_requested
    return sorted(at for at in first.values() if liars.verified <= at <= liars.revert_requested)
