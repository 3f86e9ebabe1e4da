"""What is remembered of heavy transactions, and for how long."""

from typing import Any

from dst.mempool.heavy import (
    MAX_ENTRIES,
    REFUSED_FOR_HEIGHTS,
    TRIES_ALONE,
    HeavyBook,
    Verdict,
    call_of,
)
from dst.spec.primitives import Address, Hash32
from tests.unit.mempool.test_pool import tx

CODE = b"\xc0" * 32
OTHER_CODE = b"\xc1" * 32


def heavy(data: bytes = b"\x01\x02\x03\x04 one", **changes: Any) -> Any:
    return tx(gas=1_000_000, data=data, **changes)


def prove(book: HeavyBook, transaction: Any, height: int = 10) -> None:
    book.prove(transaction, call_of(transaction, CODE), height)


def test_it_is_given_up_after_so_many_tries_alone() -> None:
    book, one = HeavyBook(), heavy()
    for _ in range(5):
        assert book.note_failure(one.hash, seconds=0.05, alone=False) is Verdict.AGAIN
    for _ in range(TRIES_ALONE - 1):
        assert book.note_failure(one.hash, seconds=0.1, alone=True) is Verdict.AGAIN
    assert book.note_failure(one.hash, seconds=0.09, alone=True) is Verdict.TOO_HEAVY
    attempts = book.attempts(one.hash)
    assert attempts is not None
    assert (attempts.seconds, attempts.alone) == (0.1, TRIES_ALONE)


def test_all_the_time_that_there_ever_is_proves_it_at_once() -> None:
    book, one = HeavyBook(), heavy()
    assert book.note_failure(one.hash, seconds=0.1, alone=True, proves=True) is Verdict.TOO_HEAVY


def test_the_same_call_is_refused_with_as_much_gas_and_for_a_while() -> None:
    book, one = HeavyBook(), heavy()
    before = book.is_empty
    prove(book, one)
    assert (before, book.is_empty) == (True, False)
    again, less = call_of(heavy(nonce=7), CODE), call_of(one, CODE)
    assert book.refuses(again, 1_000_000, 11)
    assert not book.refuses(less, 999_999, 11), "it may run out of gas before it is too slow"
    assert not book.refuses(call_of(one, OTHER_CODE), 1_000_000, 11)
    assert not book.refuses(call_of(heavy(b"\x01\x02\x03\x04 two"), CODE), 1_000_000, 11)
    assert book.refuses(again, 1_000_000, 10 + REFUSED_FOR_HEIGHTS)
    assert not book.refuses(again, 1_000_000, 11 + REFUSED_FOR_HEIGHTS)


def test_a_strangers_heavy_calls_shut_nobody_out() -> None:
    book = HeavyBook()
    for number in range(20):
        prove(book, heavy(b"\x01\x02\x03\x04" + bytes([number])))
        creation = heavy(bytes([number]), to=Address(b""))
        book.prove(creation, call_of(creation, b""), 10)
    other = heavy(b"\x01\x02\x03\x04 and another")
    assert not book.refuses(call_of(other, CODE), other.gas, 10)
    deployment = heavy(b"\x60\x80", to=Address(b""))
    assert not book.refuses(call_of(deployment, b""), deployment.gas, 10)


def test_creations_are_told_apart_by_their_init_code() -> None:
    book = HeavyBook()
    one, two = (heavy(data, to=Address(b"")) for data in (b"\x60\x01", b"\x60\x02"))
    book.prove(one, call_of(one, b""), 10)
    assert book.refuses(call_of(one, b""), one.gas, 10)
    assert not book.refuses(call_of(two, b""), two.gas, 10)


def test_a_transaction_that_left_is_forgotten() -> None:
    book, one = HeavyBook(), heavy()
    book.note_failure(one.hash, seconds=1, alone=True)
    book.forget(one.hash)
    assert book.attempts(one.hash) is None


def test_memory_is_bounded() -> None:
    book = HeavyBook()
    for number in range(MAX_ENTRIES + 10):
        book.note_failure(Hash32(number.to_bytes(32, "big")), seconds=1, alone=False)
    assert book.attempts(Hash32(bytes(32))) is None
    assert book.attempts(Hash32((MAX_ENTRIES + 9).to_bytes(32, "big"))) is not None
