"""Who gets a place at a listener, and who makes room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.runtime.places import (
    GRACE_S,
    LOCAL,
    Place,
    PlaceLimits,
    Places,
    State,
    address_key,
)

LATER = 10 * GRACE_S
LIMITS = PlaceLimits(total=8, reserved=2, per_address=5)


def filled(*addresses: str, state: State = State.SILENT) -> tuple[Places, list[Place]]:
    places, held = Places(LIMITS), []
    for second, address in enumerate(addresses):
        place = places.enter(address, second / 1000).place
        assert place is not None
        place.state = state
        held.append(place)
    return places, held


def test_while_there_is_room_everybody_enters() -> None:
    places, _ = filled("a", "a", "b", LOCAL)
    assert len(places) == 4


def test_one_address_is_bounded_and_makes_room_for_itself() -> None:
    places, held = filled(*["a"] * 5)
    assert places.enter("a", LATER).evicted is held[0]
    for each in held[1:]:
        each.state = State.STREAMING
    own = places.enter("a", LATER)
    assert own.place is None, "its newest is silent, but for less than a second"
    assert places.enter("b", LATER).place is not None


def test_loopback_is_no_address_of_anybody() -> None:
    places, _ = filled(*[LOCAL] * 8)
    assert len(places) == 8


@pytest.mark.parametrize(
    ("states", "evicted"),
    [
        ([State.IDLE, State.SILENT, State.WORKING], 1),
        ([State.IDLE, State.WORKING, State.STREAMING], 0),
        ([State.STREAMING, State.WORKING, State.STREAMING], 1),
    ],
)
def test_who_does_least_goes_first(states: list[State], evicted: int) -> None:
    places, held = filled(*[LOCAL] * 8, state=State.STREAMING)
    for place, state in zip(held, states, strict=False):
        place.state = state
    assert places.enter(LOCAL, LATER).evicted is held[evicted]


def test_of_equals_the_most_crowded_address_makes_room() -> None:
    places, held = filled("a", "b", "b", "b", "c", "c", "d", "e", state=State.IDLE)
    assert places.enter("f", LATER).evicted is held[1], "the oldest of b"


def test_nobody_makes_room_for_who_holds_more() -> None:
    places, held = filled("a", "a", "a", "a", "b", "c", "d", "e", state=State.STREAMING)
    held[4].state = State.IDLE
    admission = places.enter("a", LATER)
    assert admission.evicted is None
    assert admission.place is not None, "the entrance is open"
    assert places.settle(admission.place, LATER).place is None


def test_no_stranger_from_outside_pushes_out_a_local_connection() -> None:
    places, held = filled(*[LOCAL] * 4, *"bcde", state=State.IDLE)
    for each in held[4:]:
        each.state = State.STREAMING
    outside = places.enter("a", LATER)
    assert outside.place is not None
    assert outside.evicted is None
    assert places.settle(outside.place, LATER).place is None
    inside = places.enter(LOCAL, LATER)
    assert inside.evicted is held[0]


def test_a_local_crowd_does_not_shut_out_others() -> None:
    places, held = filled(*[LOCAL] * 8, state=State.IDLE)
    assert places.enter("a", LATER).evicted is held[0]


def test_short_requests_are_left_alone() -> None:
    places, held = filled(*[LOCAL] * 8)
    for each in held:
        each.turn(State.WORKING, LATER)
    admission = places.enter(LOCAL, LATER + GRACE_S / 2)
    assert admission.evicted is None
    assert admission.place is not None
    assert places.settle(admission.place, LATER + 3 * GRACE_S).evicted is held[0]


def test_a_crowd_that_is_always_busy_keeps_nobody_out() -> None:
    """Two addresses that begin something new all the time hold every place."""
    places, held = filled(*["a"] * 4, *["b"] * 4, state=State.WORKING)
    for each in held:
        each.since = LATER
    came = places.enter("c", LATER)
    assert came.place is not None
    assert came.evicted in held


def test_the_entrance_is_for_who_is_vouched_for() -> None:
    places, held = filled(*[LOCAL] * 8)
    for each in held:
        each.turn(State.WORKING, LATER)
    known = places.enter(LOCAL, LATER).place
    assert known is not None
    assert places.vouch(known) is None
    assert places.settle(known, LATER).place is known
    known.turn(State.IDLE, LATER)
    for moment in range(30):
        assert places.enter(LOCAL, 2 * LATER + moment).evicted is not known
    assert len(places) == 9


def test_a_flood_in_the_entrance_pushes_out_its_own_oldest() -> None:
    places, held = filled(*[LOCAL] * 8)
    for each in held:
        each.turn(State.WORKING, LATER)
    waiting = [places.enter(LOCAL, LATER + 0.001 * count).place for count in range(2)]
    assert places.enter(LOCAL, LATER + 0.003).evicted is waiting[0]
    assert len(places) == LIMITS.total + LIMITS.reserved


def test_known_ones_are_bounded_too() -> None:
    places, held = filled("a", "b", "c", state=State.IDLE)
    assert places.vouch(held[0]) is None
    assert places.vouch(held[1]) is None
    assert places.vouch(held[2]) is held[0]
    places.leave(held[0])
    assert places.vouch(held[0]) is None, "it is gone"
    assert len(places) == 2


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["enter", "leave", "work", "idle", "stream", "vouch", "settle"]),
            st.sampled_from([LOCAL, "a", "b", "c"]),
            st.integers(0, 30),
        ),
        max_size=120,
    )
)
def test_bounds_hold_whatever_happens(steps: list[tuple[str, str, int]]) -> None:
    places = Places(LIMITS)
    held: list[Place] = []

    def gone(place: Place | None) -> None:
        if place is not None:
            held.remove(place)

    for now, (step, address, number) in enumerate(steps):
        if step == "enter":
            admission = places.enter(address, now / 4)
            assert admission.evicted is None or not admission.evicted.is_vouched
            gone(admission.evicted)
            held.extend([admission.place] if admission.place else [])
        elif held:
            place = held[number % len(held)]
            if step == "leave":
                places.leave(place)
                held.remove(place)
            elif step == "vouch":
                gone(places.vouch(place))
            elif step == "settle":
                gone(places.settle(place, now / 4).evicted)
            else:
                state = {"work": State.WORKING, "idle": State.IDLE, "stream": State.STREAMING}[step]
                place.turn(state, now / 4)
        assert len(places) == len(held)
        strangers = [each for each in held if not each.is_vouched]
        assert len(strangers) <= LIMITS.total + LIMITS.reserved
        for remote in "abc":
            mine = sum(each.address == remote for each in held)
            assert mine <= LIMITS.per_address


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        (("127.0.0.1", 5), LOCAL),
        (("::1", 5, 0, 0), LOCAL),
        (("::ffff:127.0.0.1", 5, 0, 0), LOCAL),
        (("::ffff:10.0.0.1", 5, 0, 0), "10.0.0.1"),
        (("10.0.0.1", 5), "10.0.0.1"),
        (("2001:db8:1:2:3::4", 5, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::/64"),
        (None, LOCAL),
        ("", LOCAL),
    ],
)
def test_who_a_connection_counts_for(peer: object, key: str) -> None:
    assert address_key(peer) == key
