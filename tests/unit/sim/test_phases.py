"""A phase that is lost to somebody stays lost to that one."""

from random import Random

from devnet.sim.chain import TERM
from devnet.sim.phases import Phases
from dst.middleware.wire_messages import Status
from dst.qbft.messages import (
    Commit,
    CommitMessage,
    Prepare,
    PrepareMessage,
    SignedCommit,
    SignedPrepare,
)
from dst.spec.primitives import Height, OperatorIndex, Root, Round

ROOT = Root(b"r" * 32)


def prepare(height: int, round_: int, sender: int = 0) -> PrepareMessage:
    payload = Prepare(TERM, Height(height), Round(round_), ROOT)
    return PrepareMessage(SignedPrepare(payload, OperatorIndex(sender), bytes(64)))


def heard_by(phases: Phases, message: PrepareMessage | CommitMessage) -> tuple[bool, ...]:
    return tuple(phases.reaches(target, message) for target in range(4))


def test_whoever_says_it_and_however_often_the_same_ones_hear_it() -> None:
    phases = Phases(4, Random(1))
    for height in range(1, 50):
        first = heard_by(phases, prepare(height, 0))
        assert heard_by(phases, prepare(height, 0, sender=2)) == first


def test_everybody_nobody_one_and_all_but_one() -> None:
    phases = Phases(4, Random(1))
    counts = {sum(heard_by(phases, prepare(height, 0))) for height in range(1, 60)}
    assert counts == {0, 1, 2, 3, 4}


def test_rounds_and_kinds_differ() -> None:
    phases = Phases(4, Random(1))
    rounds = [heard_by(phases, prepare(1, round_)) for round_ in range(20)]
    commits = [
        heard_by(
            phases,
            CommitMessage(
                SignedCommit(
                    Commit(TERM, Height(1), Round(each), ROOT), OperatorIndex(0), bytes(64)
                )
            ),
        )
        for each in range(20)
    ]
    assert len(set(rounds)) > 3
    assert rounds != commits


def test_the_rest_arrives() -> None:
    phases = Phases(4, Random(1))
    assert all(phases.reaches(1, Status(Height(each), votes=True)) for each in range(50))
