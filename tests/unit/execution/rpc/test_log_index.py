"""The index of log subscriptions against looking at each filter."""

from hypothesis import given
from hypothesis import strategies as st

from dst.apis.eth import LogFilter
from dst.execution.receipts import Log
from dst.execution.rpc import log_index
from dst.execution.rpc.block_logs import matches
from dst.execution.rpc.log_index import (
    LEAST_WEIGHT,
    MAX_COMBINATIONS,
    LogIndex,
    weight_of,
)

ITEMS = [bytes([number]) * 32 for number in range(4)]
choices = st.frozensets(st.sampled_from(ITEMS), min_size=1, max_size=4)
filters = st.builds(
    LogFilter,
    addresses=st.one_of(st.just(frozenset()), choices),
    topics=st.lists(st.none() | choices, max_size=4).map(tuple),
)
logs = st.builds(
    Log,
    address=st.sampled_from(ITEMS),
    topics=st.lists(st.sampled_from(ITEMS), max_size=4).map(tuple),
    data=st.just(b""),
)


def found(index: LogIndex[int], log: Log) -> list[int]:
    return sorted(member for each in index.matching(log) for member in each.members())


@given(st.lists(filters, max_size=12), st.sets(st.integers(0, 11)), st.lists(logs, max_size=12))
def test_it_finds_whom_a_look_at_each_filter_finds(
    wanted: list[LogFilter], gone: set[int], told: list[Log]
) -> None:
    index: LogIndex[int] = LogIndex()
    for number, each in enumerate(wanted):
        index.add(each, number)
    left = {number: each for number, each in enumerate(wanted) if number not in gone}
    for number in gone.intersection(range(len(wanted))):
        index.remove(wanted[number], number)
    for log in told:
        assert found(index, log) == [number for number, each in left.items() if matches(log, each)]
    for number, each in left.items():
        index.remove(each, number)
    assert len(index) == 0
    assert index._tables == {}, "nothing stays behind"


@given(filters, st.lists(logs, max_size=8))
def test_a_filter_too_wide_for_the_table_is_checked_log_by_log(
    wanted: LogFilter, told: list[Log]
) -> None:
    index: LogIndex[int] = LogIndex()
    before, log_index.MAX_COMBINATIONS = log_index.MAX_COMBINATIONS, 2  # type: ignore[misc]
    try:
        index.add(wanted, 1)
        for log in told:
            assert found(index, log) == ([1] if matches(log, wanted) else [])
        index.remove(wanted, 1)
        assert index._tables == {}
    finally:
        log_index.MAX_COMBINATIONS = before  # type: ignore[misc]


def test_thousands_of_other_filters_are_not_looked_at() -> None:
    """All ask for the same contract and another topic: one look finds the one that matches."""
    index: LogIndex[int] = LogIndex()
    address = frozenset({b"\x07" * 20})
    for number in range(4_000):
        topic = frozenset({number.to_bytes(32, "big")})
        index.add(LogFilter(addresses=address, topics=(None, topic)), number)
    log = Log(b"\x07" * 20, (bytes(32), (2_345).to_bytes(32, "big")), b"")
    (audience,) = index.matching(log)
    assert list(audience.members()) == [2_345]


def test_thousands_of_filters_that_match_are_one_audience() -> None:
    """Different filters that share an address: what a log costs does not grow with them, nor with
    those that stand there and need more topics than it has."""
    index: LogIndex[int] = LogIndex()
    shared = b"\x07" * 20
    for number in range(4_000):
        addresses = frozenset({shared, number.to_bytes(20, "big")})
        index.add(LogFilter(addresses=addresses, topics=(None,) * (number % 2)), number)
    (audience,) = index.matching(Log(shared, (), b""))
    assert list(audience.members()) == list(range(0, 4_000, 2))
    assert len(index.matching(Log(shared, (bytes(32),), b""))) == 2


def test_weights() -> None:
    def wide(count: int) -> frozenset[bytes]:
        return frozenset(number.to_bytes(32, "big") for number in range(count))

    assert weight_of(LogFilter()) == LEAST_WEIGHT
    assert weight_of(LogFilter(addresses=wide(100), topics=(None, wide(3)))) == 300
    assert weight_of(LogFilter(addresses=wide(1_000), topics=(wide(1_000),))) == MAX_COMBINATIONS
