"""Every checker passes a sound history and fails the one forged against it: a checker that cannot
fail proves nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial

import msgspec
import pytest

from devnet import checkers
from devnet.checkers import (
    agreement,
    derived_chain,
    equal_states,
    exactly_once,
    faults_happened,
    gap,
    goes_on,
    inclusion,
    justified_votes,
    known_fate,
    linearizable,
    linked_chain,
    no_crash,
    no_quorum_no_progress,
    no_round_change,
    normal_gap,
    notices,
    one_group_signature,
    progress_under_fault,
    readable,
    recovery,
    rejoin,
    rounds_as_promised,
    safe_head,
    sign_once,
    sound_harness,
    sound_machine,
    stable_order,
    stable_receipts,
    standstill,
    steady_state,
    true_evidence,
    valid_certificates,
    votes_again,
)
from devnet.checkers.base import Checker
from devnet.checkers.honest import Believed, believed
from devnet.model.expect import Expect, RoundChanges
from devnet.model.history import (
    Answer,
    BlockRead,
    CertificateRead,
    CommitRead,
    DerivedBlock,
    Event,
    EventKind,
    ExceptionLogged,
    Fate,
    FaultReceipt,
    Genesis,
    GroupSignatureSeen,
    History,
    HostileFate,
    MachineSeen,
    NodeUnread,
    NoReceipt,
    ObjectRead,
    ObjectWrite,
    ProgramEnded,
    ProgramRanOn,
    ReceiptSeen,
    Record,
    RunBroken,
    RunEnded,
    SafeHeadSeen,
    SealRefused,
    Setup,
    TransactionSubmitted,
    VoteSeen,
    WaitedInVain,
    decode_record,
    encode_record,
    history_of,
    record_time,
    records_of,
)
from devnet.model.terms import Count, Duration
from devnet.model.timeline import VOTES, keeps_up, rejoined_at, worst_gap
from devnet.model.verdict import Outcome, Verdict, Violation, exit_code, worst
from dst.crypto.bls import SecretShare, public_key, sign
from dst.crypto.secp256k1 import IdentityKey
from dst.qbft.messages import Commit, signing_digest
from dst.spec.domains import Domain, signing_root
from dst.spec.primitives import Height, Root, Round, Term, to_hex

GROUP = SecretShare(7)
IDENTITIES = tuple(IdentityKey(number.to_bytes(32, "big")) for number in range(11, 15))
GENESIS = Genesis(
    group_public_key=to_hex(public_key(GROUP)),
    seal_domain="0x" + "05" * 32,
    validators_root="0x" + "06" * 32,
    identities=tuple(to_hex(key.public_key) for key in IDENTITIES),
    batch_interval=4,
    l1_block_seconds=1.0,
)
SETUP = Setup(
    operators=("op1", "op2", "op3", "op4"), followers=("f1",), slot_seconds=1.0, genesis=GENESIS,
    load=1.0,
)  # fmt: skip
HEIGHTS = 10


def root(height: int, fork: str = "a") -> str:
    return f"0x{fork}{height:02d}".ljust(66, "0")


@cache
def seal(root: str) -> str:
    """The group's signature."""
    domain = Domain(bytes.fromhex(GENESIS.seal_domain[2:]))
    return to_hex(sign(GROUP, signing_root(Root(bytes.fromhex(root[2:])), domain)))


@cache
def vote(operator: int, height: int, fork: str = "a", term: int = 0) -> CommitRead:
    said = Commit(
        term=Term(term), height=Height(height), round=Round(0),
        root=Root(bytes.fromhex(root(height, fork)[2:])),
    )  # fmt: skip
    digest = signing_digest(Root(bytes.fromhex(GENESIS.validators_root[2:])), said)
    signature = to_hex(IDENTITIES[operator].sign(digest))
    return CommitRead(
        operator=operator, term=term, height=height, round=0, root=root(height, fork),
        signature=signature,
    )  # fmt: skip


def certificate(height: int, *commits: CommitRead, fork: str = "a") -> CertificateRead:
    return CertificateRead(
        node="op1", term=0, height=height, round=0, root=root(height, fork), commits=commits,
        monotonic=20.0,
    )  # fmt: skip


def derived(height: int) -> DerivedBlock:
    return DerivedBlock(
        height=height, root=root(height), parent_root=root(height - 1), block_hash=f"0xb{height}",
        l1_block=5, monotonic=20.0,
    )  # fmt: skip


def event(kind: EventKind, height: int, at: float, node: str = "op1", **extra: object) -> Event:
    made = Event(kind=kind, node=node, height=height, root=root(height), monotonic=at, wall=at)
    return msgspec.structs.replace(made, **extra)


def block(node: str, height: int) -> BlockRead:
    return BlockRead(
        node=node,
        height=height,
        block_hash=f"0xb{height}",
        parent_hash=f"0xb{height - 1}",
        state_root=f"0xs{height}",
        transactions=(f"0xt{height}",),
        timestamp=1000 + height,
    )


def signature(height: int, fork: str = "a") -> GroupSignatureSeen:
    return GroupSignatureSeen(
        height=height, root=root(height, fork), signature=seal(root(height, fork)), source="op1",
        block_hash=f"0xb{height}", l1_origin=height // 4,
    )  # fmt: skip


def receipt(height: int, at: float, node: str = "op1") -> ReceiptSeen:
    return ReceiptSeen(
        transaction=f"0xt{height}",
        block_hash=f"0xb{height}",
        height=height,
        index=0,
        node=node,
        monotonic=at,
    )


def submission(height: int) -> TransactionSubmitted:
    """Answered just after the proposal of height - 1 went out, included at `height`."""
    return TransactionSubmitted(
        via="op1",
        hash=f"0xt{height}",
        sent=height - 0.95,
        answered=height - 0.94,
        answer=Answer.OK,
        sender="0xa",
        nonce=height,
    )


def write(height: int, arguments: tuple[int, ...]) -> ObjectWrite:
    return ObjectWrite(transaction=f"0xt{height}", arguments=arguments, monotonic=height - 0.96)


def read(height: int, at: float, node: str) -> ObjectRead:
    """Odd heights set the register to their number, even ones move so many coins."""
    moved = sum(even for even in range(2, height + 1, 2))
    register = 0 if height < 3 else height - 1 + height % 2
    return ObjectRead(
        node=node, asked=at - 0.01, monotonic=at, height=height, register=register,
        balances=(100 - moved, 100 + moved, 100, 100),
    )  # fmt: skip


LEADER_KILL = FaultReceipt(
    id="kill",
    kind="kill",
    targets=("op3",),
    silenced=("op3",),
    requested=2.5,
    applied=2.6,
    verified=2.7,
    revert_requested=6.0,
    reverted=6.1,
    healed=6.2,
    components=(("op1", "op2", "op4"),),
    hits_leader=True,
    height=3,
)
HUNG = msgspec.structs.replace(
    LEADER_KILL,
    id="hung",
    healed=None,
    unreturned=("op3",),
    given_up=66.0,
    error="revert: not healed after 60 s: not ready",
)
BLIND = msgspec.structs.replace(
    LEADER_KILL,
    id="flip",
    verified=None,
    unmoved=("op3",),
    given_up=5.5,
    error="not in place after 3 s: op3.rollup is running ()",
)
SPLIT = FaultReceipt(
    id="split",
    kind="partition",
    targets=("op1", "op2", "op3", "op4"),
    requested=10.3,
    applied=10.4,
    verified=10.5,
    revert_requested=15.0,
    reverted=15.1,
    healed=15.2,
    components=(("op1", "op2"), ("op3", "op4")),
)


@dataclass
class Draft:
    """A sound run of ten heights at one per second, to be forged by one change."""

    records: list[Record] = field(default_factory=list)

    def history(self) -> History:
        return history_of(SETUP, self.records)


def sound() -> Draft:
    records: list[Record] = [LEADER_KILL, SPLIT]
    for height in range(1, HEIGHTS + 2):
        at = float(height) if height <= HEIGHTS else 16.0
        for node in SETUP.operators:
            records.append(event(EventKind.PROPOSAL, height, at + 0.01, node, round=0))
            records.append(event(EventKind.PREPARED, height, at + 0.05, node, round=0))
            records.append(event(EventKind.DECIDED, height, at + 0.1, node, round=0))
            records.append(event(EventKind.SIGNED, height, at + 0.11, node))
            records.append(event(EventKind.SEALED, height, at + 0.2, node))
            records.append(block(node, height))
            prepare = VoteSeen(
                node=node, step="prepare", term=0, height=height, round=0, root=root(height),
                monotonic=at + 0.05,
            )  # fmt: skip
            records.append(prepare)
        records.append(block("f1", height))
        records.append(signature(height))
        records.append(certificate(height, vote(0, height), vote(1, height), vote(3, height)))
        records.append(derived(height))
        records.append(SafeHeadSeen(node="op1", height=height // 4 * 4, monotonic=at + 0.9))
        records.append(receipt(height, at + 0.3))
        records.append(submission(height))
        arguments = () if height == 1 else (height,) if height % 2 else (1, 2, height)
        records.append(write(height, arguments))
        for node in (*SETUP.operators, "f1"):
            records.append(read(height, at + 0.4, node))
    records.append(event(EventKind.ROUND_CHANGE, 3, 3.0, root=None, round=1))
    records.append(WaitedInVain(what="a reset event", since=10.4, monotonic=30.0))
    records.append(RunEnded(monotonic=31.0, first=1, last=HEIGHTS + 1))
    return Draft(records)


CHECKERS: dict[str, Checker] = {
    "agreement": agreement.check,
    "one_group_signature": one_group_signature.check,
    "stable_receipts": stable_receipts.check,
    "exactly_once": exactly_once.check,
    "equal_states": equal_states.check,
    "linked_chain": linked_chain.check,
    "linearizable": linearizable.check,
    "sign_once": sign_once.check,
    "no_quorum_no_progress": no_quorum_no_progress.check,
    "recovery": recovery.check,
    "notices": notices.check,
    "inclusion": inclusion.check,
    "no_round_change": no_round_change.check,
    "faults_happened": faults_happened.check,
    "true_evidence": true_evidence.check,
    "no_crash": no_crash.check,
    "readable": readable.check,
    "valid_certificates": valid_certificates.check,
    "stable_order": stable_order.check,
    "derived_chain": derived_chain.check,
    "justified_votes": justified_votes.check,
    "normal_gap": normal_gap.check,
    "safe_head": safe_head.check,
    "goes_on": goes_on.check,
}


@pytest.mark.parametrize("name", CHECKERS)
def test_a_sound_history_passes(name: str) -> None:
    verdict = CHECKERS[name](sound().history())
    assert verdict.outcome is Outcome.PASS, verdict


FORGED: dict[str, tuple[str, list[Record]]] = {
    "nothing sealed while it was waited for": (
        "goes_on",
        [WaitedInVain(what="height 30", since=17.0, monotonic=40.0)],
    ),
    "nothing sealed since the last fault was healed": (
        "goes_on",
        [WaitedInVain(what="height 30", since=10.4, monotonic=32.0)],
    ),
    "nothing sealed at one node": (
        "goes_on",
        [
            event(EventKind.SEALED, 30, 39.0),
            WaitedInVain(what="height 30", nodes=("op1", "op2"), since=17.0, monotonic=40.0),
        ],
    ),
    "another root decided": (
        "agreement",
        [event(EventKind.DECIDED, 4, 4.5, "op4", root=root(4, "b"))],
    ),
    "another root once imported by a follower": (
        "agreement",
        [event(EventKind.IMPORTED, 4, 4.5, "f1", root=root(4, "b"))],
    ),
    "another block hash at the end": (
        "agreement",
        [msgspec.structs.replace(block("f2", 4), block_hash="0xother")],
    ),
    "two signed roots": ("one_group_signature", [signature(4, "b")]),
    "two signatures of one root": (
        "one_group_signature",
        [msgspec.structs.replace(signature(4), signature="0xforged")],
    ),
    "receipt moved to another height": (
        "stable_receipts",
        [msgspec.structs.replace(receipt(4, 9.0, "op2"), height=5, block_hash="0xb5")],
    ),
    "receipt moved within the block": (
        "stable_receipts",
        [msgspec.structs.replace(receipt(4, 9.0, "f1"), index=1)],
    ),
    "confirmed transaction gone": (
        "stable_receipts",
        [msgspec.structs.replace(block("f1", 4), transactions=())],
    ),
    "transaction in two heights": (
        "exactly_once",
        [msgspec.structs.replace(block("op1", 12), transactions=("0xt4",))],
    ),
    "transaction twice in a block": (
        "exactly_once",
        [msgspec.structs.replace(block("op1", 12), transactions=("0xz", "0xz"))],
    ),
    "state roots differ": (
        "equal_states",
        [msgspec.structs.replace(block("f1", 4), state_root="0xother")],
    ),
    "parent hash wrong": (
        "linked_chain",
        [msgspec.structs.replace(block("op1", 12), parent_hash="0xother")],
    ),
    "hole in the chain": ("linked_chain", [block("op1", 13)]),
    "a height left out": (
        "linked_chain",
        [msgspec.structs.replace(block("op1", 13), parent_hash="0xb11")],
    ),
    "two partials at a height": (
        "sign_once",
        [event(EventKind.SIGNED, 4, 9.0, "op2", root=root(4, "b"))],
    ),
    "two prepares in a round": (
        "sign_once",
        [
            VoteSeen(
                node="op2", step="prepare", term=0, height=4, round=0, root=root(4, "b"),
                monotonic=9.0,
            )
        ],
    ),
    "decided during the split": (
        "no_quorum_no_progress",
        [event(EventKind.DECIDED, 12, 11.6, "op2")],
    ),
    "decided while two were killed, one after the other": (
        "no_quorum_no_progress",
        [
            msgspec.structs.replace(
                LEADER_KILL, id=name, targets=(name,), silenced=(name,), revert_requested=9.0,
                components=(tuple(each for each in SETUP.operators if each != name),),
            )
            for name in ("op1", "op2")
        ],
    ),
    "recovered too late": (
        "recovery",
        [msgspec.structs.replace(SPLIT, id="x", healed=16.3), event(EventKind.DECIDED, 11, 30.0)],
    ),
    "who was killed hangs when it is started again": ("recovery", [HUNG]),
    "who was given a damaged store serves on": ("notices", [BLIND]),
    "a register that forgot": (
        "linearizable",
        [msgspec.structs.replace(read(8, 8.45, "op1"), register=5)],
    ),
    "coins from nowhere": (
        "linearizable",
        [msgspec.structs.replace(read(8, 8.45, "f1"), balances=(80, 121, 100, 100))],
    ),
    "a read that goes back": ("linearizable", [read(7, 8.6, "f1")]),
    "a read that a receipt knows better": (
        "linearizable",
        [receipt(9, 9.05, "op2"), read(8, 9.1, "op2")],
    ),
    "a write from the future": ("linearizable", [read(9, 7.9, "op3")]),
    "a contract that is gone": (
        "linearizable",
        [msgspec.structs.replace(read(8, 8.45, "op1"), height=0, register=0, balances=())],
    ),
    "a contract before its time": (
        "linearizable",
        [block("op1", 0), msgspec.structs.replace(read(1, 0.6, "op1"), height=0)],
    ),
    "not included": (
        "inclusion",
        [
            TransactionSubmitted(
                via="op1", hash="0xlost", sent=1.5, answered=1.51, answer=Answer.OK
            )
        ],
    ),
    "an honest operator is accused": (
        "true_evidence",
        [event(EventKind.EVIDENCE, 4, 4.5, root=None, detail={"culprit": 2, "reason": "x"})],
    ),
    "a program ended on its own": (
        "no_crash",
        [ProgramEnded(program="op3.validator", detail="exit code 1", monotonic=4.5)],
    ),
    "a program ran on after SIGTERM": (
        "no_crash",
        [ProgramRanOn(program="op3.rollup", seconds=10.0, monotonic=14.5)],
    ),
    "an exception in a log": (
        "no_crash",
        [ExceptionLogged(program="op3.rollup", told="KeyError: 7", monotonic=4.5)],
    ),
    "a height that a node does not serve": (
        "readable",
        [RunEnded(monotonic=32.0, first=1, last=HEIGHTS + 2)],
    ),
    "no receipt of what is in a block": (
        "stable_receipts",
        [NoReceipt(transaction="0xt4", node="op1", monotonic=20.0)],
    ),
    "a node does not serve at the end": (
        "readable",
        [NodeUnread(node="op3", why="no answer", monotonic=20.0)],
    ),
    "a signature that is none": (
        "valid_certificates",
        [SealRefused(node="op2", height=4, root=root(4), signature="0x00", monotonic=20.0)],
    ),
    "a recorded signature that does not verify": (
        "valid_certificates",
        [msgspec.structs.replace(signature(4), signature=seal(root(5)))],
    ),
    "a block that nobody signed": (
        "valid_certificates",
        [msgspec.structs.replace(block("f2", 4), block_hash="0xother")],
    ),
    "a certificate of two": ("valid_certificates", [certificate(4, vote(0, 4), vote(1, 4))]),
    "a certificate with a vote twice": (
        "valid_certificates",
        [certificate(4, vote(0, 4), vote(1, 4), vote(1, 4))],
    ),
    "a vote of a stranger": (
        "valid_certificates",
        [certificate(4, vote(0, 4), vote(1, 4), msgspec.structs.replace(vote(2, 4), operator=4))],
    ),
    "a vote in another's name": (
        "valid_certificates",
        [certificate(4, vote(0, 4), vote(1, 4), msgspec.structs.replace(vote(2, 4), operator=3))],
    ),
    "a vote for another root": (
        "valid_certificates",
        [certificate(4, vote(0, 4), vote(1, 4), vote(2, 4, "b"))],
    ),
    "a vote of another term": (
        "valid_certificates",
        [certificate(4, vote(0, 4), vote(1, 4), vote(2, 4, term=1))],
    ),
    "decided on what its leader did not propose": (
        "valid_certificates",
        [certificate(4, *(vote(number, 4, "b") for number in range(3)), fork="b")],
    ),
    "another block before what was confirmed": (
        "stable_order",
        [msgspec.structs.replace(receipt(4, 4.4, "op2"), block_hash="0xbefore")],
    ),
    "an account's transactions in another order": (
        "stable_order",
        [
            msgspec.structs.replace(block("op1", 12), transactions=("0xlate",)),
            msgspec.structs.replace(submission(12), hash="0xlate", nonce=4),
        ],
    ),
    "a nonce twice": (
        "stable_order",
        [
            msgspec.structs.replace(block("op1", 12), transactions=("0xtwin",)),
            msgspec.structs.replace(submission(12), hash="0xtwin", nonce=11),
        ],
    ),
    "L1 holds another block than is served": (
        "derived_chain",
        [msgspec.structs.replace(block("f2", 4), block_hash="0xother")],
    ),
    "L1 holds another block than was signed": ("derived_chain", [signature(4, "b")]),
    "what is on L1 does not link": (
        "derived_chain",
        [msgspec.structs.replace(derived(12), parent_root=root(4))],
    ),
    "a hole on L1": ("derived_chain", [derived(13)]),
    "safe and not on L1": (
        "derived_chain",
        [SafeHeadSeen(node="op2", height=12, monotonic=17.0)],
    ),
    "locked on what two had seen": (
        "justified_votes",
        [event(EventKind.PREPARED, 9, 8.95, "op4", root=root(9, "b"), round=0)],
    ),
    "locked on what one too few had seen": (
        "justified_votes",
        [
            event(EventKind.PROPOSAL, 9, 8.9, "op1", root=root(9, "b"), round=0),
            event(EventKind.PROPOSAL, 9, 8.9, "op2", root=root(9, "b"), round=0),
            event(EventKind.PREPARED, 9, 8.95, "op4", root=root(9, "b"), round=0),
        ],
    ),
    "locked before the others had seen it": (
        "justified_votes",
        [event(EventKind.PREPARED, 9, 9.005, "op4", round=0)],
    ),
    "decided on what nobody had locked": (
        "justified_votes",
        [event(EventKind.DECIDED, 9, 9.07, "op4", root=root(9, "b"), round=0)],
    ),
    "a later round that nobody asked for": (
        "justified_votes",
        [event(EventKind.PROPOSAL, 9, 9.08, "op4", round=1)],
    ),
    "a time stamp between two slots": (
        "linked_chain",
        [msgspec.structs.replace(block("op1", 12), timestamp=1011)],
    ),
    "an older L1 block than below": (
        "linked_chain",
        [msgspec.structs.replace(signature(12), l1_origin=1)],
    ),
    "a block left out in calm": (
        "normal_gap",
        [msgspec.structs.replace(LEADER_KILL, healed=-9.0), event(EventKind.DECIDED, 1, 0.9),
         event(EventKind.SEALED, 20, 29.0), event(EventKind.SEALED, 21, 30.8)],
    ),
    "a safe head that stays": (
        "safe_head",
        [SafeHeadSeen(node="op2", height=0, monotonic=0.5),
         *(event(EventKind.SEALED, height, height + 10.0) for height in range(12, 40))],
    ),
    "round changed late": (
        "no_round_change",
        [event(EventKind.ROUND_CHANGE, 5, 5.05, root=None, round=1)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_history_fails(name: str) -> None:
    checker, forgery = FORGED[name]
    draft = sound()
    draft.records += forgery
    verdict = CHECKERS[checker](draft.history())
    assert verdict.outcome is Outcome.FAIL, verdict
    assert verdict.violations
    assert all(violation.witness for violation in verdict.violations)


def muted(node: str, since: float, *more: Record) -> History:
    """Five more heights after the last heal, at which a node votes no more."""
    draft = sound()
    for height in range(12, 17):
        for each in SETUP.operators:
            draft.records.append(event(EventKind.PREPARED, height, 8.05 + height, each, round=0))
            draft.records.append(event(EventKind.SEALED, height, 8.2 + height, each))
    draft.records = [
        r
        for r in draft.records
        if not (isinstance(r, Event) and r.node == node and r.kind in VOTES and r.monotonic > since)
    ]
    draft.records += more
    return draft.history()


@pytest.mark.parametrize(("node", "since"), [("op2", 7.0), ("op2", 0.0), ("op3", 2.5)])
def test_whoever_votes_no_more_after_the_last_heal_is_named(node: str, since: float) -> None:
    """Whether a fault hit it or not, and whether or not the scenario asks for L5."""
    assert votes_again.check(muted("f1", 0.0)).outcome is Outcome.PASS
    history = muted(node, since)
    assert worst(checkers.check_all(history)) is Outcome.FAIL
    (breach,) = votes_again.check(history).violations
    assert breach.summary.startswith(f"{node} voted ")
    assert breach.summary.endswith("and 6 heights were sealed since the last heal, up to 16")
    assert breach.witness
    assert votes_again.check(muted(node, 19.0)).outcome is Outcome.PASS


def test_whoever_did_not_come_back_from_its_fault_is_asked_for_its_vote() -> None:
    (breach,) = votes_again.check(muted("op3", 7.0, HUNG)).violations
    assert breach.summary.startswith("op3 voted ")


def test_whoever_cannot_vote_to_the_end_or_had_no_time_is_not_asked() -> None:
    to_the_end = msgspec.structs.replace(
        LEADER_KILL, id="slow", targets=("op2",), silenced=(), forever=True, healed=30.0
    )
    assert votes_again.check(muted("op2", 7.0, to_the_end)).outcome is Outcome.PASS
    in_time = msgspec.structs.replace(to_the_end, healed=21.0)
    assert votes_again.check(muted("op2", 7.0, in_time)).outcome is Outcome.FAIL
    short = Draft([r for r in sound().records if not isinstance(r, Event) or r.node != "op2"])
    assert votes_again.check(short.history()).outcome is Outcome.VACUOUS, "one height"
    unknown = msgspec.structs.replace(HUNG, unreturned=())
    assert votes_again.check(muted("op3", 7.0, unknown)).outcome is Outcome.PASS
    alone = msgspec.structs.replace(SETUP, operators=("op1",))
    assert votes_again.check(history_of(alone, sound().records)).outcome is Outcome.VACUOUS
    stood = msgspec.structs.replace(muted("op2", 7.0), machine=(seen(22.0, 3.0),))
    assert votes_again.check(stood).outcome is Outcome.INCONCLUSIVE
    blinked = msgspec.structs.replace(muted("op2", 7.0), machine=(seen(22.0, 0.4),))
    assert votes_again.check(blinked).outcome is Outcome.FAIL


TO_16 = RunEnded(monotonic=31.0, first=1, last=16)


def test_one_vote_after_the_heal_is_none_at_the_end() -> None:
    """At height 11 the last one votes that is not seen again; up to 16 it goes on."""
    history = muted("op2", 19.0)
    ended = msgspec.structs.replace(history, run_ended=(TO_16,))
    (breach,) = votes_again.check(ended).violations
    assert breach.summary.startswith("op2 voted the last time at height 11, and 6 heights")
    cut_off = msgspec.structs.replace(history, run_ended=())
    assert votes_again.silent(cut_off) == ["op2"], "as the runner asks while it waits"
    for since, outcome in ((21.5, Outcome.FAIL), (22.5, Outcome.PASS)):
        late = msgspec.structs.replace(muted("op2", since), run_ended=(TO_16,))
        assert votes_again.check(late).outcome is outcome
    stood = (seen(18.0, 1.9),)
    excused = msgspec.structs.replace(ended, machine=stood)
    assert votes_again.check(excused).outcome is Outcome.FAIL, "eight seconds, from its last vote"
    excused = msgspec.structs.replace(ended, machine=(seen(18.0, 2.1),))
    assert votes_again.check(excused).outcome is Outcome.INCONCLUSIVE


def test_whoever_falls_silent_in_a_run_without_a_fault_is_named() -> None:
    quiet = msgspec.structs.replace(muted("op2", 7.0), faults=(), run_ended=(TO_16,))
    (breach,) = votes_again.check(quiet).violations
    assert breach.summary == (
        "op2 voted the last time at height 6, and 16 heights were sealed since the run began, "
        "up to 16"
    )


def test_whose_votes_are_in_no_certificate_of_another_is_told_and_not_blamed() -> None:
    others = [certificate(h, vote(0, h), vote(1, h), vote(3, h)) for h in range(12, 17)]
    verdict = votes_again.check(muted("f1", 0.0, *others))
    assert verdict.outcome is Outcome.PASS
    assert verdict.note == "4 operators; no certificate of another holds a vote of op3"
    more = msgspec.structs.replace(certificate(16, vote(2, 16)), node="op2")
    assert votes_again.check(muted("f1", 0.0, *others, more)).note == "4 operators"


def test_whoever_had_no_time_to_vote_in_a_run_that_was_broken_off_is_not_accused() -> None:
    """The run's own wait for it did not come to its end."""
    whole = muted("op2", 7.0)
    broken = RunBroken(why="the Toxiproxy of op1 does not answer", monotonic=25.0)
    cut_off = msgspec.structs.replace(whole, run_ended=(), broken=(broken,))
    for history, outcome in ((whole, Outcome.FAIL), (cut_off, Outcome.INCONCLUSIVE)):
        (verdict,) = [v for v in checkers.check_all(history) if v.checker == votes_again.NAME]
        assert verdict.outcome is outcome


@pytest.mark.parametrize(
    "kind", [GroupSignatureSeen, ReceiptSeen, BlockRead, TransactionSubmitted, ObjectWrite]
)
def test_a_run_in_which_something_was_never_seen_does_not_pass(kind: type[Record]) -> None:
    """Nor does one of which the end, its faults and its events are all that there is."""
    draft = sound()
    draft.records = [record for record in draft.records if not isinstance(record, kind)]
    assert worst(checkers.check_all(draft.history())) is not Outcome.PASS
    bare: list[Record] = [
        r for r in draft.records if isinstance(r, Event | FaultReceipt | RunEnded)
    ]
    assert worst(checkers.check_all(history_of(SETUP, bare))) is Outcome.FAIL
    old: list[Record] = [RunEnded(monotonic=31.0) if isinstance(r, RunEnded) else r for r in bare]
    unknown = msgspec.structs.replace(SETUP, load=0.0)
    assert worst(checkers.check_all(history_of(unknown, old))) is Outcome.PASS, "it did not say"


@pytest.mark.parametrize(("node", "lost"), [("op3", 6), ("op3", 1), ("f1", 11), ("op2", 4)])
def test_a_node_that_lost_a_part_of_its_chain_is_named(node: str, lost: int) -> None:
    draft = sound()
    draft.records = [
        r
        for r in draft.records
        if not (isinstance(r, BlockRead) and r.node == node and r.height >= lost)
    ]
    breach, *others = readable.check(draft.history()).violations
    assert not others
    assert breach.summary.startswith(f"{node} serves {lost - 1} of the heights 1 to 11")
    assert breach.height == lost
    draft.records.append(UNREAD if node == "op3" else msgspec.structs.replace(UNREAD, node=node))
    assert len(readable.check(draft.history()).violations) == 1, "it is told once"


def test_what_no_operator_was_left_alone_for_is_not_owed() -> None:
    """Where each was disturbed, none of what was sent is judged."""
    draft = sound()
    everywhere = msgspec.structs.replace(
        SPLIT, id="wan", components=(), requested=0.001, applied=0.002, verified=0.003,
        healed=40.0,
    )  # fmt: skip
    assert inclusion.check(draft.history()).outcome is Outcome.PASS
    draft.records.append(everywhere)
    assert inclusion.check(draft.history()).outcome is Outcome.VACUOUS
    assert inclusion.NAME not in {v.checker for v in checkers.check_all(draft.history())}


def test_every_safety_and_liveness_checker_has_a_forgery() -> None:
    forged = {CHECKERS[checker] for checker, _ in FORGED.values()} | {
        steady_state.check,
        votes_again.check,
    }
    assert {*checkers.SAFETY, *checkers.LIVENESS} <= forged


# -------------------------------------------------------------------- what one scenario promises

PROMISES: dict[str, Checker] = {
    "gap": partial(gap.check, limit=Duration(seconds=7)),
    "rejoin": partial(rejoin.check, limit=Duration(seconds=2)),
    "progress_under_fault": partial(progress_under_fault.check, wanted=8),
    "rounds_as_promised": partial(
        rounds_as_promised.check,
        expect=Expect(round_changes=RoundChanges.FORBIDDEN, settle_in=Count(plain=1)),
    ),
    "known_fate": known_fate.check,
}
BROKEN: dict[str, tuple[str, list[Record]]] = {
    "nothing is sealed to the end of a fault": (
        "gap",
        [msgspec.structs.replace(SPLIT, id="long", healed=40.0)],
    ),
    "who was killed does not vote again": (
        "rejoin",
        [msgspec.structs.replace(LEADER_KILL, id="late", requested=15.5, healed=16.5)],
    ),
    "who was started from another version does not come back": (
        "rejoin",
        [msgspec.structs.replace(LEADER_KILL, id="upgrade", unreturned=("op3",), error="gone")],
    ),
    "who is restarted under a fault does not vote again after it": (
        "rejoin",
        [
            msgspec.structs.replace(
                LEADER_KILL, id="u", silenced=(), restarted=("op3",), requested=15.5, healed=16.5
            )
        ],
    ),
    "who was killed votes once more and then never": (
        "rejoin",
        [
            msgspec.structs.replace(LEADER_KILL, id="late", requested=15.5, healed=16.5),
            event(EventKind.SEALED, 12, 17.0, "op3"),
            event(EventKind.SIGNED, 12, 17.1, "op3"),
            event(EventKind.DECIDED, 13, 18.0),
            event(EventKind.DECIDED, 14, 19.0),
        ],
    ),
    "who was killed votes again too late": (
        "rejoin",
        [
            msgspec.structs.replace(LEADER_KILL, id="late", requested=15.5, healed=16.5),
            event(EventKind.SEALED, 12, 18.0, "op3"),
            event(EventKind.SIGNED, 12, 18.6, "op3"),
        ],
    ),
    "too few heights while a fault stood": (
        "progress_under_fault",
        [msgspec.structs.replace(LEADER_KILL, requested=4.5)],
    ),
    "a round changed after all had settled": (
        "rounds_as_promised",
        [event(EventKind.ROUND_CHANGE, 5, 5.05, root=None, round=1)],
    ),
    "a hostile transaction that failed": (
        "known_fate",
        [
            HostileFate(
                kind="x",
                gas=10**7,
                gas_used=21_000,
                hash="0xh",
                sent=1.0,
                settled=2.0,
                height=2,
                fate=Fate.INCLUDED,
                succeeded=False,
                via="op1",
            )
        ],
    ),
    "a hostile transaction that nobody heard of again": (
        "known_fate",
        [
            HostileFate(
                kind="x", gas=1, hash="0xh", sent=1.0, settled=2.0, fate=Fate.UNKNOWN, via="op1"
            )
        ],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_fails_and_is_told_where_it_was_kept(name: str) -> None:
    promise, forgery = BROKEN[name]
    draft = sound()
    kept = PROMISES[promise](draft.history()).outcome
    assert kept is (Outcome.VACUOUS if promise == "known_fate" else Outcome.PASS)
    draft.records += forgery
    verdict = PROMISES[promise](draft.history())
    assert verdict.outcome is Outcome.FAIL, verdict
    assert verdict.violations[0].witness


def test_every_promise_can_be_broken() -> None:
    assert {promise for promise, _ in BROKEN.values()} == PROMISES.keys()


# -------------------------------------------------------------------- what signatures vouch for


def served(*heights: int) -> History:
    """One node's blocks, of which the highest alone is signed."""
    return history_of(SETUP, [*(block("op1", height) for height in heights), signature(70)])


def test_a_signature_vouches_for_64_blocks_below_it_and_no_more() -> None:
    assert valid_certificates.check(served(*range(6, 71))).outcome is Outcome.PASS
    verdict = valid_certificates.check(served(*range(5, 71)))
    assert [breach.height for breach in verdict.violations] == [5]


def test_what_is_above_the_last_signature_or_below_a_hole_is_not_judged() -> None:
    """A signature may still come; a hole is S10's."""
    assert valid_certificates.check(served(*range(60, 75))).outcome is Outcome.PASS
    assert valid_certificates.check(served(*range(40, 50), *range(60, 71))).outcome is Outcome.PASS


def test_time_stamps_are_whole_block_times_apart_and_slots_may_be_missed() -> None:
    slow = msgspec.structs.replace(SETUP, slot_seconds=2.0)

    def outcome(*stamps: int) -> Outcome:
        made = [
            msgspec.structs.replace(block("op1", at), timestamp=t) for at, t in enumerate(stamps)
        ]
        return linked_chain.check(history_of(slow, list(made))).outcome

    assert outcome(10, 12, 18) is Outcome.PASS
    assert outcome(10, 13, 18) is Outcome.FAIL
    assert outcome(10, 12, 12) is Outcome.FAIL


# ------------------------------------------------------------------------- what L1 was read for


def test_a_safe_head_without_a_reading_of_l1_shows_nothing() -> None:
    history = msgspec.structs.replace(sound().history(), derived=())
    verdict = derived_chain.check(history)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.note == "op1 calls heights safe, and L1 was not read"
    none_safe = msgspec.structs.replace(history, safe_heads=())
    assert derived_chain.check(none_safe).outcome is Outcome.VACUOUS


def test_a_safe_head_that_came_after_the_reading_is_not_judged() -> None:
    draft = sound()
    draft.records.append(SafeHeadSeen(node="op2", height=12, monotonic=20.5))
    assert derived_chain.check(draft.history()).outcome is Outcome.PASS


# -------------------------------------------------------------------- votes that nobody told of


def locked(height: int, at: float, **changes: object) -> History:
    """One operator locks on what nobody proposed, and one fault is another than in a sound run."""
    draft = sound()
    draft.records.append(
        event(EventKind.PREPARED, height, at, "op4", root=root(height, "b"), round=0)
    )
    if changes:
        draft.records.append(msgspec.structs.replace(LEADER_KILL, id="other", **changes))
    return draft.history()


def test_a_vote_is_judged_from_the_first_height_heard_from_its_beginning_to_the_last_told() -> None:
    assert justified_votes.check(locked(1, 1.05)).outcome is Outcome.PASS
    assert justified_votes.check(locked(2, 2.05)).outcome is Outcome.FAIL
    assert justified_votes.check(locked(11, 14.1)).outcome is Outcome.FAIL
    assert justified_votes.check(locked(11, 14.3)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"targets": (), "lying": ("op1", "op2", "op3")}, Outcome.PASS),
        ({"targets": (), "lying": ("op1", "op2")}, Outcome.FAIL),
        ({"targets": ("op1", "op2", "op3"), "components": ()}, Outcome.PASS),
        (
            {"targets": ("op1", "op2", "op3"), "components": (("op1",), ("op2", "op3"))},
            Outcome.FAIL,
        ),
        ({"targets": ("op1", "op2", "op3"), "components": (), "requested": 11.1}, Outcome.FAIL),
        ({"targets": ("op1", "op2", "op3"), "components": (), "healed": 6.9}, Outcome.FAIL),
    ],
)
def test_who_lied_or_was_ended_may_have_voted_and_not_told(
    changes: dict[str, object], outcome: Outcome
) -> None:
    known = {"requested": 8.5, "healed": 9.5, **changes}
    assert justified_votes.check(locked(9, 9.0, **known)).outcome is outcome


# ------------------------------------------------------------------------------------------- live

ENDS_FORGED = (
    "a program ended on its own",
    "a program ran on after SIGTERM",
    "an exception in a log",
)


@pytest.mark.parametrize("name", ENDS_FORGED)
def test_how_a_program_ends_is_told_live_with_its_moment(name: str) -> None:
    draft = sound()
    (forgery,) = FORGED[name][1]
    draft.records.append(forgery)
    breaches = [
        breach
        for live in checkers.live_checkers()
        for record in records_of(draft.history())
        for breach in live.feed(record)
    ]
    assert [breach.witness for breach in breaches] == [(forgery,)]
    assert breaches[0].monotonic == record_time(forgery)
    assert no_crash.check(draft.history()).violations == tuple(breaches)


LIVE_FORGED = (
    "another root decided",
    "two signed roots",
    "two partials at a height",
    "two prepares in a round",
    "an honest operator is accused",
)


@pytest.mark.parametrize("name", LIVE_FORGED)
def test_live_checkers_fire_on_the_record_that_completes_the_breach(name: str) -> None:
    draft = sound()
    live = checkers.live_checkers()
    breaches = []
    draft.records += FORGED[name][1]
    for record in records_of(draft.history()):
        breaches += [violation for checker in live for violation in checker.feed(record)]
    assert [breach.height for breach in breaches[:1]] == [FORGED[name][1][0].height]  # type: ignore[union-attr]


# --------------------------------------------------------------------- faults that stand together

KILL_1 = FaultReceipt(
    id="one", kind="kill", targets=("op1",), silenced=("op1",), requested=18.0, applied=18.1,
    verified=18.2, revert_requested=30.0, reverted=30.1, healed=30.2,
    components=(("op2", "op3", "op4"),),
)  # fmt: skip
KILL_2 = msgspec.structs.replace(
    KILL_1, id="two", targets=("op2",), silenced=("op2",), requested=20.0, applied=20.1,
    verified=20.2, revert_requested=26.0, components=(("op1", "op3", "op4"),),
)  # fmt: skip
"""Each leaves three of four operators, both together two, for certain from 21.2 to 26."""
CUT_12 = msgspec.structs.replace(
    KILL_1, id="one", kind="cut", silenced=(), components=(),
    cut=("op1>op2.consensus", "op2>op1.consensus"),
)  # fmt: skip
CUT_34 = msgspec.structs.replace(
    KILL_2, kind="cut", silenced=(), components=(), cut=("op3>op4.consensus", "op4>op3.consensus"),
)  # fmt: skip
"""Each leaves three leaders with a quorum, both together none: nobody hears three that prepare."""
BRIDGE = msgspec.structs.replace(
    KILL_1, kind="bridge", silenced=(), components=(("op1", "op2"), ("op2", "op3", "op4")),
    cut=("op1>op3.consensus", "op3>op1.consensus", "op1>op4.consensus", "op4>op1.consensus"),
)  # fmt: skip


def overlapped(one: FaultReceipt, two: FaultReceipt, decided: float = 24.0) -> History:
    draft = sound()
    draft.records += [one, two, event(EventKind.DECIDED, 12, decided, "op3")]
    return draft.history()


def judged_live(history: History) -> list[Violation]:
    """As a run goes on: a receipt is fed when each of its moments is known."""
    live = no_quorum_no_progress.LiveNoQuorumNoProgress()
    last = ("healed", "reverted", "revert_requested")
    known = [
        msgspec.structs.replace(fault, **dict.fromkeys(last[:unknown]))
        for unknown in range(len(last) + 1)
        for fault in history.faults
    ]
    records = records_of(msgspec.structs.replace(history, faults=tuple(known)))
    return [breach for record in records for breach in live.feed(record)]


@pytest.mark.parametrize("pair", [(KILL_1, KILL_2), (CUT_12, CUT_34), (BRIDGE, KILL_2)])
def test_two_faults_that_each_leave_a_quorum_may_leave_none_together(
    pair: tuple[FaultReceipt, FaultReceipt],
) -> None:
    history = overlapped(*pair)
    for fault in pair:
        alone = [event for event in history.events if event.height != 12]
        kept = msgspec.structs.replace(history, faults=(fault,), events=tuple(alone))
        assert no_quorum_no_progress.check(kept).outcome is Outcome.VACUOUS
    verdict = no_quorum_no_progress.check(history)
    assert [breach.summary for breach in verdict.violations] == [
        "height 12 was decided 3.80 s after the verified cut one with two"
    ]
    assert [breach.summary for breach in judged_live(history)] == [verdict.violations[0].summary]
    assert standstill.check(history).note.startswith("4.80 s without a quorum")


@pytest.mark.parametrize(
    ("one", "two", "decided"),
    [
        (KILL_1, KILL_2, 21.1),
        (KILL_1, KILL_2, 26.1),
        (KILL_1, msgspec.structs.replace(KILL_2, lapsed=25.0), 24.0),
        (msgspec.structs.replace(KILL_1, repeats=True), KILL_2, 24.0),
        (KILL_1, msgspec.structs.replace(KILL_1, id="again", requested=20.0), 24.0),
        (CUT_12, KILL_2, 24.0),
        (BRIDGE, msgspec.structs.replace(KILL_1, id="two"), 24.0),
    ],
)
def test_what_is_not_sure_to_leave_no_quorum_accuses_nobody(
    one: FaultReceipt, two: FaultReceipt, decided: float
) -> None:
    """In flight, or healing; lapsed; on and off; the same operator twice; one of a cut pair."""
    history = overlapped(one, two, decided)
    assert no_quorum_no_progress.check(history).outcome is Outcome.PASS
    assert judged_live(history) == []


def test_a_third_fault_makes_no_other_span_of_a_standstill() -> None:
    third = msgspec.structs.replace(KILL_2, id="three", verified=22.5, revert_requested=24.0)
    draft = sound()
    draft.records += [KILL_1, KILL_2, third]
    assert standstill.check(draft.history()).note.startswith("4.80 s without a quorum")
    assert no_quorum_no_progress.check(draft.history()).note == "2 spans without a quorum"


def test_a_standstill_to_the_end_of_the_record_is_one() -> None:
    open_ended = msgspec.structs.replace(KILL_2, revert_requested=None, reverted=None, healed=None)
    first = msgspec.structs.replace(KILL_1, revert_requested=None, reverted=None, healed=None)
    history = history_of(SETUP, [first, open_ended, RunEnded(monotonic=23.2)])
    assert standstill.check(history).note.startswith("2.00 s without a quorum")
    assert standstill.check(history_of(SETUP, [first])).outcome is Outcome.VACUOUS


def back_late(sealed: float, *others: FaultReceipt) -> History:
    """op1 is healed at 30.2, nothing is sealed from 19.2 until then, and it votes again then."""
    draft = sound()
    draft.records += [KILL_1, *others, event(EventKind.SEALED, 13, 19.2)]
    draft.records += [
        event(kind, height, sealed + height - 14)
        for height in (14, 15, 16)
        for kind in (EventKind.SEALED, EventKind.SIGNED)
    ]
    return draft.history()


@pytest.mark.parametrize("checker", [recovery.check, PROMISES["rejoin"]])
def test_a_heal_owes_nothing_while_others_disturb_more_than_f(checker: Checker) -> None:
    others = [
        msgspec.structs.replace(KILL_2, id=name, targets=(name,), silenced=(), healed=50.0)
        for name in ("op2", "op3")
    ]
    assert checker(back_late(51.0)).outcome is Outcome.FAIL
    assert checker(back_late(51.0, others[0])).outcome is Outcome.FAIL
    assert checker(back_late(51.0, *others)).outcome is Outcome.PASS
    assert checker(back_late(58.0, *others)).outcome is Outcome.FAIL
    before = [msgspec.structs.replace(fault, requested=40.0) for fault in others]
    assert checker(back_late(51.0, *before)).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("voted", "known", "back", "kept_up"),
    [
        ((12, 13, 14), 15, 12.0, True),
        ((12, 14, 15, 16), 17, 14.0, True),
        ((12, 13), 13, 12.0, False),
        ((12, 13), 14, 12.0, False),
        ((12, 13), 15, None, False),
        ((12,), 13, 12.0, False),
        ((12,), 14, None, False),
        ((13,), 13, 13.0, False),
        ((), 12, None, False),
    ],
)
def test_one_is_back_who_is_seen_at_heights_in_a_row_as_far_as_the_record_goes(
    voted: tuple[int, ...], known: int, back: float | None, kept_up: bool
) -> None:
    fault = msgspec.structs.replace(LEADER_KILL, healed=11.5)
    said = [event(EventKind.SIGNED, height, float(height), "op3") for height in voted]
    decided = [event(EventKind.DECIDED, height, float(height)) for height in range(1, known + 1)]
    there = event(EventKind.SEALED, 11, 11.6, "op3")
    history = history_of(SETUP, [fault, *decided, there, *said])
    assert rejoined_at(history, fault, "op3") == back
    assert keeps_up(history, fault, "op3") is kept_up


@pytest.mark.parametrize(
    ("imported", "known", "back"),
    [((11, 12, 13, 14), 15, 11.0), ((11, 12), 13, 11.0), ((11, 12), 15, None), ((11,), 12, 11.0)],
)
def test_a_follower_is_back_who_goes_on_following(
    imported: tuple[int, ...], known: int, back: float | None
) -> None:
    fault = msgspec.structs.replace(LEADER_KILL, healed=10.5)
    there = [event(EventKind.IMPORTED, height, float(height), "f1") for height in imported]
    decided = [event(EventKind.DECIDED, height, height - 0.6) for height in range(1, known + 1)]
    assert rejoined_at(history_of(SETUP, [fault, *decided, *there]), fault, "f1") == back


def test_faults_that_leave_no_quorum_together_need_no_decision_to_have_happened() -> None:
    history = overlapped(KILL_1, KILL_2)
    events = tuple(each for each in history.events if each.height != 12)
    kills = msgspec.structs.replace(history, faults=(KILL_1, KILL_2), events=events)
    assert faults_happened.check(kills).outcome is Outcome.PASS
    apart = (KILL_1, msgspec.structs.replace(KILL_2, components=KILL_1.components))
    assert (
        faults_happened.check(msgspec.structs.replace(kills, faults=apart)).note
        == "one: nothing was decided while it held; two: nothing was decided while it held"
    )


LINKS_FORGED = ("parent hash wrong", "hole in the chain", "a height left out")


@pytest.mark.parametrize("name", LINKS_FORGED)
def test_a_chain_is_watched_as_it_grows(name: str) -> None:
    """A block that is read again breaks nothing."""
    live = linked_chain.LiveLinkedChain()
    chain = [block("op1", height) for height in range(12)]
    for each in (*chain, *chain[3:]):
        assert live.feed(each) == []
    (forgery,) = FORGED[name][1]
    (breach,) = live.feed(forgery)
    assert breach.witness[-1] == forgery


def test_a_liar_may_be_accused() -> None:
    live = true_evidence.LiveTrueEvidence(frozenset({"op2"}))
    (accusation,) = FORGED["an honest operator is accused"][1]
    assert live.feed(accusation) == []


def test_two_group_signatures_accuse_nobody_by_name_and_take_liars() -> None:
    detail: dict[str, str | int | float | bool | None] = {"what": "two blocks", "folder": "/x"}
    twice = event(EventKind.EVIDENCE, 4, 4.5, root=None, detail=detail)
    (breach,) = true_evidence.LiveTrueEvidence().feed(twice)
    assert breach.summary == "op1 accuses the group of two blocks: nobody lies there"
    assert true_evidence.LiveTrueEvidence(frozenset({"op2"})).feed(twice) == []


def test_an_operator_alone_may_have_built_the_next_block_already() -> None:
    setup = msgspec.structs.replace(SETUP, operators=("op1",), followers=())
    late = TransactionSubmitted(via="op1", hash="0xlate", sent=1.5, answered=1.51, answer=Answer.OK)
    for height, outcome in ((3, Outcome.PASS), (4, Outcome.FAIL)):
        draft = sound()
        at = msgspec.structs.replace(block("op1", height), transactions=("0xlate",))
        alone = history_of(setup, [*(r for r in draft.records if isinstance(r, Event)), at, late])
        alone = msgspec.structs.replace(alone, blocks=(*draft.history().blocks, at))
        assert inclusion.check(alone).outcome is outcome


def test_live_no_quorum_knows_a_fault_from_its_receipt() -> None:
    live = no_quorum_no_progress.LiveNoQuorumNoProgress()
    cut = msgspec.structs.replace(SPLIT, revert_requested=None, reverted=None, healed=None)
    assert live.feed(SETUP) == []
    assert live.feed(cut) == []
    assert live.feed(event(EventKind.DECIDED, 11, 10.9)) == []
    assert [breach.height for breach in live.feed(event(EventKind.DECIDED, 12, 12.0))] == [12]
    assert live.feed(event(EventKind.DECIDED, 12, 12.1, "op2")) == []
    live.feed(SPLIT)
    assert live.feed(event(EventKind.DECIDED, 13, 15.5)) == []


def with_fault(**changes: object) -> History:
    draft = sound()
    draft.records += [msgspec.structs.replace(LEADER_KILL, reverted=99.0, **changes)]
    return draft.history()


def test_a_leader_fault_without_a_round_change_is_vacuous() -> None:
    verdict = faults_happened.check(with_fault(id="second", height=5))
    assert verdict.outcome is Outcome.VACUOUS
    assert "no round changed" in verdict.note


@pytest.mark.parametrize(
    "changes", [{"verified": None}, {"error": "probe timed out"}, {"lapsed": 3.5}]
)
def test_an_unproven_fault_is_inconclusive(changes: dict[str, object]) -> None:
    assert faults_happened.check(with_fault(**changes)).outcome is Outcome.INCONCLUSIVE


def test_a_fault_in_which_nothing_was_decided_is_vacuous() -> None:
    verdict = faults_happened.check(
        with_fault(id="later", requested=17.0, hits_leader=False, verified=17.1, healed=17.5)
    )
    assert verdict.outcome is Outcome.VACUOUS
    assert verdict.note == "later: nothing was decided while it held"
    under_another = with_fault(id="later", requested=12.0, verified=12.1, healed=12.5)
    assert faults_happened.check(under_another).outcome is Outcome.PASS


def test_an_unverified_heal_or_cut_is_inconclusive() -> None:
    assert recovery.check(with_fault(healed=None)).outcome is Outcome.INCONCLUSIVE
    assert rejoin.check(with_fault(healed=None), limit=Duration(seconds=2)).outcome is (
        Outcome.INCONCLUSIVE
    )
    unverified = with_fault(id="s", components=(("op1",),), verified=None)
    assert no_quorum_no_progress.check(unverified).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("checker", [recovery.check, PROMISES["rejoin"]])
def test_who_did_not_come_back_is_blamed_unless_this_machine_stood_still(checker: Checker) -> None:
    draft = sound()
    draft.records.append(HUNG)
    verdict = checker(draft.history())
    assert verdict.outcome is Outcome.FAIL
    assert [each.summary for each in verdict.violations] == [
        "op3 did not come back from the fault hung: revert: not healed after 60 s: not ready"
    ]
    draft.records.append(seen(30.0, 14.0))
    assert checker(draft.history()).outcome is Outcome.FAIL
    draft.records.append(seen(60.0, 2.0))
    assert checker(draft.history()).outcome is Outcome.INCONCLUSIVE


def test_who_noticed_nothing_is_blamed_unless_this_machine_stood_still() -> None:
    draft = sound()
    assert notices.check(history_of(SETUP, [])).outcome is Outcome.VACUOUS
    draft.records.append(BLIND)
    (breach,) = notices.check(draft.history()).violations
    assert breach.summary.startswith("op3 did not notice the fault flip: not in place after 3 s")
    draft.records.append(seen(4.0, 0.7))
    assert notices.check(draft.history()).outcome is Outcome.FAIL
    draft.records.append(seen(4.5, 0.4))
    assert notices.check(draft.history()).outcome is Outcome.INCONCLUSIVE, "though it ends later"


def test_recovery_is_measured_from_the_verified_heal() -> None:
    verdict = recovery.check(sound().history())
    assert verdict.measured == pytest.approx(1.0)
    assert verdict.bound == 6.0


def test_nothing_sealed_after_the_heal_fails_once_the_bound_has_passed() -> None:
    draft = sound()
    draft.records = [r for r in draft.records if not (isinstance(r, Event) and r.height == 11)]
    draft.records.append(event(EventKind.REFUSED, 0, 18.0))
    assert recovery.check(draft.history()).outcome is Outcome.PASS
    draft.records.append(event(EventKind.REFUSED, 0, 25.0))
    assert recovery.check(draft.history()).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    "changes", [{"answer": Answer.UNKNOWN}, {"answered": None}, {"via": "f1"}, {"via": "op3"}]
)
def test_inclusion_does_not_judge_what_it_cannot_know(changes: dict[str, object]) -> None:
    lost = TransactionSubmitted(via="op1", hash="0xlost", sent=1.5, answered=1.51, answer=Answer.OK)
    draft = sound()
    draft.records.append(msgspec.structs.replace(lost, **changes))
    assert inclusion.check(draft.history()).outcome is Outcome.PASS


def test_receipts_above_the_sealed_head_are_not_confirmations() -> None:
    draft = sound()
    draft.records += [
        msgspec.structs.replace(receipt(12, 16.5), block_hash="0xlost"),
        receipt(12, 17.0, "op2"),
    ]
    assert stable_receipts.check(draft.history()).outcome is Outcome.PASS


def test_an_empty_history_is_vacuous_not_passed() -> None:
    empty = history_of(SETUP, [])
    for name in set(CHECKERS):
        assert CHECKERS[name](empty).outcome is Outcome.VACUOUS, name


def test_check_all_passes_the_sound_history_and_orders_outcomes() -> None:
    verdicts = checkers.check_all(sound().history(), extra=(no_round_change.check,))
    assert worst(verdicts) is Outcome.PASS, [v for v in verdicts if v.outcome is not Outcome.PASS]
    doubt = Verdict(checker="x", outcome=Outcome.INCONCLUSIVE)
    empty = Verdict(checker="x", outcome=Outcome.VACUOUS)
    breach = Verdict(checker="x", outcome=Outcome.FAIL)
    assert worst([*verdicts, empty]) is Outcome.VACUOUS
    assert worst([*verdicts, empty, doubt]) is Outcome.INCONCLUSIVE
    assert worst([doubt, breach, empty]) is Outcome.FAIL
    assert worst([]) is Outcome.VACUOUS
    assert [exit_code(outcome) for outcome in Outcome] == [0, 1, 2, 2]


def fate(**changes: object) -> HostileFate:
    made = HostileFate(
        kind="mulmod", via="op1", hash="0xh1", gas=10**7, sent=3.0, settled=4.0, fate=Fate.INCLUDED
    )
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Outcome.PASS),
        ({"succeeded": False}, Outcome.FAIL),
        ({"succeeded": False, "gas": 10**6}, Outcome.PASS),
        ({"fate": Fate.REFUSED, "reason": "too heavy: 40 s of 0.5 s"}, Outcome.PASS),
        ({"fate": Fate.DROPPED, "reason": "too heavy"}, Outcome.PASS),
        ({"fate": Fate.REFUSED}, Outcome.FAIL),
        ({"fate": Fate.DROPPED}, Outcome.FAIL),
        ({"fate": Fate.UNKNOWN}, Outcome.FAIL),
        ({"fate": Fate.UNSENT}, Outcome.FAIL),
        ({"fate": Fate.REFUSED, "reason": "nonce too low: next 7"}, Outcome.INCONCLUSIVE),
        ({"fate": Fate.REFUSED, "reason": "insufficient funds"}, Outcome.INCONCLUSIVE),
    ],
)
def test_a_hostile_transactions_fate_is_known(changes: dict[str, object], outcome: Outcome) -> None:
    history = history_of(SETUP, [fate(), fate(**changes)])
    assert known_fate.check(history).outcome is outcome
    assert known_fate.check(history_of(SETUP, [])).outcome is Outcome.VACUOUS


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"fate": Fate.REFUSED, "reason": "the node is busy"}, "67 refused"),
        ({"succeeded": False, "gas": 10**6}, "67 included, 67 of the included failed"),
    ],
)
def test_where_no_hostile_transaction_was_executed_nothing_was_shown(
    changes: dict[str, object], note: str
) -> None:
    verdict = known_fate.check(history_of(SETUP, [fate(**changes)] * 67))
    assert verdict.outcome is Outcome.VACUOUS
    assert verdict.note == f"no hostile transaction was executed: {note}"


def test_a_chain_that_stands_still_to_the_end_has_a_gap() -> None:
    """Without a block after it, no pair of blocks shows it."""
    sealed = [event(EventKind.SEALED, height, float(height)) for height in (1, 2)]
    waiting = fate(sent=2.5, settled=30.0, fate=Fate.UNKNOWN)
    history = history_of(SETUP, [*sealed, waiting])
    found = worst_gap(history)
    assert found is not None
    assert found.seconds == pytest.approx(28.0)
    verdict = gap.check(history, Duration(slots=2))
    assert verdict.outcome is Outcome.FAIL
    assert "time after height 2, the last sealed: 28.00 s" in verdict.violations[0].summary


def test_records_survive_the_journal_and_replay_in_order() -> None:
    history = sound().history()
    lines = [encode_record(record) for record in records_of(history)]
    assert all(b"\n" not in line for line in lines)
    again = [decode_record(line) for line in lines]
    assert isinstance(again[0], Setup)
    assert history_of(again[0], again[1:]) == history


# ------------------------------------------------------- the machine's own health


def seen(at: float, late: float, free: int | None = 10**10) -> MachineSeen:
    return MachineSeen(monotonic=at, late=late, steal=0.0, pressure=1.0, free_bytes=free)


LATE_RECOVERY: list[Record] = [
    msgspec.structs.replace(SPLIT, id="x", healed=16.3),
    event(EventKind.DECIDED, 11, 24.5),
]


def with_machine(records: Sequence[Record], *looks: MachineSeen) -> History:
    draft = sound()
    draft.records += [*records, *looks]
    return draft.history()


def test_what_ended_with_its_toxiproxy_is_not_accused_and_another_is() -> None:
    """A Docker daemon that was restarted takes whole pods with it."""
    names = ("op1.toxiproxy", "op1.rollup", "op3.validator")
    draft = sound()
    draft.records += [ProgramEnded(program=each, detail="x", monotonic=4.5) for each in names]
    (breach,) = no_crash.check(draft.history()).violations
    assert breach.summary == "op3.validator ended on its own: x"
    draft.records.append(ProgramEnded(program="op1.execution", detail="x", monotonic=4.4))
    assert no_crash.check(draft.history()).violations == (breach,), "whichever was seen first"
    bare = msgspec.structs.replace(SETUP, backend="process")
    apart = no_crash.check(history_of(bare, draft.records)).violations
    assert len(apart) == 3, "where it takes nobody along"


def test_what_ended_long_before_its_toxiproxy_is_accused() -> None:
    ends = [
        ProgramEnded(program="op3.rollup", detail="killed by SIGSEGV", monotonic=4.5),
        ProgramEnded(program="op3.toxiproxy", detail="killed by SIGSEGV", monotonic=500.0),
    ]
    (breach,) = no_crash.check(with_machine(ends)).violations
    assert breach.summary == "op3.rollup ended on its own: killed by SIGSEGV"


def test_a_stop_that_took_too_long_on_a_machine_that_stood_still_accuses_nobody() -> None:
    forged = FORGED["a program ran on after SIGTERM"][1]
    assert no_crash.check(with_machine(forged, seen(9.0, 2.4))).outcome is Outcome.FAIL
    assert no_crash.check(with_machine(forged, seen(1.0, 3.0))).outcome is Outcome.FAIL
    verdict = no_crash.check(with_machine(forged, seen(9.0, 2.6)))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.note == (
        "this machine was short of CPU (2.60 s late in all): op3.rollup ran on 10 s after SIGTERM"
    )
    crashed = FORGED["a program ended on its own"][1]
    verdict = no_crash.check(with_machine([*forged, *crashed], seen(9.0, 2.6)))
    assert [breach.witness for breach in verdict.violations] == [tuple(crashed)]


def test_what_a_liar_logs_is_its_own() -> None:
    (logged,) = FORGED["an exception in a log"][1]
    assert isinstance(logged, ExceptionLogged)
    for node, outcome in (("op3", Outcome.PASS), ("op2", Outcome.FAIL)):
        liar = msgspec.structs.replace(LEADER_KILL, id="liar", lying=(node,), requested=3.0)
        history = with_machine([liar, logged])
        assert no_crash.check(believed(history)).outcome is outcome
        live = Believed(no_crash.LiveNoCrash())
        found = [breach for record in (liar, logged) for breach in live.feed(record)]
        assert bool(found) is (outcome is Outcome.FAIL)


def test_a_bender_that_ends_is_the_harness_and_takes_nobody_with_it() -> None:
    names = ("op1.bender", "op1.execution")
    draft = sound()
    draft.records += [ProgramEnded(program=each, detail="x", monotonic=4.5) for each in names]
    (breach,) = no_crash.check(draft.history()).violations
    assert breach.summary == "op1.execution ended on its own: x"
    assert sound_harness.check(draft.history()).outcome is Outcome.INCONCLUSIVE


def test_objects_that_were_never_created_or_a_node_that_was_never_read_show_nothing() -> None:
    draft = sound()
    draft.records = [
        each for each in draft.records if not (isinstance(each, ObjectRead) and each.node == "f1")
    ]
    verdict = linearizable.check(draft.history())
    assert (verdict.outcome, verdict.note) == (Outcome.INCONCLUSIVE, "nothing was read at f1")
    draft = sound()
    draft.records = [
        each for each in draft.records if not (isinstance(each, ObjectWrite) and not each.arguments)
    ]
    assert linearizable.check(draft.history()).outcome is Outcome.INCONCLUSIVE
    draft.records = [each for each in draft.records if not isinstance(each, ObjectWrite)]
    assert linearizable.check(draft.history()).outcome is Outcome.VACUOUS


def test_who_lost_its_store_reads_from_the_beginning_and_not_back_once_it_returned() -> None:
    lost = msgspec.structs.replace(LEADER_KILL, id="lost", forgetting=("op1",), healed=7.05)
    during = [read(4, 6.9, "op1"), read(6, 7.1, "op1"), read(5, 7.15, "op1")]
    draft = sound()
    draft.records += [lost, *during]  # it votes and seals at height 8, from 8.05 to 8.2
    assert linearizable.check(draft.history()).outcome is Outcome.PASS
    for others in ([read(7, 8.45, "op1")], [receipt(9, 8.25, "op1")]):
        accused = Draft([*draft.records, *others])
        assert linearizable.check(accused.history()).outcome is Outcome.FAIL
    unhealed = Draft([*draft.records, msgspec.structs.replace(lost, healed=None)])
    assert linearizable.check(unhealed.history()).outcome is Outcome.PASS
    elsewhere = msgspec.structs.replace(lost, forgetting=("op2",))
    assert linearizable.check(Draft([*draft.records, elsewhere]).history()).outcome is Outcome.FAIL


def test_a_late_recovery_on_a_machine_that_stood_still_accuses_nobody() -> None:
    assert recovery.check(with_machine(LATE_RECOVERY, seen(17.0, 0.02))).outcome is Outcome.FAIL
    verdict = recovery.check(with_machine(LATE_RECOVERY, seen(17.0, 1.4)))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.note.startswith("this machine was short of CPU (1.40 s late in all): after the")


UNREAD = NodeUnread(node="op3", why="no answer", monotonic=26.0, since=20.0)
BEHIND = msgspec.structs.replace(UNREAD, monotonic=50.0, missing=4)
UNKNOWN = HostileFate(
    kind="x", gas=1, hash="0xh", sent=17.0, settled=23.0, fate=Fate.UNKNOWN, via="op1"
)
UNSENT = msgspec.structs.replace(UNKNOWN, kind="y", sent=23.0, fate=Fate.UNSENT)


@pytest.mark.parametrize(
    ("checker", "forged", "at", "enough"),
    [
        (readable.check, [UNREAD], 24.0, 1.5),
        # Four heights in thirty seconds, less what lost leaders may take.
        (readable.check, [BEHIND], 24.0, 2.75),
        (known_fate.check, [UNKNOWN], 22.0, 1.5),
        (known_fate.check, [UNKNOWN, UNSENT], 22.0, 1.5),
        # Eight heights were sealed while a fault stood, and ten are asked for.
        (partial(progress_under_fault.check, wanted=10), [], 12.0, 0.5),
    ],
)
def test_what_did_not_come_while_this_machine_stood_still_accuses_nobody(
    checker: Checker, forged: list[Record], at: float, enough: float
) -> None:
    def outcome(*looks: MachineSeen) -> Outcome:
        return checker(with_machine(forged, *looks)).outcome

    assert outcome(seen(at, 0.0)) is Outcome.FAIL
    assert outcome(seen(at, enough - 0.05)) is Outcome.FAIL, "too short to be why"
    assert outcome(seen(at, enough)) is Outcome.INCONCLUSIVE
    assert outcome(seen(1.0, enough)) is Outcome.FAIL, "at another time"
    verdict = checker(with_machine(forged, seen(at, enough)))
    assert verdict.note.startswith(f"this machine was short of CPU ({enough:.2f} s late in all): ")


def test_what_no_stall_explains_is_blamed_beside_what_one_does() -> None:
    bystander = msgspec.structs.replace(UNREAD, node="op2", since=None)
    verdict = readable.check(with_machine([UNREAD, bystander], seen(24.0, 5.0)))
    assert [breach.summary for breach in verdict.violations] == ["op2 cannot be read: no answer"]
    silent = msgspec.structs.replace(UNKNOWN, fate=Fate.DROPPED)
    verdict = known_fate.check(with_machine([UNKNOWN, silent], seen(22.0, 5.0)))
    assert [breach.witness for breach in verdict.violations] == [(silent,)]


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("transaction in two heights", 12.1),
        ("transaction twice in a block", 12.1),
        ("state roots differ", 4.1),
        ("a node does not serve at the end", 20.0),
    ],
)
def test_what_is_read_at_the_end_breaks_when_it_could_be_seen(name: str, moment: float) -> None:
    checker, forgery = FORGED[name]
    draft = sound()
    draft.records += [*forgery, event(EventKind.IMPORTED, 12, 12.1)]
    (breach, *_) = CHECKERS[checker](draft.history()).violations
    assert breach.monotonic == moment


def test_too_little_progress_is_a_breach_when_the_faults_are_healed() -> None:
    (breach,) = progress_under_fault.check(sound().history(), wanted=10).violations
    assert breach.monotonic == SPLIT.healed


def test_a_short_stall_excuses_no_long_wait() -> None:
    assert recovery.check(with_machine(LATE_RECOVERY, seen(17.0, 0.35))).outcome is Outcome.FAIL


def test_a_stall_at_another_time_excuses_no_gap() -> None:
    long = msgspec.structs.replace(SPLIT, id="long", healed=40.0)
    limit = Duration(seconds=7)
    for at, outcome in ((20.0, Outcome.INCONCLUSIVE), (5.0, Outcome.FAIL)):
        assert gap.check(with_machine([long], seen(at, 5.0)), limit).outcome is outcome


def test_a_short_stall_excuses_no_long_standstill() -> None:
    """However little is missing in the end."""
    at_rest = msgspec.structs.replace(UNREAD, node="f1", since=100.0, monotonic=160.0, missing=3)
    told = history_of(SETUP, [at_rest, seen(130.0, 0.75)])
    assert readable.check(told).outcome is Outcome.FAIL
    held = msgspec.structs.replace(
        LEADER_KILL, requested=100.0, verified=100.2, revert_requested=160.0, healed=161.0
    )
    chain = [event(EventKind.SEALED, 1, 99.0), event(EventKind.SEALED, 2, 163.0)]
    for late, outcome in ((0.31, Outcome.FAIL), (12.0, Outcome.INCONCLUSIVE)):
        history = history_of(SETUP, [held, *chain, seen(130.0, late)])
        assert progress_under_fault.check(history, wanted=1).outcome is outcome


def test_a_stall_before_the_first_fault_excuses_nothing() -> None:
    assert recovery.check(with_machine(LATE_RECOVERY, seen(1.0, 9.0))).outcome is Outcome.FAIL


def test_no_stall_excuses_what_broke_safety() -> None:
    forged = FORGED["another root decided"][1]
    assert agreement.check(with_machine(forged, seen(4.4, 9.0))).outcome is Outcome.FAIL
    assert worst(checkers.check_all(with_machine(forged, seen(4.4, 9.0)))) is Outcome.FAIL


def test_a_forbidden_round_change_is_excused_by_the_stall_before_it_alone() -> None:
    promise = Expect(round_changes=RoundChanges.FORBIDDEN)
    looked = [event(EventKind.ROUND_CHANGE, 5, 5.05, root=None, round=1)]

    def outcome(*looks: MachineSeen) -> Outcome:
        history = with_machine(looked, *looks)
        kept = tuple(e for e in history.events if (e.kind, e.height) != ("round_change", 3))
        return rounds_as_promised.check(
            msgspec.structs.replace(history, events=kept), promise
        ).outcome

    assert outcome() is Outcome.FAIL
    assert outcome(seen(4.5, 0.8)) is Outcome.INCONCLUSIVE
    assert outcome(seen(9.5, 0.8)) is Outcome.FAIL


def later(fault: FaultReceipt, **changes: object) -> FaultReceipt:
    return msgspec.structs.replace(fault, id="later", **changes)


def test_each_fault_has_its_own_heights_at_which_a_round_may_change() -> None:
    """Those of the last one are not the only ones that are judged."""
    promise = Expect(round_changes=RoundChanges.FORBIDDEN, settle_in=Count(plain=1))
    second = later(LEADER_KILL, requested=7.5, height=8)

    def breaches(*heights: int) -> list[int | None]:
        changes = [event(EventKind.ROUND_CHANGE, h, h + 0.05, root=None, round=1) for h in heights]
        verdict = rounds_as_promised.check(with_machine([second, *changes]), promise)
        return [breach.height for breach in verdict.violations]

    assert breaches() == [], "at height 3 the first has just hit"
    assert breaches(4, 5, 6, 7) == [5, 6, 7]
    assert breaches(8, 9, 10) == [10]


AROUND = FaultReceipt(
    id="regions", kind="regions", targets=SETUP.operators, requested=0.1, applied=0.2, verified=0.3,
    revert_requested=15.3, reverted=15.4, healed=15.5, height=0, forever=True,
)  # fmt: skip


def test_what_stands_around_the_faults_is_none_of_what_a_scenario_promises_of_them() -> None:
    """Heights that come before and after the faults, or a round that changes then."""
    draft = sound()
    draft.records = [record for record in draft.records if record != SPLIT]
    draft.records += [AROUND, event(EventKind.ROUND_CHANGE, 1, 1.0, root=None, round=1)]
    history = draft.history()
    assert progress_under_fault.check(history, wanted=4).outcome is Outcome.PASS
    assert progress_under_fault.check(history, wanted=5).outcome is Outcome.FAIL
    promise = Expect(round_changes=RoundChanges.FORBIDDEN, settle_in=Count(plain=1))
    assert rounds_as_promised.check(history, promise).outcome is Outcome.PASS
    alone = msgspec.structs.replace(history, faults=(AROUND,))
    assert progress_under_fault.check(alone, wanted=10).outcome is Outcome.PASS


def test_a_disk_that_was_nearly_full_makes_the_run_inconclusive() -> None:
    verdict = sound_machine.check(with_machine([], seen(4.0, 0.0, free=2**20)))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "only 1 MiB of disk left" in verdict.note
    assert sound_machine.check(with_machine([], seen(4.0, 0.1))).outcome is Outcome.PASS
