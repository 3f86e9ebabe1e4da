"""Combination over all subsets gives the undivided key's signature; anything less gives an error or
a wrong one.
"""

from functools import lru_cache
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.crypto import bls, tbls
from dst.spec.errors import InvalidInput
from dst.spec.primitives import BLSSignature, ShareIndex, quorum

MESSAGE = b"\x5a" * 32
SIZES = (1, 4, 7, 10)


@lru_cache
def dealt(n: int) -> tuple[bls.SecretShare, dict[ShareIndex, bls.SecretShare]]:
    group = bls.SecretShare.generate()
    return group, tbls.split(group, n, quorum(n))


@lru_cache
def partials(n: int) -> dict[ShareIndex, BLSSignature]:
    return {index: bls.sign(share, MESSAGE) for index, share in dealt(n)[1].items()}


@pytest.mark.parametrize("n", SIZES)
def test_every_subset_gives_the_group_signature(n: int) -> None:
    group, _ = dealt(n)
    expected = bls.sign(group, MESSAGE)
    for chosen in combinations(partials(n), quorum(n)):
        subset = {index: partials(n)[index] for index in chosen}
        assert tbls.recover_group_signature(subset, quorum(n)) == expected
    assert bls.verify(bls.public_key(group), MESSAGE, expected)


@pytest.mark.parametrize("n", SIZES)
def test_every_subset_gives_the_group_key_and_secret(n: int) -> None:
    group, shares = dealt(n)
    keys = {index: bls.public_key(share) for index, share in shares.items()}
    for chosen in combinations(shares, quorum(n)):
        subset = {index: keys[index] for index in chosen}
        assert tbls.recover_group_public_key(subset, quorum(n)) == bls.public_key(group)
        secrets = {index: shares[index] for index in chosen}
        assert tbls.recover_secret(secrets, quorum(n)).reveal() == group.reveal()


@pytest.mark.parametrize("n", [4, 7, 10])
def test_one_partial_too_few(n: int) -> None:
    few = dict(list(partials(n).items())[: quorum(n) - 1])
    with pytest.raises(tbls.NotEnoughPartials):
        tbls.recover_group_signature(few, quorum(n))
    # And asking for less than the polynomial needs gives another signature, not the group's.
    group, _ = dealt(n)
    assert tbls.recover_group_signature(few, len(few)) != bls.sign(group, MESSAGE)


def test_surplus_is_ignored_highest_index_first() -> None:
    group, _ = dealt(4)
    wrong_last = {**partials(4), ShareIndex(4): bls.sign(group, MESSAGE)}
    assert tbls.recover_group_signature(wrong_last, 3) == bls.sign(group, MESSAGE)


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_order_of_arrival_does_not_matter(data: st.DataObject) -> None:
    items = data.draw(st.permutations(list(partials(7).items())))
    assert tbls.recover_group_signature(dict(items), 5) == tbls.recover_group_signature(
        partials(7), 5
    )


def test_a_wrong_partial_spoils_the_signature() -> None:
    group, _ = dealt(4)
    other = bls.sign(bls.SecretShare.generate(), MESSAGE)
    combined = tbls.recover_group_signature({**partials(4), ShareIndex(1): other}, 3)
    assert not bls.verify(bls.public_key(group), MESSAGE, combined)


def test_refusals() -> None:
    good = partials(4)
    with pytest.raises(bls.InvalidPoint):
        tbls.recover_group_signature({**good, ShareIndex(1): BLSSignature(b"\xc0" + bytes(95))}, 3)
    with pytest.raises(InvalidInput, match="begin at 1"):
        tbls.recover_group_signature({**good, ShareIndex(0): good[ShareIndex(1)]}, 3)
    for n, threshold in ((4, 0), (4, 5)):
        with pytest.raises(InvalidInput, match="impossible"):
            tbls.split(bls.SecretShare.generate(), n, threshold)


def test_split_is_a_function_of_its_random_bytes() -> None:
    group = bls.SecretShare(7)
    one, two = (tbls.split(group, 4, 3, lambda size: b"\x11" * size) for _ in range(2))
    assert {i: s.reveal() for i, s in one.items()} == {i: s.reveal() for i, s in two.items()}


def test_coefficients_of_neighbours_are_integers_at_n_4() -> None:
    assert tbls.lagrange_at_zero((1, 2, 3)) == ((3, -3, 1), 1)
    assert tbls.lagrange_at_zero((1, 2, 4)) == ((8, -6, 1), 3)
