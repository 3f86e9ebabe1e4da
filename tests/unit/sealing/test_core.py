"""The partial-signature exchange as dialogues. Four operators, threshold 3; this node is operator
0.

A partial is (operator, root) in plain bytes; combination takes any three of one root.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.sealing import Config, State, core, restore, step
from dst.sealing.effects import (
    Broadcast,
    Effect,
    Persist,
    Reason,
    Refused,
    Sealed,
    Send,
    SendStored,
    SetTimer,
)
from dst.sealing.inputs import (
    BlockDecided,
    GroupSignatureReceived,
    Input,
    OwnPartial,
    PartialReceived,
    PartialRequested,
    PeerConnected,
    RetransmitDue,
    Start,
)
from dst.sealing.messages import GroupSignature, PartialRequest, PartialSignature
from dst.sealing.records import PartialRecord, Record, SealRecord
from dst.spec.errors import InvalidInput
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Term

ROOT_A, ROOT_B = Root(b"A" * 32), Root(b"B" * 32)
MALFORMED = BLSSignature(b"\x00" * 96)


def share(index: int, root: Root) -> BLSSignature:
    return BLSSignature(bytes([index + 1]) + root + bytes(63))


def group(root: Root) -> BLSSignature:
    return BLSSignature(b"\xff" + root + bytes(63))


def make_config(n: int = 4, me: int = 0) -> Config:
    def combine(partials: Mapping[OperatorIndex, BLSSignature]) -> BLSSignature:
        assert len(partials) == core.threshold(n)
        if MALFORMED in partials.values():
            raise InvalidInput("not a point")
        honest = all(partials[each] == share(each, Root(partials[each][1:33])) for each in partials)
        roots = {partial[1:33] for partial in partials.values()}
        return group(Root(roots.pop())) if honest and len(roots) == 1 else BLSSignature(bytes(96))

    return Config(
        term=Term(0),
        n=n,
        self_index=OperatorIndex(me),
        combine=combine,
        verify_group=lambda root, signature: signature == group(root),
        verify_partial=lambda index, root, signature: signature == share(index, root),
    )


def partial(
    operator: int, height: int = 1, root: Root = ROOT_A, signature: BLSSignature | None = None
) -> PartialSignature:
    return PartialSignature(
        term=Term(0),
        height=Height(height),
        root=root,
        operator=OperatorIndex(operator),
        signature=share(operator, root) if signature is None else signature,
    )


def group_signature(height: int = 1, root: Root = ROOT_A, forged: bool = False) -> GroupSignature:
    signature = MALFORMED if forged else group(root)
    return GroupSignature(term=Term(0), height=Height(height), root=root, signature=signature)


class Playbook:
    def __init__(
        self,
        n: int = 4,
        *,
        head: int = 0,
        unsealed: Mapping[int, Root] | None = None,
        records: Iterable[Record] = (),
        config: Config | None = None,
    ) -> None:
        self.config = config or make_config(n)
        roots = {Height(each): root for each, root in (unsealed or {}).items()}
        self.state: State = restore(self.config, Height(head), roots, records)
        self.log: list[Record] = list(records)
        self.last: tuple[Effect, ...] = ()

    def feed(self, event: Input) -> tuple[Effect, ...]:
        transition = step(self.state, event, self.config)
        assert transition == step(self.state, event, self.config), "step is pure"
        self.state, self.last = transition.state, transition.effects
        self.log += [each.record for each in self.last if isinstance(each, Persist)]
        return self.last

    def decided(self, height: int = 1, root: Root = ROOT_A) -> tuple[Effect, ...]:
        return self.feed(BlockDecided(height=Height(height), root=root))

    def own(self, height: int = 1, root: Root = ROOT_A) -> tuple[Effect, ...]:
        event = OwnPartial(height=Height(height), root=root, signature=share(0, root))
        return self.feed(event)

    def hear(self, message: PartialSignature, peer: int | None = None) -> tuple[Effect, ...]:
        link = message.operator if peer is None else OperatorIndex(peer)
        return self.feed(PartialReceived(link_peer=link, message=message))

    def hear_group(self, message: GroupSignature, peer: int = 1) -> tuple[Effect, ...]:
        return self.feed(GroupSignatureReceived(link_peer=OperatorIndex(peer), message=message))

    def refused(self) -> list[tuple[Reason, int | None]]:
        return [(each.reason, each.culprit) for each in self.last if isinstance(each, Refused)]

    def sealed(self) -> list[int]:
        return [each.height for each in self.last if isinstance(each, Sealed)]


def test_a_decided_block_is_sealed_at_the_threshold_and_the_seal_is_on_disk_first() -> None:
    node = Playbook()
    assert node.decided() == (SetTimer(delay_ms=500),)
    node.own()
    node.hear(partial(1))
    assert not node.sealed()
    node.hear(partial(2))
    assert node.last == (
        Persist(record=SealRecord(message=group_signature())),
        Sealed(height=Height(1), root=ROOT_A, signature=group(ROOT_A)),
    )
    assert not node.state.open


@pytest.mark.parametrize(("n", "q"), [(4, 3), (5, 4), (6, 5), (7, 5)])
def test_rule_02_key_shares_need_the_same_quorum(n: int, q: int) -> None:
    node = Playbook(n)
    node.decided()
    for operator in range(1, q):
        node.hear(partial(operator))
        assert not node.sealed()
    node.hear(partial(q))
    assert node.sealed() == [1]


def test_our_own_partial_is_not_needed_when_a_threshold_of_others_signed() -> None:
    node = Playbook()
    node.decided()
    for operator in (1, 2, 3):
        node.hear(partial(operator))
    assert node.sealed() == [1]
    node.own()
    assert not node.last, "nothing is owed any more"


def test_the_own_partial_is_persisted_before_it_is_sent() -> None:
    node = Playbook()
    node.decided()
    node.own()
    assert node.last == (
        Persist(record=PartialRecord(message=partial(0))),
        Broadcast(message=partial(0)),
    )
    node.own()
    assert not node.last


def test_rule_41_nothing_is_signed_before_the_decision() -> None:
    node = Playbook()
    node.own()
    assert node.refused() == [(Reason.NOT_DECIDED, None)]
    node.decided(root=ROOT_B)
    node.own(root=ROOT_A)
    assert node.refused() == [(Reason.WRONG_ROOT, None)]
    assert not node.log


def test_rule_42_sign_once_a_height_also_across_restarts() -> None:
    node = Playbook()
    node.decided()
    node.own()
    node.own(root=ROOT_B)
    assert node.refused() == [(Reason.ALREADY_SIGNED, None)]
    again = Playbook(head=1, unsealed={1: ROOT_A}, records=node.log)
    again.own(root=ROOT_B)
    assert again.refused() == [(Reason.ALREADY_SIGNED, None)]
    again.own()
    assert not again.last


def test_rule_42_a_partial_outlives_a_lost_decision_log() -> None:
    records = [PartialRecord(message=partial(0))]
    node = Playbook(head=0, records=records)
    node.decided()
    node.own()
    assert not node.last, "signed already, sent with the next retransmission"
    node.feed(RetransmitDue())
    assert Broadcast(message=partial(0)) in node.last
    other = Playbook(head=0, records=records)
    with pytest.raises(AssertionError, match="signed another root"):
        other.decided(root=ROOT_B)


def test_rule_43_a_wrong_partial_is_named_and_excluded() -> None:
    node = Playbook()
    node.decided()
    node.own()
    node.hear(partial(1, signature=share(1, ROOT_B)))
    node.hear(partial(2))
    assert node.refused() == [(Reason.BAD_PARTIAL, 1)]
    assert not node.sealed()
    node.hear(partial(1))
    assert not node.last, "excluded at this height"
    node.hear(partial(3))
    assert node.sealed() == [1]


def test_rule_43_a_malformed_partial_beside_enough_good_ones_does_not_delay() -> None:
    node = Playbook()
    node.decided()
    node.hear(partial(1, signature=MALFORMED))
    node.hear(partial(2))
    node.hear(partial(3))
    assert node.refused() == [(Reason.BAD_PARTIAL, 1)]
    node.own()
    assert node.sealed() == [1]


@pytest.mark.parametrize(
    ("message", "peer", "reason"),
    [
        (partial(1, root=ROOT_B), 1, Reason.WRONG_ROOT),
        (partial(1), 2, Reason.WRONG_SENDER),
        (partial(0), 0, Reason.WRONG_SENDER),
        (partial(9), 9, Reason.NOT_A_MEMBER),
        (partial(1, height=66), 1, Reason.TOO_FAR_AHEAD),
    ],
)
def test_partials_that_are_refused(message: PartialSignature, peer: int, reason: Reason) -> None:
    node = Playbook()
    node.decided()
    before = node.state
    node.hear(message, peer)
    assert [each[0] for each in node.refused()] == [reason]
    assert node.state == before


def test_another_term_is_refused() -> None:
    node = Playbook()
    node.decided()
    other = PartialSignature(
        term=Term(1),
        height=Height(1),
        root=ROOT_A,
        operator=OperatorIndex(1),
        signature=share(1, ROOT_A),
    )
    node.hear(other)
    assert node.refused() == [(Reason.WRONG_TERM, None)]


def test_one_partial_an_operator_and_height() -> None:
    node = Playbook()
    node.decided()
    node.hear(partial(1))
    node.hear(partial(1))
    assert not node.last
    node.hear(partial(1, signature=MALFORMED))
    assert node.refused() == [(Reason.CONFLICTING_PARTIAL, 1)]


def test_partials_of_heights_not_decided_yet_wait_and_are_then_judged() -> None:
    node = Playbook()
    for operator in (1, 2):
        node.hear(partial(operator, height=2))
    node.hear(partial(3, height=2, root=ROOT_B))
    node.hear(partial(3, height=2))
    assert not node.last, "the first one counts"
    node.decided(1)
    node.decided(2)
    assert node.refused() == [(Reason.WRONG_ROOT, 3)]
    assert not node.state.early
    node.own(2)
    assert node.sealed() == [2]


def test_early_partials_are_bounded() -> None:
    node = Playbook()
    for height in range(1, 1000):
        node.hear(partial(1, height=height))
    assert len(node.state.early) == core.HEIGHTS_AHEAD


def test_what_is_owed_is_resent_until_sealed() -> None:
    node = Playbook()
    node.decided(1)
    node.decided(2)
    node.own(1)
    for _ in range(3):
        node.feed(RetransmitDue())
        assert node.last == (
            Broadcast(message=partial(0)),
            Broadcast(message=PartialRequest(term=Term(0), height=Height(2))),
            SetTimer(delay_ms=500),
        )
    node.feed(PeerConnected(peer=OperatorIndex(3)))
    assert node.last[0] == Send(to=OperatorIndex(3), message=partial(0))
    node.hear_group(group_signature(1))
    node.hear_group(group_signature(2))
    node.feed(RetransmitDue())
    assert not node.last
    node.decided(3)
    assert node.last == (SetTimer(delay_ms=500),)


def test_a_holder_answers_late_partials_and_requests_with_the_group_signature() -> None:
    node = Playbook()
    node.decided()
    request = PartialRequested(
        link_peer=OperatorIndex(2), message=PartialRequest(term=Term(0), height=Height(1))
    )
    node.feed(request)
    assert not node.last, "we have nothing"
    node.own()
    assert node.feed(request) == (Send(to=OperatorIndex(2), message=partial(0)),)
    node.hear_group(group_signature())
    assert node.feed(request) == (SendStored(to=OperatorIndex(2), height=Height(1)),)
    assert node.hear(partial(3)) == (SendStored(to=OperatorIndex(3), height=Height(1)),)


def test_a_received_group_signature_is_verified_before_use() -> None:
    node = Playbook()
    node.hear_group(group_signature())
    assert node.refused() == [(Reason.NOT_DECIDED, None)]
    node.decided()
    node.hear_group(group_signature(forged=True), peer=3)
    assert node.refused() == [(Reason.BAD_GROUP_SIGNATURE, 3)]
    node.hear_group(group_signature(root=ROOT_B))
    assert node.refused() == [(Reason.WRONG_ROOT, None)]
    node.hear_group(group_signature())
    assert node.sealed() == [1]
    node.hear_group(group_signature())
    assert not node.last


def test_a_liar_costs_one_look_whatever_he_sends_at_whatever_height() -> None:
    """Each look is a pairing, more than a millisecond of the loop."""
    looked_at: set[Root] = set()
    config = make_config()

    def counting(root: Root, signature: BLSSignature) -> bool:
        looked_at.add(root)
        return config.verify_group(root, signature)

    node = Playbook(config=replace(config, verify_group=counting))
    roots = [Root(bytes([height]) * 32) for height in range(1, 9)]
    for height, root in enumerate(roots, 1):
        node.decided(height, root)
        for _ in range(50):
            node.hear_group(group_signature(height, root, forged=True), peer=3)
    assert looked_at == {roots[0]}
    assert node.refused() == [(Reason.SUSPECT, None)]


def test_rule_43_a_liar_spoils_one_combination_whatever_he_sends_first() -> None:
    """Then his are looked at alone: one pairing a height, and none where others are enough."""
    looked_at: dict[tuple[int, Root], None] = {}
    config = make_config()

    def counting(operator: OperatorIndex, root: Root, signature: BLSSignature) -> bool:
        looked_at[operator, root] = None
        return config.verify_partial(operator, root, signature)

    node = Playbook(config=replace(config, verify_partial=counting))
    roots = [Root(bytes([height]) * 32) for height in range(1, 6)]
    for height, root in enumerate(roots, 1):
        node.decided(height, root)
        node.hear(partial(1, height, root, signature=share(1, ROOT_B)))
        for sender in (2, 3):
            node.hear(partial(sender, height, root))
        assert node.refused() == [(Reason.BAD_PARTIAL, 1)]
        node.own(height, root)
        assert node.sealed() == [height]
    first, *later = roots
    assert [*looked_at] == [*((each, first) for each in (1, 2, 3)), *((1, each) for each in later)]
    node.decided(6)
    node.hear(partial(1, 6, signature=share(1, ROOT_B)))
    node.own(6)
    assert (1, ROOT_A) not in looked_at, "two are not enough, so nobody looks yet"
    node.hear_group(group_signature(6))
    node.decided(7)
    for sender in (1, 2, 3):
        node.hear(partial(sender, 7))
    assert node.sealed() == [7], "a good one of his counts"


def test_rule_43_who_is_left_out_stays_so_when_another_is() -> None:
    """Two liars of seven must not bring each other back."""
    node = Playbook(7)
    node.decided()
    node.own()
    for liar, honest in ((1, (3, 4, 5)), (2, ())):
        for sender in honest:
            node.hear(partial(sender))
        node.hear(partial(liar, signature=share(liar, ROOT_B)))
        assert node.refused() == [(Reason.BAD_PARTIAL, liar)]
    before = node.state
    for liar in (1, 2):
        node.hear(partial(liar, signature=share(liar, ROOT_B)))
        assert (node.state, node.last) == (before, ())
    node.hear(partial(6))
    assert node.sealed() == [1]


def test_at_most_64_heights_collect_but_no_owed_partial_is_dropped() -> None:
    node = Playbook()
    for height in range(1, 101):
        node.decided(height)
        node.own(height)
        node.hear(partial(1, height=height))
    kept = [height for height in node.state.open if len(node.state.open[height].partials) > 1]
    assert kept == list(range(37, 101))
    assert all(node.state.open[Height(height)].own is not None for height in range(1, 101))
    node.hear(partial(2, height=36))
    assert node.refused() == [(Reason.TOO_MANY_OPEN, None)]
    assert len([each for each in node.feed(RetransmitDue()) if isinstance(each, Broadcast)]) == 64
    for height in range(37, 101):
        node.hear(partial(2, height=height))
    for height in range(1, 37):
        node.hear(partial(2, height=height))
        node.hear(partial(3, height=height))
        assert node.sealed() == [height]


def test_one_operator_seals_alone_also_after_a_crash() -> None:
    node = Playbook(1)
    node.decided()
    node.own()
    assert node.sealed() == [1]
    again = Playbook(1, head=1, unsealed={1: ROOT_A}, records=node.log[:1])
    again.feed(Start())
    assert again.sealed() == [1]
    done = Playbook(1, head=1, unsealed={1: ROOT_A}, records=node.log)
    done.feed(Start())
    assert not done.last


def test_start_says_again_what_is_owed() -> None:
    node = Playbook(head=1, unsealed={1: ROOT_A}, records=[PartialRecord(message=partial(0))])
    node.feed(Start())
    assert node.last == (Broadcast(message=partial(0)), SetTimer(delay_ms=500))


def test_a_decision_repeated_is_harmless_and_a_different_one_stops_the_node() -> None:
    node = Playbook()
    node.decided()
    node.decided()
    assert not node.last
    with pytest.raises(AssertionError, match="two decisions"):
        node.decided(root=ROOT_B)


EVENTS: list[Input] = [
    BlockDecided(height=Height(1), root=ROOT_A),
    *(PartialReceived(link_peer=OperatorIndex(i), message=partial(i)) for i in (1, 2)),
    PartialReceived(link_peer=OperatorIndex(3), message=partial(3, signature=MALFORMED)),
]


@given(st.permutations(EVENTS))
def test_any_order_seals_with_one_liar(events: list[Input]) -> None:
    node = Playbook()
    sealed, blamed = [], set()
    for event in [*events, OwnPartial(height=Height(1), root=ROOT_A, signature=share(0, ROOT_A))]:
        node.feed(event)
        sealed += node.sealed()
        blamed |= set(node.refused())
    assert sealed == [1]
    assert blamed <= {(Reason.BAD_PARTIAL, 3)}


@given(st.permutations(EVENTS), st.integers(0, 6))
def test_restoring_the_log_twice_gives_the_same_state(events: list[Input], length: int) -> None:
    node = Playbook()
    for event in events:
        node.feed(event)
    node.own()
    log = node.log[:length]
    once = restore(node.config, Height(1), {Height(1): ROOT_A}, log)
    assert once == restore(node.config, Height(1), {Height(1): ROOT_A}, [*log, *log])


def test_the_offence_kept_is_the_culprits_message_not_the_one_that_revealed_it() -> None:
    node = Playbook()
    node.decided()
    node.own()
    wrong = partial(1, signature=share(1, ROOT_B))
    node.hear(wrong)
    node.hear(partial(2))
    (refused,) = (each for each in node.last if isinstance(each, Refused))
    assert (refused.culprit, refused.offence) == (1, wrong)
