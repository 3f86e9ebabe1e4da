"""EIP-3076 conditions 1 and 2, and a dumb twin that remembers everything."""

from hypothesis import given
from hypothesis import strategies as st

from dst.slashing.rules import Refusal, check_block
from dst.spec.primitives import Root, Slot

A, B = Root(b"\xaa" * 32), Root(b"\xbb" * 32)


def test_a_new_slot_above_the_minimum_may_be_signed() -> None:
    assert check_block(Slot(5), A, at_slot=[], minimum=Slot(4)) is None
    assert check_block(Slot(5), A, at_slot=[], minimum=None) is None


def test_the_same_root_may_be_signed_again_even_at_the_minimum() -> None:
    assert check_block(Slot(5), A, at_slot=[A], minimum=Slot(5)) is None


def test_another_root_at_the_same_slot_is_a_double_proposal() -> None:
    assert check_block(Slot(5), B, at_slot=[A], minimum=Slot(1)) is Refusal.DOUBLE_PROPOSAL
    assert check_block(Slot(5), A, at_slot=[A, B], minimum=Slot(1)) is Refusal.DOUBLE_PROPOSAL


def test_an_unknown_root_forbids_its_slot() -> None:
    assert check_block(Slot(5), A, at_slot=[None], minimum=Slot(1)) is Refusal.DOUBLE_PROPOSAL
    assert check_block(Slot(5), A, at_slot=[A, None], minimum=Slot(1)) is Refusal.DOUBLE_PROPOSAL


def test_at_or_below_the_minimum_is_refused() -> None:
    for slot in (4, 3, 0):
        assert check_block(Slot(slot), A, at_slot=[], minimum=Slot(4)) in (
            Refusal.BELOW_MINIMUM,
            Refusal.DOUBLE_PROPOSAL,
        )


@given(
    attempts=st.lists(
        st.tuples(st.integers(min_value=0, max_value=6), st.sampled_from([A, B])), max_size=40
    )
)
def test_never_two_roots_at_one_slot(attempts: list[tuple[int, Root]]) -> None:
    signed: dict[int, set[Root | None]] = {0: {None}}
    for slot, root in attempts:
        verdict = check_block(
            Slot(slot), root, at_slot=signed.get(slot, set()), minimum=Slot(min(signed))
        )
        if verdict is None:
            signed.setdefault(slot, set()).add(root)
    assert all(len(roots) == 1 for roots in signed.values())
    assert signed[0] == {None}
