"""Every slot gets its answer; at most 64 are open; the current one never waits for the backlog."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dst.spec.primitives import Slot
from dst.validator.window import MAX_OPEN_SLOTS, MAX_RESOLVED, SlotWindow


def test_nothing_before_genesis() -> None:
    assert SlotWindow(Slot(1)).wanted(Slot(0)) == []
    assert SlotWindow(Slot(1)).wanted(Slot(-5)) == []


def test_each_slot_as_it_begins() -> None:
    window = SlotWindow(Slot(1))
    assert window.wanted(Slot(1)) == [1]
    window.resolve(Slot(1))
    assert window.wanted(Slot(1)) == []
    assert window.wanted(Slot(2)) == [2]


def test_an_unanswered_slot_stays_open() -> None:
    window = SlotWindow(Slot(1))
    window.resolve(Slot(2))
    assert window.wanted(Slot(4)) == [1, 3, 4]
    window.resolve(Slot(1))
    assert window.lowest == 3


def test_a_long_stall_keeps_the_oldest_and_the_current_open() -> None:
    window = SlotWindow(Slot(1))
    wanted = window.wanted(Slot(1000))
    assert len(wanted) == MAX_OPEN_SLOTS
    assert wanted == [*range(1, 63), 999, 1000]
    for slot in wanted:
        window.resolve(slot)
    assert window.wanted(Slot(1001))[0] == 63
    assert window.wanted(Slot(1001))[-1] == 1001


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_every_slot_is_asked_for_until_answered(data: st.DataObject) -> None:
    window, current = SlotWindow(Slot(1)), 0
    answered: set[Slot] = set()
    for _ in range(60):
        current += data.draw(st.integers(min_value=0, max_value=90))
        wanted = window.wanted(Slot(current))
        assert len(wanted) <= MAX_OPEN_SLOTS
        assert wanted == sorted(set(wanted))
        assert not answered & set(wanted)
        assert all(1 <= slot <= current for slot in wanted)
        if current > 0 and current not in answered:
            assert current in wanted
        for slot in data.draw(st.lists(st.sampled_from(wanted), unique=True)) if wanted else []:
            window.resolve(slot)
            answered.add(slot)
    while wanted := window.wanted(Slot(current)):
        for slot in wanted:
            window.resolve(slot)
            answered.add(slot)
    assert answered == set(range(1, current + 1))


def test_memory_is_bounded_when_one_slot_never_gets_an_answer() -> None:
    window = SlotWindow(Slot(1))
    for slot in range(2, 3 * MAX_RESOLVED):
        window.resolve(Slot(slot))
    assert len(window.resolved) <= MAX_RESOLVED
    assert window.lowest > 1


def test_resolving_twice_or_below_is_harmless() -> None:
    window = SlotWindow(Slot(5))
    window.resolve(Slot(3))
    window.resolve(Slot(5))
    window.resolve(Slot(5))
    assert (window.lowest, window.resolved) == (6, set())
