"""The pool's rules, one test a rule, and order as a property."""

from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.mempool.ordering import by_price
from dst.mempool.pool import MAX_TRANSACTION_BYTES, Pool, SenderState
from dst.mempool.tails import SLACK
from dst.spec.primitives import Address, Hash32
from dst.transactions.transaction import InvalidTransaction, Reason, Transaction

ALICE, BOB, CAROL = (Address(bytes([letter]) * 20) for letter in b"ABC")
RICH = 10**30


def tx(sender: Address = ALICE, nonce: int = 0, fee: int = 100, **changes: Any) -> Transaction:
    """Unsigned: the pool looks at no signature."""
    fields: dict[str, Any] = {
        "raw": b"r" * 100,
        "sender": sender,
        "type_id": 2,
        "chain_id": 1,
        "nonce": nonce,
        "max_priority_fee_per_gas": fee,
        "max_fee_per_gas": fee,
        "gas": 21_000,
        "to": BOB,
        "value": 0,
        "data": b"",
        "v": 0,
        "r": 1,
        "s": 1,
        **changes,
    }
    identity = repr(sorted(fields.items(), key=lambda each: each[0])).encode()
    import hashlib

    return Transaction(hash=Hash32(hashlib.sha256(identity).digest()), **fields)


def add(pool: Pool, *transactions: Transaction, nonce: int = 0, balance: int = RICH) -> Any:
    for each in transactions:
        added = pool.add(each, nonce=nonce, balance=balance)
    return added


def refused(pool: Pool, transaction: Transaction, nonce: int = 0, balance: int = RICH) -> Reason:
    before = len(pool)
    with pytest.raises(InvalidTransaction) as error:
        pool.add(transaction, nonce=nonce, balance=balance)
    assert len(pool) == before, "a refused transaction changes nothing"
    return error.value.reason


def order(pool: Pool, base_fee: int = 0, limit: int = 1_000) -> list[tuple[Address, int]]:
    return [
        (each.sender, each.nonce) for each in islice(by_price(pool.executable(), base_fee), limit)
    ]


def test_nonce_order_within_and_price_order_across_senders() -> None:
    pool = Pool()
    add(pool, tx(ALICE, 1, 900), tx(ALICE, 0, 10), tx(BOB, 0, 50), tx(CAROL, 0, 5))
    assert order(pool) == [(BOB, 0), (ALICE, 0), (ALICE, 1), (CAROL, 0)]
    assert order(pool, limit=2) == [(BOB, 0), (ALICE, 0)]


def test_equal_prices_go_first_come_first_served() -> None:
    pool = Pool()
    add(pool, tx(CAROL), tx(ALICE), tx(BOB))
    assert [sender for sender, _ in order(pool)] == [CAROL, ALICE, BOB]


def test_a_fee_cap_below_the_base_fee_holds_back_what_follows() -> None:
    pool = Pool()
    add(pool, tx(ALICE, 0, 10), tx(ALICE, 1, 900), tx(BOB, 0, 50))
    assert order(pool, base_fee=20) == [(BOB, 0)]


def test_gap_is_kept_and_not_offered() -> None:
    pool = Pool()
    add(pool, tx(nonce=2), tx(nonce=0))
    assert order(pool) == [(ALICE, 0)]
    assert pool.counts() == (1, 1)
    assert pool.pending_nonce(ALICE, 0) == 1
    add(pool, tx(nonce=1))
    assert pool.counts() == (3, 0)
    assert pool.pending_nonce(ALICE, 0) == 3


@pytest.mark.parametrize(("fee", "accepted"), [(100, False), (109, False), (110, True)])
def test_replacement_needs_ten_percent(fee: int, accepted: bool) -> None:
    pool = Pool()
    old = tx(fee=100)
    add(pool, old)
    new = tx(fee=fee, value=1)
    if accepted:
        assert add(pool, new).replaced == old.hash
        assert (old.hash in pool, new.hash in pool, len(pool)) == (False, True, 1)
    else:
        assert refused(pool, new) is Reason.UNDERPRICED_REPLACEMENT


def test_both_fees_must_rise() -> None:
    pool = Pool()
    add(pool, tx(fee=100))
    assert (
        refused(pool, tx(fee=200, max_priority_fee_per_gas=100)) is Reason.UNDERPRICED_REPLACEMENT
    )


def test_zero_fee_cannot_be_replaced_for_nothing() -> None:
    pool = Pool()
    add(pool, tx(fee=0))
    assert refused(pool, tx(fee=0, value=1)) is Reason.UNDERPRICED_REPLACEMENT


def test_already_known() -> None:
    pool = Pool()
    add(pool, tx())
    assert refused(pool, tx()) is Reason.ALREADY_KNOWN


def test_all_waiting_transactions_together_must_be_funded() -> None:
    pool = Pool()
    one = tx(nonce=0).max_cost
    add(pool, tx(nonce=0), balance=2 * one)
    assert refused(pool, tx(nonce=1, value=1), balance=2 * one) is Reason.INSUFFICIENT_FUNDS
    add(pool, tx(nonce=1), balance=2 * one)


def test_oversized_and_far_nonces() -> None:
    pool = Pool(max_per_sender=4)
    assert refused(pool, tx(raw=b"x" * (MAX_TRANSACTION_BYTES + 1))) is Reason.OVERSIZED
    assert refused(pool, tx(nonce=4)) is Reason.NONCE_TOO_HIGH
    add(pool, *[tx(nonce=nonce) for nonce in range(4)])
    assert refused(pool, tx(nonce=4), nonce=1) is Reason.SENDER_LIMIT


def test_full_pool_evicts_the_cheapest_tail() -> None:
    pool = Pool(max_transactions=3)
    tail = tx(ALICE, 1, 20)
    add(pool, tx(ALICE, 0, 5), tail, tx(BOB, 0, 50))
    assert refused(pool, tx(CAROL, 0, 20)) is Reason.POOL_FULL
    added = add(pool, tx(CAROL, 0, 30))
    assert added.evicted == (tail.hash,), "not Alice's cheaper first: it would strand the second"
    assert len(pool) == 3


def test_full_pool_evicts_what_waits_behind_a_gap_first() -> None:
    pool = Pool(max_transactions=2)
    gapped = tx(BOB, 5, 1_000)
    add(pool, tx(ALICE, 0, 10), gapped)
    assert add(pool, tx(CAROL, 0, 1)).evicted == (gapped.hash,)


def test_nobody_pushes_out_his_own_predecessor() -> None:
    pool = Pool(max_transactions=1)
    add(pool, tx(ALICE, 0, 10))
    assert refused(pool, tx(ALICE, 1, 1_000)) is Reason.POOL_FULL


def test_bytes_are_bounded() -> None:
    pool = Pool(max_bytes=250)
    add(pool, tx(ALICE, 0, 10), tx(BOB, 0, 20))
    assert add(pool, tx(CAROL, 0, 30)).evicted == (tx(ALICE, 0, 10).hash,)


def test_new_head_drops_what_is_included_and_nothing_else() -> None:
    pool = Pool()
    first, second, other = tx(nonce=0), tx(nonce=1), tx(BOB)
    add(pool, first, second, other)
    at_one, at_two = SenderState(1, RICH), SenderState(2, RICH)
    assert pool.advance({ALICE: at_one, CAROL: at_one}) == ((first, Reason.NONCE_TOO_LOW),)
    assert order(pool) == [(ALICE, 1), (BOB, 0)]
    pool.advance({ALICE: at_two})
    assert pool.senders() == {BOB}
    assert pool.remove(other.hash)
    assert not pool.remove(other.hash)
    assert len(pool) == 0


actions = st.lists(
    st.tuples(
        st.sampled_from([ALICE, BOB, CAROL]),
        st.integers(0, 5),
        st.integers(0, 200),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(actions, st.integers(0, 100))
def test_bounds_and_order_hold_whatever_comes(
    steps: list[tuple[Address, int, int, int]], base_fee: int
) -> None:
    pool = Pool(max_per_sender=4, max_transactions=6)
    for sender, nonce, fee, kind in steps:
        if kind == 0:
            pool.advance({sender: SenderState(nonce, RICH)})
            continue
        try:
            pool.add(tx(sender, nonce, fee, value=kind), nonce=0, balance=RICH)
        except InvalidTransaction:
            pass
    assert len(pool) <= 6
    ready, gapped = pool.counts()
    assert ready + gapped == len(pool)
    chosen = list(by_price(pool.executable(), base_fee))
    for sender in pool.senders():
        nonces = [each.nonce for each in chosen if each.sender == sender]
        assert nonces == list(range(nonces[0], nonces[0] + len(nonces))) if nonces else True
    assert all(each.max_fee_per_gas >= base_fee for each in chosen)


def test_balance_that_fell_drops_from_the_end() -> None:
    pool = Pool()
    one = tx(nonce=0).max_cost
    first, second, third = (tx(nonce=nonce) for nonce in range(3))
    add(pool, first, second, third, balance=3 * one)
    dropped = pool.advance({ALICE: SenderState(0, 2 * one)})
    assert dropped == ((third, Reason.INSUFFICIENT_FUNDS),)
    assert order(pool) == [(ALICE, 0), (ALICE, 1)]


def test_a_nonce_that_moves_alone_makes_the_next_one_executable() -> None:
    """An authorization took nonce 0 (EIP-7702): what waited behind the gap may run."""
    pool = Pool()
    add(pool, tx(nonce=1))
    assert order(pool) == []
    assert pool.missing_nonce(tx(nonce=1)) == 0
    pool.advance({ALICE: SenderState(1, RICH)})
    assert order(pool) == [(ALICE, 1)]
    assert pool.missing_nonce(tx(nonce=1)) is None


def test_a_nonce_that_goes_back_makes_them_wait_again() -> None:
    pool = Pool()
    add(pool, tx(nonce=5), tx(nonce=6), nonce=5)
    assert pool.counts() == (2, 0)
    pool.advance({ALICE: SenderState(4, RICH)})
    assert pool.counts() == (0, 2)
    add(pool, tx(nonce=4), nonce=4)
    assert pool.counts() == (3, 0)


def test_a_refused_newcomer_evicts_nobody() -> None:
    """Its first victim is cheaper, its second is not."""
    pool = Pool(max_transactions=10, max_bytes=250)
    add(pool, tx(ALICE, 0, 10), tx(BOB, 0, 50))
    before = order(pool)
    assert refused(pool, tx(CAROL, 0, 30, raw=b"r" * 200)) is Reason.POOL_FULL
    assert order(pool) == before
    assert pool.bytes == 200


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Address(bytes([number]) * 20) for number in range(8)]),
            st.integers(0, 4),
            st.integers(0, 30),
            st.sampled_from(["add", "add", "add", "remove", "advance"]),
        ),
        max_size=60,
    )
)
def test_the_victim_is_the_one_that_a_scan_finds(
    steps: list[tuple[Address, int, int, str]],
) -> None:
    """The dumb twin of the heap: look at every sender's last one."""
    pool = Pool(max_per_sender=5, max_transactions=6)
    for sender, nonce, fee, kind in steps:
        transaction = tx(sender, nonce, fee, value=fee)
        if kind == "advance":
            pool.advance({sender: SenderState(nonce, RICH)})
        elif kind == "remove":
            found = pool.by_nonce(sender, nonce)
            assert found is None or pool.remove(found.hash)
        else:
            expected = cheapest_by_scan(pool) if len(pool) == 6 else None
            try:
                added = pool.add(transaction, nonce=0, balance=RICH)
            except InvalidTransaction:
                continue
            if added.evicted:
                assert added.evicted == (expected,)
    waiting = [each for sender in pool.senders() for part in pool.waiting(sender) for each in part]
    assert len(waiting) == len(pool)
    assert pool.bytes == sum(len(each.raw) for each in waiting)
    assert pool.counts()[0] == sum(len(pool.waiting(sender)[0]) for sender in pool.senders())


def cheapest_by_scan(pool: Pool) -> Hash32:
    arrived = [each.hash for each in pool.transactions()]

    def rank(sender: Address) -> tuple[bool, int, int, int]:
        ready, gapped = pool.waiting(sender)
        last = (*ready, *gapped)[-1]
        return (
            not gapped,
            last.max_priority_fee_per_gas,
            last.max_fee_per_gas,
            -arrived.index(last.hash),
        )

    ready, gapped = pool.waiting(min(pool.senders(), key=rank))
    return (*ready, *gapped)[-1].hash


def test_the_memory_of_tails_is_bounded_while_the_pool_is_not_full() -> None:
    """A pool that never evicts is the usual one."""
    pool = Pool()
    for nonce in range(2_000):
        add(pool, tx(nonce=nonce), tx(BOB, nonce=nonce), nonce=nonce)
        pool.advance({each: SenderState(nonce + 1, RICH) for each in (ALICE, BOB)})
    assert len(pool) == 0
    assert len(pool._tails) <= SLACK
