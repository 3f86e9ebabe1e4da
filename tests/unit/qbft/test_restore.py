"""Restart: the log alone brings back what this node promised, whatever else the log holds."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.qbft import DecidedHead, restore
from dst.qbft.effects import Broadcast, Decided, Persist
from dst.qbft.messages import CommitMessage, RoundChangeMessage
from dst.qbft.records import DecisionRecord, Record
from dst.spec.primitives import Height, Term
from tests.unit.qbft.playbook import ROOT_A, ROOT_B, A, B, Maker, Playbook, make_config

MAKE = Maker(height=1)


def eventful_log() -> list[Record]:
    """Round 0 locked on A, round 1 entered, A prepared again; then height 1 decided, height 2
    begun."""
    node = Playbook(0).locked_on_a()
    node.expire()
    claims = [
        MAKE.round_change(0, 1),
        MAKE.round_change(1, 1),
        MAKE.round_change(3, 1, (0, ROOT_A)),
    ]
    node.hear(MAKE.proposal(A, 1, claims, MAKE.prepares(range(3))))
    node.validated()
    for sender in (1, 2):
        node.hear(MAKE.prepare(sender, ROOT_A, 1))
    for sender in (1, 2):
        node.hear(MAKE.commit(sender, ROOT_A, 1))
    node.due()
    node.hear(Maker(height=2).proposal(B))
    node.validated(ROOT_B)
    return node.log


LOG = eventful_log()


def test_an_empty_log_opens_height_1_or_the_one_after_the_head() -> None:
    config = make_config()
    assert restore(config, None, ()).height == 1
    assert restore(config, DecidedHead(height=Height(41)), ()).height == 42


@pytest.mark.parametrize("length", range(len(LOG) + 1))
def test_every_prefix_of_the_log_restores_and_repeats_no_vote_differently(length: int) -> None:
    """A crash after any record: what is said afterwards repeats the log, byte for byte."""
    node = Playbook(0, records=LOG[:length])
    node.start()
    logged = {msgspec.msgpack.encode(each) for each in _signed(LOG[:length])}
    for effect in node.get(Broadcast):
        if not isinstance(effect.message, RoundChangeMessage):
            assert msgspec.msgpack.encode(effect.message.signed) in logged
        else:
            assert msgspec.msgpack.encode(effect.message) in logged
    assert not node.get(Persist), "nothing new was promised"


def _signed(records: list[Record]) -> list[msgspec.Struct]:
    found: list[msgspec.Struct] = []
    for each in records:
        for name in ("prepare", "commit"):
            if hasattr(each, name):
                found.append(getattr(each, name))
        if hasattr(each, "message"):
            found += [each.message, each.message.signed]
    return found


@given(st.permutations(LOG), st.integers(0, 1))
def test_restore_depends_on_neither_order_nor_repetition(log: list[Record], head: int) -> None:
    config = make_config()
    decided = DecidedHead(height=Height(head)) if head else None
    expected = restore(config, decided, LOG)
    assert restore(config, decided, log) == expected
    assert restore(config, decided, [*log, *log]) == expected


def test_promises_of_decided_heights_and_of_other_terms_are_not_the_open_heights() -> None:
    next_term = replace(make_config(), term=Term(1))
    state = restore(next_term, None, Playbook(0).locked_on_a().log)
    assert (state.height, state.round, state.lock, state.accepted) == (1, 0, None, None)
    config = make_config()
    state = restore(config, DecidedHead(height=Height(2)), LOG)
    assert (state.height, state.round, state.prepares) == (3, 0, {})


def test_only_an_unbroken_run_of_decisions_is_applied() -> None:
    decisions: list[Record] = [
        DecisionRecord(certificate=Maker(height=height).certificate(), block=A)
        for height in (1, 2, 4)
    ]
    node = Playbook(0, records=decisions)
    assert node.state.height == 3
    node.start()
    assert [each.certificate.height for each in node.get(Decided)] == [1, 2]


def test_the_latest_commit_is_said_again_in_later_rounds() -> None:
    node = Playbook(0).locked_on_a()
    node.expire()
    again = node.restart()
    again.start()
    assert [type(each) for each in again.said()] == [RoundChangeMessage, CommitMessage]
