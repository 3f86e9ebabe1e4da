"""The running block's accounts: whatever is written comes back when a snapshot is discarded."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.execution.state.account import Account
from dst.execution.state.commit import commit
from dst.execution.state.nodes import EMPTY_REF, NodeStore
from dst.execution.state.overlay import BlockState
from dst.execution.state.reader import StateReader
from dst.spec.primitives import Address

OWNED, NEW, EMPTY = Address(b"\x01" * 20), Address(b"\x02" * 20), Address(b"\x03" * 20)
RIPEMD = Address(bytes(19) + b"\x03")
ACCOUNTS = st.sampled_from([OWNED, NEW, EMPTY, RIPEMD])


def reader() -> StateReader:
    nodes: dict[bytes, bytes] = {}
    codes: dict[bytes, bytes] = {}
    cache = NodeStore(nodes.get)
    state = BlockState(StateReader(cache, codes.__getitem__, EMPTY_REF))
    state.put_account(OWNED, Account(1, 100))
    state.set_code(OWNED, b"\x5b")
    state.set_storage(OWNED, 1, 11)
    state.put_account(EMPTY, Account())
    result = commit(state)
    nodes |= result.nodes
    codes |= result.codes
    return StateReader(cache, codes.__getitem__, result.root_ref)


READER = reader()

Write = Callable[[BlockState], object]
writes: st.SearchStrategy[Write] = st.one_of(
    st.builds(
        lambda who, wei: lambda state: state.set_balance(who, wei), ACCOUNTS, st.integers(0, 3)
    ),
    st.builds(lambda who: lambda state: state.increment_nonce(who), ACCOUNTS),
    st.builds(lambda who: lambda state: state.buy_gas(who, 0), ACCOUNTS),
    st.builds(lambda who: lambda state: state.set_code(who, b"\xfe"), ACCOUNTS),
    st.builds(lambda who: lambda state: state.delete_code(who), ACCOUNTS),
    st.builds(
        lambda who, slot, value: lambda state: state.set_storage(who, slot, value),
        ACCOUNTS,
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    st.builds(lambda who: lambda state: state.delete_account(who), ACCOUNTS),
    st.builds(lambda who: lambda state: state.touch_account(who), ACCOUNTS),
    st.builds(lambda who: lambda state: state.mark_address_warm(who), ACCOUNTS),
    st.builds(lambda who: lambda state: state.mark_storage_warm(who, 1), ACCOUNTS),
    st.builds(lambda who: lambda state: state.set_transient(who, 1, 2), ACCOUNTS),
    st.builds(lambda who: lambda state: state.destroy_at_the_end(who), ACCOUNTS),
    st.builds(lambda who: lambda state: state.add_log(who, (1,), b"x"), ACCOUNTS),
)


def seen(state: BlockState) -> tuple[Any, ...]:
    """Everything that a snapshot covers."""
    return (
        dict(state.accounts),
        dict(state.slots),
        set(state.wiped),
        set(state.warm),
        dict(state.transient),
        list(state.logs),
        set(state.destroyed),
        set(state._touched) - {RIPEMD},
    )


@given(st.lists(writes), st.lists(writes), st.lists(writes))
def test_discarding_restores_what_was(
    before: list[Write], between: list[Write], after: list[Write]
) -> None:
    state = BlockState(READER, always_warm=[RIPEMD])
    for write in before:
        write(state)
    was, checkpoint = seen(state), state.record()
    for write in between:
        write(state)
    inner = state.record()
    for write in after:
        write(state)
    state.discard(inner)
    state.discard(checkpoint)
    assert seen(state) == was
    assert state.record() == checkpoint


@given(st.lists(writes))
def test_a_discarded_block_has_the_root_of_its_reader(before: list[Write]) -> None:
    state = BlockState(READER)
    for write in before:
        write(state)
    state.discard(0)
    assert commit(state).root == READER.root


def test_writes_add_no_empty_account_and_a_touched_one_goes() -> None:
    state = BlockState(READER)
    state.set_balance(NEW, 0)
    state.delta_balance(NEW, 0)
    state.touch_account(NEW)
    assert NEW not in state.accounts
    state.touch_account(EMPTY)
    assert state.account_exists(EMPTY)
    state.clear_accounts()
    assert not state.account_exists(EMPTY)


@pytest.mark.parametrize("touch", ["touch_account", "set_balance", "delta_balance"])
def test_touching_is_undone_except_of_ripemd(touch: str) -> None:
    state = BlockState(READER)
    state.put_account(RIPEMD, Account())
    checkpoint = state.record()
    for who in (EMPTY, RIPEMD):
        getattr(state, touch)(who, *([] if touch == "touch_account" else [0]))
    state.discard(checkpoint)
    state.clear_accounts()
    assert (state.account_exists(EMPTY), state.account_exists(RIPEMD)) == (True, False)


def test_the_value_at_the_start_of_the_transaction_outlives_a_revert() -> None:
    state = BlockState(READER)
    checkpoint = state.record()
    state.set_storage(OWNED, 1, 5)
    state.discard(checkpoint)
    state.set_storage(OWNED, 1, 6)
    assert state.get_storage(OWNED, 1, from_journal=False) == 11
    state.begin_transaction()
    assert state.get_storage(OWNED, 1, from_journal=False) == 6


def test_a_transaction_begins_with_nothing_but_the_precompiles_warm() -> None:
    state = BlockState(READER, always_warm=[RIPEMD])
    state.mark_address_warm(NEW)
    state.add_log(NEW, (), b"")
    state.set_transient(NEW, 0, 1)
    state.begin_transaction()
    assert set(state.warm) == {RIPEMD}
    assert (state.logs, state.transient, state.record()) == ([], {}, 0)


def test_a_deleted_account_comes_back_without_its_slots() -> None:
    state = BlockState(READER)
    state.delete_account(OWNED)
    assert (state.get_storage(OWNED, 1), state.get_code(OWNED)) == (0, b"")
    state.set_balance(OWNED, 1)
    assert state.get_storage(OWNED, 1) == 0
    assert not state.account_has_code_or_nonce(OWNED)


def test_buying_gas_needs_the_balance() -> None:
    state = BlockState(READER)
    state.buy_gas(OWNED, 60)
    assert (state.get_balance(OWNED), state.get_nonce(OWNED)) == (40, 2)
    with pytest.raises(AssertionError):
        state.buy_gas(OWNED, 41)


def test_code_that_no_account_has_is_not_kept() -> None:
    """Of a creation that was undone, or of a transaction that the builder left out."""
    state = BlockState(READER)
    checkpoint = state.record()
    state.set_code(NEW, b"\xfe" * 24_576)
    state.discard(checkpoint)
    state.set_code(NEW, b"\xfd")
    assert list(commit(state).codes.values()) == [b"\xfd"]
