"""Do to the code what a trace did to the model, and compare the two after every step.

The honest operators are `dst.qbft.step` over a log that is cut as the real store cuts it
(`devnet.sim.disk`); the liar is a puppet with a key of its own. There is no scheduling here: each
state of a trace lists who was fed what. What an honest operator is quoted with must have been
broadcast by the code, so a model that says more than the code does is noticed as well.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar, assert_never

import dst.qbft
from devnet.sim.chain import qbft_config
from devnet.sim.disk import Disk
from devnet.sim.formal import translation, values
from devnet.sim.formal.translation import HEIGHT, Blocks, N
from devnet.sim.formal.values import NO_ROOT, Moment, Trace
from devnet.sim.lockstep import Puppet
from dst.qbft import effects, inputs
from dst.qbft.messages import (
    CommitMessage,
    Message,
    PrepareMessage,
    ProposalMessage,
    RoundChangeMessage,
    SignedPrepare,
)
from dst.qbft.records import DecisionRecord
from dst.spec.primitives import OperatorIndex, Root, Round, leader_of

M = TypeVar("M", bound=Message)


class Drift(AssertionError):
    """Model and code differ: the message says at which step, at whom and in what."""


class Node:
    """An honest operator: the core, its disk, what it said and what it asked of its shell."""

    def __init__(self, index: int) -> None:
        self.index = OperatorIndex(index)
        self.config = qbft_config(N, index)
        self.disk = Disk()
        self.said: list[Message] = []
        self.asked: list[effects.Effect] = []
        self.decided: DecisionRecord | None = None
        self.restart()

    def restart(self) -> None:
        self.disk.crash()
        self.asked.clear()
        self.state = dst.qbft.restore(self.config, None, self.disk.records())
        self.feed(inputs.Start())
        self.feed(inputs.HeightDue(height=HEIGHT))

    def feed(self, event: inputs.Input) -> None:
        transition = dst.qbft.step(self.state, event, self.config)
        self.state = transition.state
        for effect in transition.effects:
            match effect:
                case effects.Persist(record=DecisionRecord() as record):
                    self.decided = record
                    self.disk.file_decision(record)
                case effects.Persist(record=record):
                    self.disk.append(record)
                    self.disk.sync()
                case effects.Broadcast(message=message):
                    self.said.append(message)
                case effects.RequestBlock() | effects.ValidateBlock() | effects.FetchBlock():
                    self.asked.append(effect)
                case _:
                    pass


Available: TypeAlias = Callable[[Node, Root], bytes | None]
"""What a holder answers to whoever asks for a block."""


def from_store(node: Node, root: Root) -> bytes | None:
    """As shipped (`CatchUp._block_with`): any block it promised at the open height, or decided."""
    if node.decided is not None:
        return node.decided.block if node.decided.certificate.root == root else None
    return node.disk.promised_block(root)


def from_memory(node: Node, root: Root) -> bytes | None:
    """The rule "availability" taken out: what the core happens to hold."""
    return from_store(node, root) if node.decided is not None else node.state.blocks.get(root)


def replay(trace: Trace, available: Available = from_store) -> dict[int, Node]:
    """The honest operators after the whole trace.

    Raises: Drift.
    """
    play = _Play(trace[0], available)
    for number, moment in enumerate(trace):
        for event in moment.world.did:
            try:
                play.feed(event)
            except _NotSaid as error:
                raise Drift(f"step {number}: operator {event.at}: {error}") from None
        play.compare(number, moment)
    return play.nodes


class _NotSaid(Exception):
    """The model has an honest operator say, ask or hold what the code does not."""


class _Play:
    def __init__(self, first: Moment, available: Available) -> None:
        self._blocks = Blocks()
        self._available = available
        self._liar = Puppet(OperatorIndex(first.setting.liar))
        self.nodes = {i: Node(i) for i in first.world.operators}

    def compare(self, number: int, moment: Moment) -> None:
        for index, node in self.nodes.items():
            wanted = moment.world.operators[index]
            decided = None if node.decided is None else node.decided.certificate
            have = translation.operator(node.index, node.state, decided, self._blocks)
            if wanted == have:
                continue
            different = [
                f"{field}: model {getattr(wanted, field)}, code {getattr(have, field)}"
                for field in wanted.__struct_fields__
                if getattr(wanted, field) != getattr(have, field)
            ]
            did = [each.input for each in moment.world.did if each.at == index]
            raise Drift(f"step {number}: operator {index} after {did}: {'; '.join(different)}")

    def feed(self, event: values.Event) -> None:
        node, what = self.nodes[event.at], event.input
        match what:
            case values.HearProposal(value=proposal):
                sender = leader_of(HEIGHT, Round(proposal.round), N)
                self._hear(node, sender, self._proposal(sender, proposal))
            case values.HearPrepare(value=vote):
                self._hear(node, vote.sender, PrepareMessage(signed=self._prepare(vote)))
            case values.HearCommit(value=vote):
                self._hear(node, vote.sender, self._commit(vote))
            case values.HearRoundChange(value=message):
                self._hear(node, message.payload.sender, self._round_change(message))
            case values.Built(value=name):
                self._built(node, name)
            case values.Executed(value=name):
                self._executed(node, name)
            case values.Fetched(value=had):
                self._fetched(node, had)
            case values.Learned(value=help_):
                self._learned(node, help_.helper)
            case values.Expired():
                node.feed(inputs.RoundExpired(height=HEIGHT, round=node.state.round))
            case values.Restarted():
                node.restart()
            case _:
                assert_never(what)

    # -------------------------------------------------------------------------- messages

    def _hear(self, node: Node, sender: int, message: Message) -> None:
        peer = OperatorIndex(sender)
        node.feed(inputs.MessageReceived(link_peer=peer, message=message))

    def _quoted(self, sender: int, kind: type[M], matches: Callable[[M], bool]) -> M:
        """What an honest operator has broadcast."""
        for message in self.nodes[sender].said:
            if isinstance(message, kind) and matches(message):
                return message
        raise _NotSaid(f"operator {sender} never said such a {kind.__name__}")

    def _proposal(self, sender: int, wanted: values.Proposal) -> ProposalMessage:
        root, block = self._blocks.named(wanted.root)
        if sender in self.nodes:
            return self._quoted(
                sender,
                ProposalMessage,
                lambda m: m.signed.payload.round == wanted.round and m.signed.payload.root == root,
            )
        changes = list(self._round_changes_of(wanted))
        prepares = self._proof_of(wanted)
        return self._liar.proposal(Round(wanted.round), root, block, changes, prepares)

    def _round_changes_of(self, wanted: values.Proposal) -> Iterator[RoundChangeMessage]:
        """A proposal carries their signed half alone."""
        for claim in _ranked(wanted.round_changes):
            yield self._round_change(values.RoundChange(payload=claim, prepares=frozenset()))

    def _proof_of(self, wanted: values.Proposal) -> tuple[SignedPrepare, ...]:
        claims = _ranked(wanted.round_changes)
        top = max(claims, key=lambda each: each.prepared_round, default=None)
        return () if top is None else self._proof(top, wanted.prepares)

    def _proof(self, claim: values.Claim, signers: frozenset[int]) -> tuple[SignedPrepare, ...]:
        votes = (
            values.Vote(sender=each, round=claim.prepared_round, root=claim.prepared_root)
            for each in sorted(signers)
        )
        return tuple(self._prepare(each) for each in votes)

    def _prepare(self, vote: values.Vote) -> SignedPrepare:
        root, _ = self._blocks.named(vote.root)
        if vote.sender not in self.nodes:
            return self._liar.signed_prepare(Round(vote.round), root)
        return self._quoted(
            vote.sender,
            PrepareMessage,
            lambda m: m.signed.payload.round == vote.round and m.signed.payload.root == root,
        ).signed

    def _commit(self, vote: values.Vote) -> CommitMessage:
        root, _ = self._blocks.named(vote.root)
        if vote.sender not in self.nodes:
            return self._liar.commit(Round(vote.round), root)
        return self._quoted(
            vote.sender,
            CommitMessage,
            lambda m: m.signed.payload.round == vote.round and m.signed.payload.root == root,
        )

    def _round_change(self, wanted: values.RoundChange) -> RoundChangeMessage:
        claim = wanted.payload
        if claim.sender in self.nodes:
            return self._quoted(
                claim.sender,
                RoundChangeMessage,
                lambda m: m.signed.payload.round == claim.round,
            )
        if claim.prepared_root == NO_ROOT:
            return self._liar.round_change(Round(claim.round))
        root, _ = self._blocks.named(claim.prepared_root)
        lock = (Round(claim.prepared_round), root)
        return self._liar.round_change(
            Round(claim.round), lock, self._proof(claim, wanted.prepares)
        )

    # ------------------------------------------------------------- answers of the own programs

    def _built(self, node: Node, name: str) -> None:
        round_ = node.state.round
        if effects.RequestBlock(height=HEIGHT, round=round_) not in node.asked:
            raise _NotSaid(f"it asked for no block in round {round_}")
        root, block = self._blocks.named(name)
        node.feed(inputs.BlockBuilt(height=HEIGHT, round=round_, root=root, block=block))

    def _executed(self, node: Node, name: str) -> None:
        root, _ = self._blocks.named(name)
        asked = [each for each in node.asked if isinstance(each, effects.ValidateBlock)]
        if (node.state.round, root) not in {(each.round, each.root) for each in asked}:
            raise _NotSaid(f"it asked for no verdict on {name} in round {node.state.round}")
        node.feed(
            inputs.BlockValidated(height=HEIGHT, round=node.state.round, root=root, valid=True)
        )

    def _fetched(self, node: Node, had: values.Had) -> None:
        root, _ = self._blocks.named(had.root)
        asked = [each for each in node.asked if isinstance(each, effects.FetchBlock)]
        if not any(
            each.root == root and had.holder in (node.index, *each.holders) for each in asked
        ):
            raise _NotSaid(f"it did not ask operator {had.holder} for {had.root}")
        block = self._available(self.nodes[had.holder], root)
        if block is None:
            raise _NotSaid(f"operator {had.holder} has no block {had.root}")
        node.feed(inputs.BlockFetched(height=HEIGHT, root=root, block=block))

    def _learned(self, node: Node, helper: int) -> None:
        record = self.nodes[helper].decided
        if record is None:
            raise _NotSaid(f"operator {helper} has decided nothing")
        node.feed(
            inputs.CertificateReceived(
                link_peer=OperatorIndex(helper),
                certificate=record.certificate,
                block=record.block,
            )
        )


def _ranked(claims: Iterable[values.Claim]) -> list[values.Claim]:
    """By sender: of claims to locks of one round, model and code take the first for the highest."""
    return sorted(claims, key=lambda each: each.sender)
