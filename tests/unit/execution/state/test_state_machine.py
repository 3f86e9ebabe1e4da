"""Random histories with reorgs, deletions, restarts and pruning: every state that is kept is
complete and right by every way of reading it, every other one is refused, and nothing leaks.

The windows are made small, so that a history of a few dozen blocks crosses all of them."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dst.execution import pruning, states
from dst.execution.chain import UnknownBlock, UnknownParent
from dst.execution.pruning import Retention
from dst.execution.state import flat
from dst.execution.state.nodes import StateUnavailable
from dst.execution.state.reader import StateReader
from dst.spec.primitives import ZERO_HASH, Hash32
from tests.unit.execution.ledgers import PEOPLE, SLOTS, Change, Ledger

changes = st.builds(
    Change,
    person=st.sampled_from(PEOPLE),
    credit=st.integers(0, 3),
    slots=st.dictionaries(st.sampled_from(SLOTS), st.integers(0, 2**70), max_size=3),
    ends=st.sampled_from((False, False, True)),
    again=st.booleans(),
)
blocks = st.lists(changes, max_size=4)


class Histories(RuleBasedStateMachine):
    history_blocks: int | None = None

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name), _retention(self.history_blocks))
        self.finalized = Hash32(self.ledger.genesis.header.hash)
        self.salt = 0
        self.held: list[tuple[bytes, StateReader]] = []

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    @rule(block=blocks)
    def extend_the_head(self, block: list[Change]) -> None:
        ledger = self.ledger
        made = ledger.make(ledger.chain.heads.head_hash, block, self._salt())
        ledger.insert(made, block)
        ledger.chain.set_forkchoice(made.hash, ZERO_HASH, self.finalized)

    @rule(several=st.lists(blocks, min_size=2, max_size=6), back=st.integers(1, 6))
    def go_on(self, several: list[list[Change]], back: int) -> None:
        """As a chain lives: block after block, finality some way behind."""
        for block in several:
            self.extend_the_head(block)
        self.finalize(back)

    @rule(data=st.data(), block=blocks)
    def branch_off(self, data: st.DataObject, block: list[Change]) -> None:
        parent = data.draw(st.sampled_from(sorted(self.ledger.headers)))
        if not self.ledger.is_kept(parent):
            with pytest.raises(StateUnavailable):
                self.ledger.make(parent, block)
            return
        self.ledger.extend(block, parent, self._salt())

    @rule(data=st.data())
    def move_the_head(self, data: st.DataObject) -> None:
        """Anywhere that still has the finalized block below it, or the finalized one itself."""
        ledger = self.ledger
        head = Hash32(data.draw(st.sampled_from(sorted(ledger.headers))))
        header = ledger.headers[head]
        if not ledger.chain.is_ancestor(self.finalized, header, head):
            return
        if ledger.is_kept(head):
            ledger.chain.set_forkchoice(head, ZERO_HASH, self.finalized)
        else:
            with pytest.raises(UnknownBlock):
                ledger.chain.set_forkchoice(head, ZERO_HASH, self.finalized)

    @rule(back=st.integers(0, 3))
    def finalize(self, back: int) -> None:
        chain = self.ledger.chain
        old = self.ledger.headers[self.finalized].number
        number = max(old, chain.heads.head.number - back)
        wanted = chain.canonical_hash(min(number, chain.heads.head.number))
        assert wanted is not None
        self.finalized = wanted
        chain.set_forkchoice(chain.heads.head_hash, ZERO_HASH, wanted)

    @rule()
    def restart(self) -> None:
        self.held.clear()
        self.ledger.reopen()

    @precondition(lambda self: hasattr(self, "ledger"))
    @invariant()
    def states_are_complete_or_refused(self) -> None:
        ledger = self.ledger
        ledger.check_all()
        chain = ledger.chain
        for number in range(chain.oldest_state, chain.heads.head.number + 1):
            block_hash = chain.canonical_hash(number)
            assert block_hash is not None
            assert ledger.is_kept(block_hash)
        assert chain.oldest_state <= ledger.headers[self.finalized].number

    @rule(data=st.data())
    def hold_a_reader(self, data: st.DataObject) -> None:
        kept = [each for each in sorted(self.ledger.headers) if self.ledger.is_kept(each)]
        block_hash = data.draw(st.sampled_from(kept))
        self.held.append((block_hash, self.ledger.chain.reader_after(block_hash)))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def use_a_reader(self, data: st.DataObject) -> None:
        """One of a while ago, the base may have moved anywhere since: right, or refused."""
        index = data.draw(st.integers(0, len(self.held) - 1))
        block_hash, reader = self.held.pop(index)
        try:
            self.ledger.check(reader, block_hash)
        except StateUnavailable:
            assert not self.ledger.is_kept(block_hash)

    def _salt(self) -> int:
        """Sometimes the same block twice, sometimes siblings with the same state."""
        self.salt += 1
        return self.salt // 3


class PrunedHistories(Histories):
    history_blocks = 3


def _retention(history_blocks: int | None) -> Retention:
    return Retention(history_blocks=history_blocks)


@pytest.mark.parametrize("machine", [Histories, PrunedHistories])
def test_histories(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "MIN_HISTORY_BLOCKS", 3)
    monkeypatch.setattr(pruning, "BATCH_BLOCKS", 2)
    monkeypatch.setattr(states, "LAYERS_KEPT", 2)
    monkeypatch.setattr(states, "MAX_BASE_MOVE", 2)
    monkeypatch.setattr(flat, "MAX_LAYERS", 6)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None)
    )


def test_insert_after_its_parents_state_was_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "MIN_HISTORY_BLOCKS", 3)
    monkeypatch.setattr(pruning, "BATCH_BLOCKS", 1)
    monkeypatch.setattr(states, "LAYERS_KEPT", 2)
    ledger = Ledger(tmp_path, Retention(history_blocks=3))
    late = ledger.make(ledger.chain.heads.head_hash, [Change(PEOPLE[0])], salt=99)
    for _ in range(8):
        head = ledger.extend([Change(PEOPLE[1])])
    ledger.chain.set_forkchoice(head, ZERO_HASH, head)
    assert ledger.chain.oldest_state > 0
    with pytest.raises(UnknownParent, match="pruned"):
        ledger.chain.insert(late)
    ledger.check_all()
    ledger.close()
