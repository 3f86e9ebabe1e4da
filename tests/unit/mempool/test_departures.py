"""Remembered, bounded, forgotten when it waits again."""

from dst.mempool.departures import Departure, Departures, Fate
from dst.spec.primitives import Hash32

EVICTED = Departure(fate=Fate.EVICTED, detail="pool_full", message="full")


def hash_of(number: int) -> Hash32:
    return Hash32(number.to_bytes(32, "big"))


def test_the_oldest_is_forgotten_first() -> None:
    departures = Departures(limit=3)
    for number in range(4):
        departures.note(hash_of(number), EVICTED)
    departures.note(hash_of(1), EVICTED)
    departures.note(hash_of(4), EVICTED)
    assert [departures.get(hash_of(each)) is not None for each in range(5)] == [
        False,
        True,
        False,
        True,
        True,
    ]
    assert len(departures) == 3


def test_what_waits_again_has_not_left() -> None:
    departures = Departures()
    departures.note(hash_of(1), EVICTED)
    departures.forget(hash_of(1))
    departures.forget(hash_of(2))
    assert departures.get(hash_of(1)) is None
