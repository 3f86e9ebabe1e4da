"""A trace is replayed only as far as the code does the same; here by hand, without Quint."""

import msgspec
import pytest

from devnet.sim.formal import values
from devnet.sim.formal.replay import Drift, from_memory, from_store, replay
from devnet.sim.formal.values import NO_ROOT, NO_ROUND, Event, Moment, Operator, Trace

LIAR = 3
LEADER = 1
PROPOSAL = values.Proposal(round=0, root="b0", round_changes=frozenset(), prepares=frozenset())
NO_PROPOSAL = msgspec.structs.replace(PROPOSAL, round=NO_ROUND, root=NO_ROOT)
NO_CERTIFICATE = values.Certificate(round=NO_ROUND, root=NO_ROOT, commits=frozenset())


def _operator(me: int) -> Operator:
    return Operator(
        me=me,
        round=0,
        timed=True,
        accepted=NO_PROPOSAL,
        proposing=values.Proposing(active=me == LEADER, root=NO_ROOT, round_changes=frozenset()),
        lock=values.Lock(round=NO_ROUND, root=NO_ROOT, prepares=frozenset()),
        prepares=frozenset(),
        commits=frozenset(),
        round_changes=frozenset(),
        seen=dict.fromkeys(range(4), NO_ROUND),
        blocks=frozenset(),
        pending=NO_CERTIFICATE,
        decided=NO_CERTIFICATE,
    )


def _accepting(me: int) -> Operator:
    idle = values.Proposing(active=False, root=NO_ROOT, round_changes=frozenset())
    return msgspec.structs.replace(
        _operator(me), accepted=PROPOSAL, proposing=idle, blocks=frozenset({"b0"})
    )


def _prepared(me: int) -> Operator:
    vote = values.Vote(sender=me, round=0, root="b0")
    return msgspec.structs.replace(_accepting(me), prepares=frozenset({vote}))


def _moment(*changed: Operator, did: tuple[Event, ...] = ()) -> Moment:
    operators = {me: _operator(me) for me in range(4) if me != LIAR}
    operators |= {each.me: each for each in changed}
    setting = values.Setting(liar=LIAR, last_round=2, without=frozenset())
    return Moment(setting=setting, world=values.World(operators=operators, did=did))


def _proposal_to(*hearers: int) -> Trace:
    built = (Event(at=LEADER, input=values.Built(value="b0")),)
    heard = tuple(Event(at=i, input=values.HearProposal(value=PROPOSAL)) for i in hearers)
    executed = tuple(Event(at=i, input=values.Executed(value="b0")) for i in hearers)
    return (
        _moment(),
        _moment(_accepting(LEADER), did=built),
        _moment(_accepting(LEADER), *map(_accepting, hearers), did=heard),
        _moment(_accepting(LEADER), *map(_prepared, hearers), did=executed),
    )


def test_a_trace_that_the_code_follows() -> None:
    nodes = replay(_proposal_to(0, 2))
    (root,) = nodes[0].state.blocks
    assert from_store(nodes[0], root) == from_memory(nodes[0], root) is not None
    assert from_store(nodes[LEADER], root) is not None, "it proposed it"


def test_another_state_is_told_with_its_step_and_field() -> None:
    *before, last = _proposal_to(0)
    with pytest.raises(Drift, match=r"step 3: operator 0 after .*: prepares: model .*, code"):
        replay((*before, _moment(_accepting(LEADER), _accepting(0), did=last.world.did)))


def test_an_honest_operator_is_not_quoted_with_what_it_did_not_say() -> None:
    heard = (Event(at=0, input=values.HearProposal(value=PROPOSAL)),)
    with pytest.raises(Drift, match="operator 1 never said such a ProposalMessage"):
        replay((_moment(), _moment(_accepting(0), did=heard)))


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (Event(at=0, input=values.Built(value="b0")), "asked for no block"),
        (Event(at=0, input=values.Executed(value="b0")), "asked for no verdict"),
        (
            Event(at=0, input=values.Fetched(value=values.Had(holder=2, root="b0"))),
            "did not ask operator 2",
        ),
        (
            Event(
                at=0,
                input=values.Learned(value=values.Help(helper=2, certificate=NO_CERTIFICATE)),
            ),
            "operator 2 has decided nothing",
        ),
    ],
)
def test_answers_need_questions(told: Event, why: str) -> None:
    with pytest.raises(Drift, match=why):
        replay((_moment(), _moment(did=(told,))))
