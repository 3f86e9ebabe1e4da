"""A reader beside a base that moves: each interleaving of a read with a move, one by one."""

from collections.abc import Callable

import pytest

from dst.execution.state.account import Account
from dst.execution.state.commit import StateDiff
from dst.execution.state.flat import FlatSource, FlatState, Layer, Position
from dst.execution.state.nodes import EMPTY_REF, NodeStore, nothing_stored
from dst.execution.state.reader import TrieSource

WHO = b"\x01" * 20
GENESIS, A1, A2, B1 = (bytes([number]) * 32 for number in range(4))


class TrieAnswers(TrieSource):
    def __init__(self) -> None:
        super().__init__(NodeStore(nothing_stored), EMPTY_REF)

    def account(self, address: bytes) -> Account | None:
        return Account(balance=-1)


class Base:
    """What the store would hold, with a hook inside the next read: after the value was fetched."""

    def __init__(self) -> None:
        self.value = Account(balance=0)
        self.during_read: Callable[[], None] = lambda: None

    def account(self, address: bytes) -> Account | None:
        value = self.value
        self.during_read()
        return value

    def slot(self, address: bytes, slot: int) -> int:
        raise AssertionError("no slot is asked for")


class Moves:
    """Genesis at balance 0, A1 on it (1), A2 on A1 (2), B1 on genesis (7)."""

    def __init__(self) -> None:
        self.base = Base()
        self.flat = FlatState(Position(GENESIS, 0), self.base.account, self.base.slot)
        self.flat.add(layer(A1, GENESIS, 1, 1))
        self.flat.add(layer(A2, A1, 2, None))
        self.flat.add(layer(B1, GENESIS, 1, None))

    def source(self, block_hash: bytes) -> FlatSource:
        source = self.flat.source(block_hash, TrieAnswers())
        assert source is not None
        return source

    def move(self, to: bytes, number: int, balance: int) -> None:
        with self.flat.moving(Position(to, number)):
            self.base.value = Account(balance=balance)


def layer(block_hash: bytes, parent: bytes, number: int, balance: int | None) -> Layer:
    accounts: dict[bytes, Account | None] = (
        {} if balance is None else {WHO: Account(balance=balance)}
    )
    return Layer(block_hash, parent, number, StateDiff(accounts=accounts))


def balance(source: FlatSource) -> int:
    account = source.account(WHO)
    assert account is not None
    return account.balance


def test_layers_first_then_the_base() -> None:
    moves = Moves()
    assert balance(moves.source(A2)) == 1
    assert balance(moves.source(B1)) == 0


def test_a_base_that_goes_forward_on_our_chain_changes_nothing() -> None:
    moves = Moves()
    source = moves.source(A2)
    moves.move(A1, 1, 1)
    assert balance(source) == 1
    assert balance(moves.source(A2)) == 1


def test_a_base_that_goes_forward_on_another_branch_is_not_believed() -> None:
    moves = Moves()
    source = moves.source(B1)
    moves.move(A1, 1, 1)
    assert balance(source) == -1
    assert moves.flat.source(B1, TrieAnswers()) is None


def test_a_move_inside_a_read() -> None:
    moves = Moves()
    source = moves.source(B1)
    moves.base.during_read = lambda: moves.move(A1, 1, 1)
    assert balance(source) == -1


def test_a_turn_inside_a_read() -> None:
    """The value is the abandoned block's, and when the reader looks the base is in its past again:
    only the count of turns tells."""
    moves = Moves()
    source = moves.source(B1)
    moves.move(A1, 1, 1)
    moves.base.during_read = lambda: moves.move(GENESIS, 0, 0)
    assert balance(source) == -1


def test_a_source_made_during_a_move() -> None:
    """Announced, maybe written, not settled: a branch that the move leaves asks the trie."""
    moves = Moves()
    with moves.flat.moving(Position(A1, 1)):
        side, main = moves.source(B1), moves.source(A2)
        moves.base.value = Account(balance=1)
        assert balance(side) == -1
        assert balance(main) == 1
    assert balance(side) == -1


def test_a_failed_move_leaves_the_base_where_it_was() -> None:
    moves = Moves()
    source = moves.source(B1)
    with pytest.raises(OSError, match="full"), moves.flat.moving(Position(A1, 1)):
        raise OSError("full")
    assert moves.flat.position == Position(GENESIS, 0)
    assert balance(source) == 0
    assert balance(moves.source(A2)) == 1
