"""What is promised for a network that nobody disturbs, and what ends the calm."""

import msgspec
import pytest

from devnet.checkers import normal_gap, safe_head, steady_state
from devnet.model.history import (
    Event,
    EventKind,
    FaultReceipt,
    Genesis,
    History,
    MachineSeen,
    ProgramEnded,
    Record,
    SafeHeadSeen,
    Setup,
    history_of,
)
from devnet.model.timeline import calm_spans
from devnet.model.verdict import Outcome

GENESIS = Genesis(
    group_public_key="0x",
    seal_domain="0x",
    validators_root="0x",
    identities=(),
    batch_interval=8,
    l1_block_seconds=2.0,
)
SETUP = Setup(
    operators=("op1", "op2", "op3", "op4"), followers=(), slot_seconds=1.0, genesis=GENESIS
)


def look(at: float, late: float = 0.0) -> MachineSeen:
    return MachineSeen(monotonic=at, late=late, steal=None, pressure=None, free_bytes=None)


def sealed(slot: int, height: int | None = None, at: float | None = None) -> Event:
    moment = slot + 0.4 if at is None else at
    return Event(
        kind=EventKind.SEALED, node="op1", height=slot if height is None else height, slot=slot,
        monotonic=moment, wall=moment,
    )  # fmt: skip


def fault(requested: float, healed: float | None) -> FaultReceipt:
    return FaultReceipt(
        id="f", kind="kill", targets=("op2",), requested=requested, verified=requested,
        healed=healed,
    )  # fmt: skip


def run(*records: Record, slots: range = range(1, 61), without: tuple[int, ...] = ()) -> History:
    """A block a slot, but for those left out; looked at from 0.5 on."""
    blocks = [slot for slot in slots if slot not in without]
    chain = [sealed(slot, height) for height, slot in enumerate(blocks, 1)]
    return history_of(SETUP, [look(0.5), *chain, *records])


# ------------------------------------------------------------------------------------ calm itself


def test_a_fault_ends_the_calm_and_its_heal_does_not_begin_it_at_once() -> None:
    assert calm_spans(run(), 6.0) == [(0.5, 60.4)]
    assert calm_spans(run(fault(10.0, 20.0)), 6.0) == [(0.5, 10.0), (26.0, 60.4)]
    assert calm_spans(run(fault(10.0, None)), 6.0) == [(0.5, 10.0)]
    inner = msgspec.structs.replace(fault(12.0, 14.0), id="g")
    assert calm_spans(run(fault(10.0, 20.0), inner), 6.0) == [(0.5, 10.0), (26.0, 60.4)]


def test_calm_begins_when_whoever_was_silenced_votes_again() -> None:
    silencing = msgspec.structs.replace(fault(10.0, 20.0), silenced=("op2",))
    caught_up = msgspec.structs.replace(sealed(30), node="op2")
    votes = [
        msgspec.structs.replace(sealed(at), node="op2", kind=EventKind.PREPARED)
        for at in (31, 33, 34, 35)
    ]
    assert calm_spans(run(silencing), 6.0) == [(0.5, 10.0)]
    assert calm_spans(run(silencing, caught_up, *votes), 6.0) == [(0.5, 10.0), (39.4, 60.4)]


def test_a_network_of_which_a_program_ended_on_its_own_is_never_calm() -> None:
    ended = ProgramEnded(program="op3.rollup", detail="exit code 2", monotonic=60.0)
    assert calm_spans(run(ended), 6.0) == []
    for checker in (normal_gap, steady_state, safe_head):
        assert checker.check(run(ended, *batches(24), without=(20, 33))).outcome is Outcome.VACUOUS


def test_what_a_node_tells_of_before_the_run_is_not_of_it() -> None:
    assert calm_spans(run(sealed(0, at=-30.0)), 6.0) == [(0.5, 60.4)]
    assert normal_gap.check(run(sealed(0, at=-30.0))).measured == pytest.approx(1.0)


# ------------------------------------------------------------------------------------------- L1


def test_one_slot_without_a_block_is_more_than_the_normal_gap() -> None:
    verdict = normal_gap.check(run(without=(20,)))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.violations[0].summary.endswith("was sealed: 2.00 s, allowed 1.75 s")
    assert verdict.violations[0].monotonic == pytest.approx(21.4)
    assert normal_gap.check(run()).outcome is Outcome.PASS


@pytest.mark.parametrize("begins", [15.0, 20.5])
def test_a_gap_while_something_was_done_is_not_judged_here(begins: float) -> None:
    assert normal_gap.check(run(fault(begins, 22.0), without=(20,))).outcome is Outcome.PASS


def test_a_gap_in_which_the_machine_stood_still_accuses_nobody() -> None:
    assert normal_gap.check(run(look(20.9, 0.6), without=(20,))).outcome is Outcome.INCONCLUSIVE
    assert normal_gap.check(run(look(20.9, 0.6), without=(20, 21, 22, 23))).outcome is Outcome.FAIL


def test_a_gap_is_excused_by_stalls_of_its_own_time_alone() -> None:
    verdict = normal_gap.check(run(look(50.0, 0.6), without=(20,)))
    assert verdict.outcome is Outcome.FAIL, "half a minute later"
    assert normal_gap.check(run(look(19.0, 0.6), without=(20,))).outcome is Outcome.INCONCLUSIVE
    both = normal_gap.check(run(look(20.9, 0.6), without=(20, 40)))
    assert [each.monotonic for each in both.violations] == pytest.approx([41.4])


def test_the_first_of_several_breaches_is_told_first_and_the_worst_is_measured() -> None:
    verdict = normal_gap.check(run(without=(20, 40, 41)))
    assert [each.monotonic for each in verdict.violations] == pytest.approx([21.4, 42.4])
    assert verdict.measured == pytest.approx(3.0)


# ------------------------------------------------------------------------------------------- L8


def test_two_of_thirty_slots_without_a_block_are_too_many_and_one_is_not() -> None:
    assert steady_state.check(run()).outcome is Outcome.PASS
    assert steady_state.check(run(without=(20,))).outcome is Outcome.PASS
    verdict = steady_state.check(run(without=(20, 33)))
    assert verdict.outcome is Outcome.FAIL
    assert (verdict.measured, verdict.bound) == (2.0, 1.5)
    assert "2 of the 30 slots from 4 on have no block (20, 33)" in verdict.violations[0].summary
    assert steady_state.check(run(without=(10, 45))).outcome is Outcome.PASS


def test_slots_without_a_block_are_excused_by_stalls_of_their_window_alone() -> None:
    slots = range(1, 121)

    def outcome(*stalls: MachineSeen) -> Outcome:
        return steady_state.check(run(*stalls, slots=slots, without=(20, 33))).outcome

    assert outcome(look(30.0, 0.5)) is Outcome.INCONCLUSIVE
    assert outcome(look(110.0, 0.5)) is Outcome.FAIL


def test_a_run_without_thirty_slots_of_calm_shows_no_steady_state() -> None:
    assert steady_state.check(run(slots=range(1, 30))).outcome is Outcome.VACUOUS
    assert steady_state.check(run(fault(30.0, 31.0), without=(20, 33))).outcome is Outcome.VACUOUS


# ------------------------------------------------------------------------------------------- L7


def safe(at: float, height: int, node: str = "op1") -> SafeHeadSeen:
    return SafeHeadSeen(node=node, height=height, monotonic=at)


def batches(*skipped: int, late: float = 3.0) -> list[SafeHeadSeen]:
    """A batch of eight heights is on L1 and found so long after its last block."""
    found = [safe(height + 0.4 + late, height) for height in range(8, 61, 8)]
    return [safe(0.6, 0), *(each for each in found if each.height not in skipped)]


def test_a_safe_head_that_follows_passes_with_the_worst_lag() -> None:
    verdict = safe_head.check(run(*batches()))
    assert verdict.outcome is Outcome.PASS
    assert (verdict.measured, verdict.bound, verdict.unit) == (10.0, 14, "heights")


def test_a_batch_left_out_in_calm_fails_when_the_lag_is_above_the_bound() -> None:
    verdict = safe_head.check(run(*batches(24)))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.violations[0].height == 16 + 15
    assert verdict.measured == 18.0


def test_a_lag_is_excused_by_stalls_since_all_was_posted_last_alone() -> None:
    """The batch of 24 comes with that of 32; 18 heights are four more than allowed."""
    assert safe_head.check(run(*batches(24), look(28.0, 1.1))).outcome is Outcome.INCONCLUSIVE
    assert safe_head.check(run(*batches(24), look(28.0, 0.9))).outcome is Outcome.FAIL
    assert safe_head.check(run(*batches(24), look(8.0, 9.0))).outcome is Outcome.FAIL
    assert safe_head.check(run(*batches(24), look(50.0, 9.0))).outcome is Outcome.FAIL


def test_a_lag_in_heights_is_excused_by_stalls_in_seconds() -> None:
    """The safe head stays three heights longer than it may, which are 36 seconds."""
    setup = msgspec.structs.replace(SETUP, slot_seconds=12.0)
    chain = [sealed(slot, at=12.0 * slot) for slot in range(1, 61)]
    told = [safe(12.0 * height + 1, height) for height in range(1, 49)]

    def outcome(late: float) -> Outcome:
        return safe_head.check(
            history_of(setup, [look(0.5), *chain, *told, look(650.0, late)])
        ).outcome

    assert outcome(0.8) is Outcome.FAIL
    assert outcome(9.0) is Outcome.INCONCLUSIVE


def test_a_backlog_has_its_own_length_to_drain() -> None:
    """Nothing on L1 from 10 to 30: at the heal 30 heights wait."""
    outage = fault(9.0, 30.0)
    drained = [safe(0.6, 0), safe(40.0, 32), *(each for each in batches() if each.height > 32)]
    assert safe_head.check(run(outage, *drained)).outcome is Outcome.PASS
    slots = range(1, 90)
    stuck = safe_head.check(run(outage, safe(0.6, 0), slots=slots))
    assert stuck.outcome is Outcome.FAIL
    # 6 to settle, 14 as ever, and 15 more than that waited.
    assert stuck.violations[0].monotonic == pytest.approx(30.4 + 6 + 14 + 16)
    assert "op1's safe head is 0" in stuck.violations[0].summary


def test_a_batch_that_was_missed_before_the_heal_is_no_breach_of_the_calm() -> None:
    """Its poster was away at height 16; the next one is due at 24, and has all of it."""
    away = fault(13.0, 20.0)
    kept = [each for each in batches() if each.height != 16]
    verdict = safe_head.check(run(away, *kept))
    assert verdict.outcome is Outcome.PASS
    assert verdict.measured == 10.0


def test_a_run_that_ends_before_a_backlog_has_to_be_gone_says_nothing_of_it() -> None:
    short = run(fault(9.0, 30.0), safe(0.6, 0), slots=range(1, 45))
    assert safe_head.check(short).outcome is Outcome.PASS


def test_each_node_is_judged_by_what_it_tells_itself() -> None:
    behind = [safe(0.7, 0, "op2")]
    verdict = safe_head.check(run(*batches(), *behind))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.violations[0].summary.startswith("op2's safe head is 0")


def test_without_the_constants_of_the_chain_nothing_is_judged() -> None:
    history = msgspec.structs.replace(
        run(*batches()), setup=msgspec.structs.replace(SETUP, genesis=None)
    )
    assert safe_head.check(history).outcome is Outcome.VACUOUS
