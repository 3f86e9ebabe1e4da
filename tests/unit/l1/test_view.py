"""The canonical view: extension, reorgs, and the origin a leader may use."""

from hypothesis import given
from hypothesis import strategies as st

from dst.l1.rpc import L1BlockRef
from dst.l1.view import WINDOW, CanonicalChain, advance, deepest_usable, is_linked, select_origin
from dst.spec.beacon import L1Origin
from dst.spec.primitives import Hash32
from tests.unit.rollup.rollup_bench import l1_hash, make_lock

CONFIG = make_lock().chain


def refs(first: int, last: int, branch: str = "main", fork_from: str = "main") -> list[L1BlockRef]:
    return [
        L1BlockRef(
            number=number,
            hash=l1_hash(number, branch),
            parent_hash=l1_hash(number - 1, fork_from if number == first else branch),
            timestamp=number,
        )
        for number in range(first, last + 1)
    ]


def test_an_extension_is_no_reorg() -> None:
    step = advance(CanonicalChain(tuple(refs(0, 5))), refs(6, 8))
    assert (step.reorged, step.chain.head.number, step.chain.tail_number) == (False, 8, 0)


def test_a_fork_drops_what_it_replaces() -> None:
    step = advance(CanonicalChain(tuple(refs(0, 9))), refs(7, 11, "fork"))
    assert step.reorged
    assert [step.chain.at(n) is not None for n in (6, 7, 11, 12)] == [True, True, True, False]
    assert step.chain.contains(l1_hash(6), 6)
    assert step.chain.contains(l1_hash(7, "fork"), 7)


def test_a_segment_that_joins_nowhere_counts_as_a_reorg() -> None:
    step = advance(CanonicalChain(tuple(refs(0, 5))), refs(50, 60))
    assert (step.reorged, step.chain.tail_number) == (True, 50)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 9)), max_size=30))
def test_the_view_is_always_linked_and_bounded(moves: list[tuple[int, int]]) -> None:
    chain = CanonicalChain(tuple(refs(0, 3)))
    for i, (depth, length) in enumerate(moves):
        base = chain.refs[max(0, len(chain.refs) - 1 - depth)]
        branch = [
            L1BlockRef(
                number=base.number + 1 + k,
                hash=l1_hash(base.number + 1 + k, f"b{i}"),
                parent_hash=base.hash if k == 0 else l1_hash(base.number + k, f"b{i}"),
                timestamp=0,
            )
            for k in range(length)
        ]
        step = advance(chain, branch)
        assert step.reorged == (chain.head != base)
        chain = step.chain
        assert is_linked(chain.refs)
        assert len(chain.refs) <= WINDOW


def test_the_origin_is_deep_enough_and_never_goes_back() -> None:
    chain = CanonicalChain(tuple(refs(0, 20)))
    genesis = L1Origin(number=0, hash=l1_hash(0))
    assert deepest_usable(CONFIG, 2) == 0, "the genesis origin on a young L1"
    assert select_origin(CONFIG, chain, genesis) == L1Origin(number=16, hash=l1_hash(16))
    for number, why in ((18, "L1 fell behind"), (16, "no deeper one")):
        kept = L1Origin(number=number, hash=Hash32(b"\x11" * 32))
        assert select_origin(CONFIG, chain, kept) == kept, why
