from hypothesis import given
from hypothesis import strategies as st

from dst.p2p.send_queue import MAX_BYTES, MAX_ENTRIES, Entry, SendQueue
from dst.spec.primitives import Height


def entry(height: int | None, size: int = 1) -> Entry:
    return Entry(body=bytes(size), height=None if height is None else Height(height))


def drain(queue: SendQueue) -> list[int | None]:
    heights: list[int | None] = []
    while (item := queue.pop()) is not None:
        heights.append(item.height)
    return heights


def test_order_is_kept() -> None:
    queue = SendQueue()
    for height in (3, 1, None, 2):
        queue.put(entry(height))
    assert drain(queue) == [3, 1, None, 2]


def test_stale_heights_go_and_answers_stay() -> None:
    queue = SendQueue()
    for height in (1, 2, None, 3):
        queue.put(entry(height))
    queue.raise_floor(Height(3))
    queue.put(entry(2))
    assert queue.dropped_stale == 3
    assert drain(queue) == [None, 3]


def test_floor_never_falls() -> None:
    queue = SendQueue()
    queue.raise_floor(Height(5))
    queue.raise_floor(Height(2))
    queue.put(entry(4))
    assert drain(queue) == []


def test_oldest_goes_when_full() -> None:
    queue = SendQueue()
    for height in range(MAX_ENTRIES + 3):
        queue.put(entry(height))
    assert queue.dropped_full == 3
    assert drain(queue)[0] == 3


def test_one_large_frame_always_fits() -> None:
    queue = SendQueue()
    queue.put(entry(1))
    queue.put(entry(2, MAX_BYTES + 1))
    assert drain(queue) == [2]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, MAX_BYTES // 3)), max_size=40))
def test_bounds_and_byte_count_hold(puts: list[tuple[int, int]]) -> None:
    queue = SendQueue()
    for height, size in puts:
        queue.put(entry(height, size))
        if height == 9:
            queue.raise_floor(Height(height))
        assert queue.size_bytes <= MAX_BYTES
    total = 0
    while (item := queue.pop()) is not None:
        total += len(item.body)
    assert queue.size_bytes == 0
