"""The recorded history of one run: what was observed, in the observers' words, nothing derived.

Every checker reads this, whether the run happened in containers, in processes or in virtual time.
Times named `monotonic` are seconds of CLOCK_MONOTONIC, which all processes and containers of one
machine share (the simulator's virtual seconds otherwise), so records of different processes
compare. Roots and hashes are `0x` hex in lower case, as they came over the wire; nodes are named
`op1..opn` and `f1..`, and operator `opi` has position i - 1 in the leader rule. One JSON line each.
"""

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from devnet.model.cluster import ClusterKind

RECORD_VERSION: Final = 2
"""Of the format of records. 1 knew neither `WaitedInVain` nor `RunEnded`, and did not say so."""


class Genesis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What signatures are checked with and bounds follow from, from the genesis files: no node is
    believed about these."""

    group_public_key: str
    seal_domain: str
    """Of block signatures, 32 bytes."""
    validators_root: str
    """Identity of the chain; part of every vote."""
    identities: tuple[str, ...]
    """Operators' keys, in their order."""
    batch_interval: int
    """Heights between two batches."""
    l1_block_seconds: float


class Setup(msgspec.Struct, frozen=True, kw_only=True, tag="setup", forbid_unknown_fields=True):
    """Facts of the network under test; the first record of a history."""

    operators: tuple[str, ...]
    followers: tuple[str, ...] = ()
    slot_seconds: float
    chain_id: int = 0
    scenario: str = ""
    seed: int = 0
    genesis: Genesis | None = None
    """None in the simulator, whose signatures are ideal."""
    cluster: ClusterKind = ClusterKind.DST
    product: str = ""
    """Digest of what is tested."""
    load: float = 0.0
    """Transactions a second that were asked for; 0: none were, or that was not recorded."""
    backend: str = ""
    """Name of what runs the programs; empty: that was not recorded."""
    version: int = RECORD_VERSION


class EventKind(StrEnum):
    """Kinds on `/dst/v1/events`."""

    PROPOSAL = "proposal"
    PREPARED = "prepared"
    DECIDED = "decided"
    SIGNED = "signed"
    SEALED = "sealed"
    IMPORTED = "imported"
    ROUND_CHANGE = "round_change"
    EVIDENCE = "evidence"
    REFUSED = "refused"
    RESET = "reset"
    RESET_ENDED = "reset_ended"


class Event(msgspec.Struct, frozen=True, kw_only=True, tag="event", forbid_unknown_fields=True):
    """One event of a node's stream, stamped by the process where it happened."""

    kind: EventKind
    node: str
    height: int
    round: int | None = None
    term: int = 0
    root: str | None = None
    slot: int | None = None
    monotonic: float
    wall: float
    detail: dict[str, str | int | float | bool | None] = {}
    """Extras of the kind, as sent."""


class VoteSeen(msgspec.Struct, frozen=True, kw_only=True, tag="vote", forbid_unknown_fields=True):
    """A consensus vote that left a node (passive tap: the simulator, or a transport with a tap)."""

    node: str
    step: str
    """`proposal`, `prepare` or `commit`."""
    term: int
    height: int
    round: int
    root: str
    monotonic: float


class GroupSignatureSeen(
    msgspec.Struct, frozen=True, kw_only=True, tag="group_signature", forbid_unknown_fields=True
):
    """A group signature that verified under the genesis key, wherever it was found."""

    height: int
    root: str
    signature: str
    source: str
    """`op1.beacon`, `f1.beacon`, `l1.inbox`, ..."""
    term: int = 0
    monotonic: float = 0.0
    block_hash: str = ""
    """Of the execution block in it."""
    l1_origin: int | None = None
    """Number of the L1 block that it names."""


class SealRefused(
    msgspec.Struct, frozen=True, kw_only=True, tag="seal_refused", forbid_unknown_fields=True
):
    """What a node served as the group's signature of a block, and does not verify."""

    node: str
    height: int
    root: str
    signature: str
    monotonic: float


class CommitRead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One vote of a certificate."""

    operator: int
    """Its number, from 0, as it stands there."""
    term: int
    height: int
    round: int
    root: str
    signature: str


class CertificateRead(
    msgspec.Struct, frozen=True, kw_only=True, tag="certificate", forbid_unknown_fields=True
):
    """By what one operator's node has a height decided, as it served it at the end of the run."""

    node: str
    term: int
    height: int
    round: int
    root: str
    commits: tuple[CommitRead, ...]
    monotonic: float


class SafeHeadSeen(
    msgspec.Struct, frozen=True, kw_only=True, tag="safe_head", forbid_unknown_fields=True
):
    """A node's safe head when it had moved: up to there it has found its chain on L1."""

    node: str
    height: int
    monotonic: float


class DerivedBlock(
    msgspec.Struct, frozen=True, kw_only=True, tag="derived", forbid_unknown_fields=True
):
    """A block as the harness derives it from L1 alone at the end of the run."""

    height: int
    root: str
    parent_root: str
    block_hash: str
    l1_block: int
    """Number of the L1 block that holds it."""
    monotonic: float
    """Before L1's head was asked for: what was there then has been read."""


class BlockRead(msgspec.Struct, frozen=True, kw_only=True, tag="block", forbid_unknown_fields=True):
    """A block as one node served it at the end of the run."""

    node: str
    height: int
    block_hash: str
    parent_hash: str
    state_root: str
    transactions: tuple[str, ...]
    """Transaction hashes in block order."""
    root: str | None = None
    """Beacon block root, when the reader asked for it."""
    timestamp: int | None = None
    """Unix seconds."""


class Answer(StrEnum):
    """How a submission ended for the client (Jepsen's ok, fail, info)."""

    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """Timed out or cut off: it may have happened, for ever."""


class TransactionSubmitted(
    msgspec.Struct, frozen=True, kw_only=True, tag="transaction", forbid_unknown_fields=True
):
    via: str
    """Node whose JSON-RPC took it."""
    hash: str
    sent: float
    """Monotonic seconds."""
    answered: float | None
    """Monotonic seconds; None when no answer came."""
    answer: Answer
    sender: str = ""
    nonce: int | None = None


class Fate(StrEnum):
    """What became of a transaction, as far as its sender could learn."""

    INCLUDED = "included"
    REFUSED = "refused"
    """The node said no, with a reason, when it was sent."""
    DROPPED = "dropped"
    """Taken, given up later, and `dst_transactionStatus` says why."""
    UNKNOWN = "unknown"
    """A hash, and then nothing."""
    UNSENT = "unsent"
    """The run's time was over before its turn came."""


class HostileFate(
    msgspec.Struct, frozen=True, kw_only=True, tag="hostile", forbid_unknown_fields=True
):
    """One hostile transaction and what its sender could learn of it. Recorded when that is known,
    or given up."""

    kind: str
    """Its name in the catalogue."""
    via: str = ""
    """Node that was asked."""
    hash: str = ""
    gas: int
    sent: float
    """Monotonic seconds."""
    settled: float
    """Monotonic seconds: when the fate was known, or the sender's patience over."""
    fate: Fate
    reason: str = ""
    """The node's words."""
    height: int | None = None
    gas_used: int | None = None
    succeeded: bool | None = None


class ReceiptSeen(
    msgspec.Struct, frozen=True, kw_only=True, tag="receipt", forbid_unknown_fields=True
):
    """A transaction receipt as one node served it at one moment."""

    transaction: str
    block_hash: str
    height: int
    index: int
    node: str
    monotonic: float


class NoReceipt(
    msgspec.Struct, frozen=True, kw_only=True, tag="no_receipt", forbid_unknown_fields=True
):
    """A node that was asked for a receipt at the end of the run, and said that it has none."""

    transaction: str
    node: str
    monotonic: float


class ObjectWrite(
    msgspec.Struct, frozen=True, kw_only=True, tag="write", forbid_unknown_fields=True
):
    """A write to the register or the bank, when it was signed: `workload.objects`."""

    transaction: str
    arguments: tuple[int, ...]
    """() creates both, (value) sets the register, (from, to, amount) moves coins."""
    monotonic: float


class ObjectRead(msgspec.Struct, frozen=True, kw_only=True, tag="read", forbid_unknown_fields=True):
    """Register and bank as one node served them."""

    node: str
    asked: float
    """Monotonic seconds."""
    monotonic: float
    """When the answer was there."""
    height: int
    """Of the block that it was read at, as the contract saw it; 0 when there is no contract."""
    register: int
    balances: tuple[int, ...]


class FaultReceipt(
    msgspec.Struct, frozen=True, kw_only=True, tag="fault", forbid_unknown_fields=True
):
    """What a fault did, and when that was proven. None means: has not happened (yet).

    The network is in the faulty state for certain from `verified` to `revert_requested`, and
    healthy for certain from `healed` on; in between it may be either. Recorded again whenever a
    field becomes known: the last record of an `id` counts.
    """

    id: str
    kind: str
    """`kill`, `freeze`, `partition`, `latency`, ...: a name of `devnet.faults`."""
    where: str = ""
    """What was hit, in words: `op3`, `op1+op2 | op3+op4`."""
    targets: tuple[str, ...]
    """Operators or followers it disturbs; these no longer count as having stayed up."""
    silenced: tuple[str, ...] = ()
    """Of these, who could take no part, and has something to catch up with afterwards."""
    lying: tuple[str, ...] = ()
    """Operators whose word counts for nothing from `requested` to `healed`, although they take
    part; they have something to catch up with afterwards, too."""
    forgetting: tuple[str, ...] = ()
    """Nodes whose chain may go back: what they kept of it is gone or older from `requested` on."""
    requested: float
    applied: float | None = None
    verified: float | None = None
    """A positive probe saw the fault hold."""
    revert_requested: float | None = None
    reverted: float | None = None
    healed: float | None = None
    """A positive probe saw the network whole again, and others in a row after it."""
    whole_looks: int = 0
    """How many in a row, with that one."""
    components: tuple[tuple[str, ...], ...] = ()
    """Live operators by connected component while it holds; empty: connectivity untouched."""
    cut: tuple[str, ...] = ()
    """Links over which nothing passes while it holds."""
    hits_leader: bool = False
    """Aimed at the leader of round 0 of `aimed_height`."""
    aimed_height: int | None = None
    """The next height when it was aimed; the fault may fall a little before or after its start."""
    height: int | None = None
    round: int | None = None
    phase: str = ""
    """Where consensus stood when it was applied: `idle`, `proposal`, `prepared`, `decided`."""
    witness: str = ""
    """By whose word the last look went, in words with figures: those who felt it, or who alone says
    so. Empty: as the documentation says of its kind."""
    looks: int = 0
    """How often it was seen to stand, after the look that verified it."""
    repeats: bool = False
    """Whether it goes on and off while it stands."""
    forever: bool = False
    """It was to stand around all faults that have an end."""
    cycles: int = 0
    """Of a fault that goes on and off: how often it was seen to."""
    lapsed: float | None = None
    """When it was first seen not to stand any more, although nobody had taken it back."""
    error: str = ""
    """Why it could not be applied, verified or reverted, or what was seen when it had lapsed."""
    restarted: tuple[str, ...] = ()
    """Who is stopped and started again at its beginning and at its end, and takes part in
    between."""
    unreturned: tuple[str, ...] = ()
    """Who did not come back from it in the time that it has: once it was taken back, or while it
    stands, where it stops nodes and starts them again."""
    unmoved: tuple[str, ...] = ()
    """Who had to notice it, so that it would be proven, and went on as if nothing had been."""
    given_up: float | None = None
    """When these, either of them, were last waited for."""

    @property
    def returning(self) -> tuple[str, ...]:
        """Who catches up, and votes again, after the heal."""
        return (*self.silenced, *self.lying, *self.restarted)


class ProgramEnded(
    msgspec.Struct, frozen=True, kw_only=True, tag="ended", forbid_unknown_fields=True
):
    """A program that ended although nobody asked for it."""

    program: str
    detail: str
    """Exit code or signal, as far as known."""
    monotonic: float
    """When its end was seen: by the backend, which waits for it."""


class ProgramRanOn(
    msgspec.Struct, frozen=True, kw_only=True, tag="ran_on", forbid_unknown_fields=True
):
    """A role that SIGTERM did not end in the time that it has."""

    program: str
    seconds: float
    """That it was waited for."""
    monotonic: float


class ExceptionLogged(
    msgspec.Struct, frozen=True, kw_only=True, tag="exception", forbid_unknown_fields=True
):
    """An exception that a role did not handle: a traceback in its log."""

    program: str
    told: str
    """The line before the traceback, and its last one."""
    monotonic: float
    """When it was read, a second after it was written at most."""

    @property
    def node(self) -> str:
        return self.program.partition(".")[0]


class NodeUnread(
    msgspec.Struct, frozen=True, kw_only=True, tag="unread", forbid_unknown_fields=True
):
    """A node that did not serve its end state."""

    node: str
    why: str
    monotonic: float
    """When it was given up."""
    since: float | None = None
    """From when on it was waited for; None: that was not recorded."""
    missing: int = 0
    """Heights that it was short of, if it was that."""


class MachineSeen(
    msgspec.Struct, frozen=True, kw_only=True, tag="machine", forbid_unknown_fields=True
):
    """How the machine under the network was at one moment; None where it cannot be told."""

    monotonic: float
    late: float
    """Seconds by which a timer of the harness came late."""
    steal: float | None
    """Share of CPU time since the last look that a hypervisor gave to others."""
    pressure: float | None
    """Percent of the last ten seconds in which somebody waited for a CPU."""
    free_bytes: int | None
    """On the disk that the run writes to."""
    busy: float | None = None
    """Share of all CPU time since the last look that was not idle: the network, the harness, and
    whatever else runs here."""


class CpuSeen(msgspec.Struct, frozen=True, kw_only=True, tag="cpu", forbid_unknown_fields=True):
    """CPU time that everything which sequences has used since the record began: all programs of all
    operators (and the etcd of stand-bys), without the Toxiproxies, which are the harness's."""

    monotonic: float
    seconds: float


class WaitedInVain(
    msgspec.Struct, frozen=True, kw_only=True, tag="waited", forbid_unknown_fields=True
):
    """The run waited for the chain, and what it waited for did not come."""

    what: str
    """`height 12, for which kill waits`."""
    nodes: tuple[str, ...] = ()
    """Who did not get there; empty: nobody was asked in particular."""
    since: float
    """Monotonic seconds, as the next."""
    monotonic: float


class RunEnded(
    msgspec.Struct, frozen=True, kw_only=True, tag="run_ended", forbid_unknown_fields=True
):
    """The last record of a run that came to its end: without it, or `RunBroken`, it was cut
    off."""

    monotonic: float
    first: int | None = None
    """The lowest height that every node has to serve, None: that was not recorded."""
    last: int | None = None
    """The highest one."""


class RunBroken(
    msgspec.Struct, frozen=True, kw_only=True, tag="broken", forbid_unknown_fields=True
):
    """The harness could not carry the run out."""

    why: str
    monotonic: float


Record: TypeAlias = (
    Setup
    | Event
    | VoteSeen
    | GroupSignatureSeen
    | BlockRead
    | TransactionSubmitted
    | HostileFate
    | ReceiptSeen
    | NoReceipt
    | ObjectWrite
    | ObjectRead
    | FaultReceipt
    | ProgramEnded
    | ProgramRanOn
    | ExceptionLogged
    | NodeUnread
    | RunBroken
    | RunEnded
    | WaitedInVain
    | MachineSeen
    | SealRefused
    | CertificateRead
    | SafeHeadSeen
    | DerivedBlock
    | CpuSeen
)


class History(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All records of a run, by type. Built once at the end; `history.jsonl` is its stream form."""

    setup: Setup
    events: tuple[Event, ...] = ()
    votes: tuple[VoteSeen, ...] = ()
    group_signatures: tuple[GroupSignatureSeen, ...] = ()
    blocks: tuple[BlockRead, ...] = ()
    transactions: tuple[TransactionSubmitted, ...] = ()
    hostile: tuple[HostileFate, ...] = ()
    receipts: tuple[ReceiptSeen, ...] = ()
    no_receipts: tuple[NoReceipt, ...] = ()
    object_writes: tuple[ObjectWrite, ...] = ()
    object_reads: tuple[ObjectRead, ...] = ()
    faults: tuple[FaultReceipt, ...] = ()
    ended: tuple[ProgramEnded, ...] = ()
    ran_on: tuple[ProgramRanOn, ...] = ()
    exceptions: tuple[ExceptionLogged, ...] = ()
    unread: tuple[NodeUnread, ...] = ()
    broken: tuple[RunBroken, ...] = ()
    run_ended: tuple[RunEnded, ...] = ()
    waited: tuple[WaitedInVain, ...] = ()
    machine: tuple[MachineSeen, ...] = ()
    seals_refused: tuple[SealRefused, ...] = ()
    certificates: tuple[CertificateRead, ...] = ()
    safe_heads: tuple[SafeHeadSeen, ...] = ()
    derived: tuple[DerivedBlock, ...] = ()
    cpu: tuple[CpuSeen, ...] = ()


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final[msgspec.json.Decoder[Record]] = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """One line of `history.jsonl`, without the newline."""
    return _ENCODER.encode(record)


def decode_record(line: bytes) -> Record:
    """Raises: msgspec.ValidationError on a line that is no record."""
    return _DECODER.decode(line)


def record_time(record: Record) -> float:
    """The moment a record became known, in monotonic seconds; end-of-run readings sort last."""
    match record:
        case Setup():
            return float("-inf")
        case BlockRead():
            return float("inf")
        case TransactionSubmitted():
            return record.sent if record.answered is None else record.answered
        case HostileFate():
            return record.settled
        case FaultReceipt():
            known = (record.requested, record.applied, record.verified, record.lapsed)
            later = (record.revert_requested, record.reverted, record.healed)
            return max(moment for moment in (*known, *later) if moment is not None)
        case _:
            return record.monotonic


def history_of(setup: Setup, records: list[Record]) -> History:
    """Group a stream of records by type, in order of time; of a fault, the last record counts."""
    ordered = sorted(records, key=record_time)
    latest = {item.id: item for item in ordered if isinstance(item, FaultReceipt)}
    return History(
        setup=setup,
        events=tuple(item for item in ordered if isinstance(item, Event)),
        votes=tuple(item for item in ordered if isinstance(item, VoteSeen)),
        group_signatures=tuple(item for item in ordered if isinstance(item, GroupSignatureSeen)),
        blocks=tuple(item for item in ordered if isinstance(item, BlockRead)),
        transactions=tuple(item for item in ordered if isinstance(item, TransactionSubmitted)),
        hostile=tuple(item for item in ordered if isinstance(item, HostileFate)),
        receipts=tuple(item for item in ordered if isinstance(item, ReceiptSeen)),
        no_receipts=tuple(item for item in ordered if isinstance(item, NoReceipt)),
        object_writes=tuple(item for item in ordered if isinstance(item, ObjectWrite)),
        object_reads=tuple(item for item in ordered if isinstance(item, ObjectRead)),
        faults=tuple(latest.values()),
        ended=tuple(item for item in ordered if isinstance(item, ProgramEnded)),
        ran_on=tuple(item for item in ordered if isinstance(item, ProgramRanOn)),
        exceptions=tuple(item for item in ordered if isinstance(item, ExceptionLogged)),
        unread=tuple(item for item in ordered if isinstance(item, NodeUnread)),
        broken=tuple(item for item in ordered if isinstance(item, RunBroken)),
        run_ended=tuple(item for item in ordered if isinstance(item, RunEnded)),
        waited=tuple(item for item in ordered if isinstance(item, WaitedInVain)),
        machine=tuple(item for item in ordered if isinstance(item, MachineSeen)),
        seals_refused=tuple(item for item in ordered if isinstance(item, SealRefused)),
        certificates=tuple(item for item in ordered if isinstance(item, CertificateRead)),
        safe_heads=tuple(item for item in ordered if isinstance(item, SafeHeadSeen)),
        derived=tuple(item for item in ordered if isinstance(item, DerivedBlock)),
        cpu=tuple(item for item in ordered if isinstance(item, CpuSeen)),
    )


def records_of(history: History) -> list[Record]:
    """The history as a stream in order of time, as a live checker would have been fed."""
    groups: tuple[tuple[Record, ...], ...] = (
        history.events,
        history.votes,
        history.group_signatures,
        history.blocks,
        history.transactions,
        history.hostile,
        history.receipts,
        history.no_receipts,
        history.object_writes,
        history.object_reads,
        history.faults,
        history.ended,
        history.ran_on,
        history.exceptions,
        history.unread,
        history.broken,
        history.run_ended,
        history.waited,
        history.machine,
        history.seals_refused,
        history.certificates,
        history.safe_heads,
        history.derived,
        history.cpu,
    )
    return [history.setup, *sorted((item for group in groups for item in group), key=record_time)]
