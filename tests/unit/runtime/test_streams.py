"""Places of WebSockets and event streams."""

import time
from contextlib import ExitStack

from dst.runtime.places import LOCAL
from dst.runtime.streams import UNUSED_S, Stream, Streams


class House:
    def __init__(self, total: int = 4, per_address: int = 3, *, ends_oldest: bool = True) -> None:
        self.streams = Streams(total, per_address, ends_oldest=ends_oldest)
        self.ended: list[str] = []
        self._stack = ExitStack()

    def open(self, name: str, address: str, *, unused_s: float | None = None) -> bool:
        since = None if unused_s is None else time.monotonic() - unused_s
        stream = Stream(address, lambda: self.ended.append(name), lambda: since)
        return self._stack.enter_context(self.streams.holding(stream))

    def close(self) -> None:
        self._stack.close()


def test_a_full_house_makes_room_at_the_cost_of_the_fullest_address() -> None:
    house = House()
    assert house.open("quiet", "b")
    assert all(house.open(f"a{number}", "a") for number in range(3))
    assert house.open("new", "c")
    assert house.ended == ["a0"]
    house.close()
    assert len(house.streams) == 0


def test_one_address_is_bounded() -> None:
    house = House(total=9)
    assert all(house.open(f"a{number}", "a") for number in range(5))
    assert house.ended == ["a0", "a1"]
    assert len(house.streams) == 3


def test_nobody_makes_room_for_who_holds_more() -> None:
    house = House(per_address=4)
    assert all(house.open(f"a{number}", "a") for number in range(3))
    assert house.open("b", "b")
    assert house.open("a3", "a")
    assert house.ended == ["a0"], "its own"


def test_what_is_of_use_stays_where_the_kind_says_so() -> None:
    house = House(ends_oldest=False)
    assert all(house.open(f"l{number}", LOCAL) for number in range(4))
    assert not house.open("l4", LOCAL)
    assert house.ended == []
    assert house.open("a", "a"), "another address gets its share"
    assert house.ended == ["l0"]


def test_what_nobody_uses_goes_first() -> None:
    house = House(ends_oldest=False)
    assert house.open("used", LOCAL)
    assert house.open("unused", LOCAL, unused_s=UNUSED_S + 1)
    assert house.open("unused longer", LOCAL, unused_s=UNUSED_S + 2)
    assert house.open("just asked", LOCAL, unused_s=0)
    assert house.open("new", LOCAL)
    assert house.ended == ["unused longer"]
