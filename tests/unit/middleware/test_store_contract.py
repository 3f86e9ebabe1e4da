"""One contract, two machines: the simulator's disk and the real SQLite store, killed alike.

A campaign in virtual time proves something about the nodes only as far as its disk forgets what a
real one forgets, and nothing else. So both live the same lives here: records in the order in which
the cores write them, clean restarts, and power cuts before, during and after a write. After each
restart both must give back the same records and lead the cores to the same state.
"""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dst.qbft
import dst.qbft.records
import dst.sealing
import dst.sealing.records
from devnet.sim.chain import TERM, qbft_config, sealing_config
from devnet.sim.disk import Disk
from devnet.sim.store import SimStore
from dst.middleware.store import FILE_NAME, SqliteStore, Store, open_store, slot_of
from dst.qbft.messages import (
    Certificate,
    Commit,
    Prepare,
    Proposal,
    ProposalMessage,
    RoundChange,
    RoundChangeMessage,
    SignedCommit,
    SignedPrepare,
    SignedProposal,
    SignedRoundChange,
)
from dst.qbft.records import (
    CommitRecord,
    DecisionRecord,
    PrepareRecord,
    ProposalRecord,
    RoundChangeRecord,
)
from dst.qbft.restoring import decisions_above
from dst.sealing.messages import GroupSignature, PartialSignature
from dst.sealing.records import PartialRecord, SealRecord
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Round

LOCK: Final = b"\x11" * 32
ME: Final = OperatorIndex(0)
OPERATORS: Final = 4
BLOCK_BYTES: Final = 40_000
"""Ten pages, more than the cache below: a transaction spills into the files before its COMMIT."""
CACHE_PAGES: Final = 4

Record: TypeAlias = dst.qbft.records.Record | dst.sealing.records.Record


class Cut(StrEnum):
    """When the power goes, seen from one write."""

    NEVER = "never"
    BEFORE = "before"
    UNCOMMITTED = "uncommitted"
    """All statements ran; the COMMIT did not begin."""
    TORN = "torn"
    """The COMMIT wrote a part of its bytes; its fsync had not returned."""
    AFTER = "after"
    """The write returned: whatever depends on it may have been sent."""


SURVIVES: Final = (Cut.NEVER, Cut.AFTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restart finds, and what the cores make of it."""

    head: Height
    head_slot: int | None
    decisions: tuple[DecisionRecord, ...]
    promises: tuple[Record, ...]
    promised: tuple[bytes | None, ...]
    partials: tuple[Record, ...]
    seals: tuple[Record, ...]
    qbft: dst.qbft.State
    sealing: dst.sealing.State


class Machine(Protocol):
    """A node's durable memory, and the power switch."""

    def write(self, record: Record, cut: Cut, tear: float) -> None:
        """Write one record; unless `cut` is NEVER the power goes then, and the node restarts.

        tear: which share of the bytes a torn write got onto the disk.
        """
        ...

    def restart(self) -> None: ...
    def restored(self) -> Restored: ...


def restored_states(
    head: Height,
    unsealed: dict[Height, Root],
    promises: Sequence[dst.qbft.records.Record],
    sealing_log: Sequence[dst.sealing.records.Record],
) -> tuple[dst.qbft.State, dst.sealing.State]:
    """As both nodes restore their cores. Block roots stand for signing roots."""
    decided = dst.qbft.DecidedHead(height=head) if head else None
    qbft = dst.qbft.restore(qbft_config(OPERATORS, ME), decided, promises)
    sealing = dst.sealing.restore(sealing_config(OPERATORS, ME), head, unsealed, sealing_log)
    return qbft, sealing


# ------------------------------------------------------------------------ the two


class SimulatedMachine:
    """`devnet.sim.disk.Disk`, used as `devnet.sim.store` uses it."""

    def __init__(self) -> None:
        self._disk = Disk()

    def write(self, record: Record, cut: Cut, tear: float) -> None:
        if isinstance(record, PartialRecord | SealRecord):
            if cut in SURVIVES:
                self._disk.append_sealing(record)
        elif cut is not Cut.BEFORE:
            self._disk.append(record)
            if cut in SURVIVES:
                self._disk.sync()
        if cut is Cut.NEVER:
            self._deliver()
        else:
            self.restart()

    def restart(self) -> None:
        self._disk.crash()
        self._deliver()

    def _deliver(self) -> None:
        """A decision in the log is announced by the core, at once or at `Start`, and then filed."""
        for record in decisions_above(self._disk.head(), self._disk.records()):
            self._disk.file_decision(record)

    def restored(self) -> Restored:
        return found_in(SimStore(self._disk, self))

    is_full = False

    async def reach_disk(self) -> None:
        """Reading needs no disk that takes writes."""

    async def written(self, record: Record | None = None) -> None:
        """Nothing is written here."""


class RealMachine:
    """`SqliteStore` on files; a power cut is a copy of the files as they are at that moment."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._life = 0
        self._home().mkdir(parents=True)
        self._store = self._open(new=True)

    def _home(self) -> Path:
        return self._directory / f"life-{self._life}"

    def _open(self, *, new: bool) -> SqliteStore:
        store = open_store(self._home(), LOCK, new=new, rejoin=False)
        store._writer.execute(f"PRAGMA cache_size = {CACHE_PAGES}")
        return store

    def write(self, record: Record, cut: Cut, tear: float) -> None:
        earlier = self._files()
        at_commit: list[dict[str, bytes]] = []

        def watch(statement: str) -> None:
            if statement == "COMMIT":
                at_commit.append(self._files())

        self._store._writer.set_trace_callback(watch)
        asyncio.run(self._store.append((record,)))
        self._store._writer.set_trace_callback(None)
        later = self._files()
        assert len(at_commit) == 1, "an append is one transaction"
        match cut:
            case Cut.NEVER:
                return
            case Cut.BEFORE:
                self._continue_from(earlier)
            case Cut.UNCOMMITTED:
                self._continue_from(at_commit[0])
            case Cut.TORN:
                self._continue_from(torn(at_commit[0], later, tear))
            case Cut.AFTER:
                self._continue_from(later)

    def restart(self) -> None:
        self._store.close()
        self._store = self._open(new=False)

    def _files(self) -> dict[str, bytes]:
        """Database and write-ahead log. Not the shared memory, which is no file after a power
        cut.
        """
        names = (FILE_NAME, f"{FILE_NAME}-wal")
        return {name: (self._home() / name).read_bytes() for name in names}

    def _continue_from(self, files: dict[str, bytes]) -> None:
        self.close()
        self._life += 1
        self._home().mkdir()
        for name, data in files.items():
            (self._home() / name).write_bytes(data)
        self._store = self._open(new=False)

    def close(self) -> None:
        self._store.close()
        shutil.rmtree(self._home())

    def restored(self) -> Restored:
        return found_in(self._store)


def found_in(store: Store) -> Restored:
    """Everything that a middleware reads of its store."""
    found = store.decided_range(Height(1), 10_000, 10**9)
    decisions = tuple(DecisionRecord(each.certificate, each.block) for each in found)
    seals = (store.seal(each.certificate.height) for each in found)
    promises, partials = store.promises(), store.own_partials()
    head = store.decided_height()
    qbft, sealing = restored_states(head, store.unsealed(), promises, partials)
    entry = store.head_entry()
    for each in decisions:
        root, height = each.certificate.root, each.certificate.height
        by_root, by_slot = store.decided_by_root(root), store.entry_at_slot(slot_of(each.block))
        assert by_root is not None
        assert by_slot is not None
        assert (by_root.certificate.height, by_slot.height, by_slot.root) == (height, height, root)
    return Restored(
        head=head,
        head_slot=None if entry is None else entry.slot,
        decisions=decisions,
        promises=promises,
        promised=tuple(store.promised_block(root_at(height)) for height in range(1, 8)),
        partials=in_order(partials, PartialRecord),
        seals=tuple(SealRecord(seal) for seal in seals if seal is not None),
        qbft=qbft,
        sealing=sealing,
    )


def in_order(
    log: Sequence[dst.sealing.records.Record], kind: type[PartialRecord | SealRecord]
) -> tuple[Record, ...]:
    found = [record for record in log if isinstance(record, kind)]
    return tuple(sorted(found, key=lambda record: record.message.height))


def torn(before: dict[str, bytes], after: dict[str, bytes], tear: float) -> dict[str, bytes]:
    """The files when only a first part of what the COMMIT changed has reached the disk: at least
    its last byte has not.
    """
    name = f"{FILE_NAME}-wal"
    assert before[FILE_NAME] == after[FILE_NAME], "a COMMIT writes the log alone"
    old, new = before[name], after[name]
    changed = [i for i in range(len(new)) if old[i : i + 1] != new[i : i + 1]]
    cut = changed[min(int(tear * len(changed)), len(changed) - 1)]
    return {**before, name: new[:cut] + old[cut:]}


# ------------------------------------------------------------------------ records


def root_at(height: int) -> Root:
    return Root(height.to_bytes(32, "big"))


def block_at(height: int) -> bytes:
    """Encoded as far as the store looks: a BeaconBlock begins with its slot."""
    return (height * 2).to_bytes(8, "little") + bytes(BLOCK_BYTES)


def proposal_of(height: int, round_: int) -> ProposalMessage:
    payload = Proposal(TERM, Height(height), Round(round_), root_at(height))
    return ProposalMessage(SignedProposal(payload, ME, bytes(64)), block_at(height))


def prepare_of(height: int, round_: int) -> SignedPrepare:
    payload = Prepare(TERM, Height(height), Round(round_), root_at(height))
    return SignedPrepare(payload, ME, bytes(64))


def proposal(height: int, round_: int) -> Record:
    return ProposalRecord(proposal_of(height, round_))


def prepare(height: int, round_: int) -> Record:
    return PrepareRecord(proposal_of(height, round_), prepare_of(height, round_))


def commit(height: int, round_: int) -> Record:
    payload = Commit(TERM, Height(height), Round(round_), root_at(height))
    return CommitRecord((prepare_of(height, round_),), SignedCommit(payload, ME, bytes(64)))


def round_change(height: int, round_: int) -> Record:
    payload = RoundChange(TERM, Height(height), Round(round_ + 1), None, None)
    return RoundChangeRecord(RoundChangeMessage(SignedRoundChange(payload, ME, bytes(64))))


def decision(height: int) -> Record:
    certificate = Certificate(TERM, Height(height), Round(0), root_at(height), ())
    return DecisionRecord(certificate, block_at(height))


def partial(height: int) -> Record:
    signature = BLSSignature(bytes(96))
    return PartialRecord(PartialSignature(TERM, Height(height), root_at(height), ME, signature))


def seal(height: int) -> Record:
    signature = BLSSignature(bytes([height]) * 96)
    return SealRecord(GroupSignature(TERM, Height(height), root_at(height), signature))


PROMISES: Final[tuple[Callable[[int, int], Record], ...]] = (
    proposal,
    prepare,
    commit,
    round_change,
)


# ------------------------------------------------------------------------ the contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    record: Record
    cut: Cut = Cut.NEVER
    tear: float = 0.5


def live(steps: Sequence[Step | None], directory: Path) -> Restored:
    """Both machines through the same life, compared at each step; None is a clean restart."""
    simulated, real = SimulatedMachine(), RealMachine(directory)
    machines: tuple[Machine, ...] = (simulated, real)
    try:
        for step in steps:
            for machine in machines:
                if step is None:
                    machine.restart()
                else:
                    machine.write(step.record, step.cut, step.tear)
            assert simulated.restored() == real.restored()
        return real.restored()
    finally:
        real.close()


HEIGHT_1: Final = (
    proposal(1, 0),
    prepare(1, 0),
    commit(1, 0),
    round_change(1, 0),
    decision(1),
    partial(1),
    seal(1),
)


@pytest.mark.parametrize("cut", list(Cut))
@pytest.mark.parametrize("position", range(len(HEIGHT_1)))
def test_each_record_at_each_crash_point(position: int, cut: Cut, tmp_path: Path) -> None:
    earlier = [Step(record=record) for record in HEIGHT_1[:position]]
    # Nothing kept means: exactly what was there before the write.
    before = live([*earlier, None], tmp_path / "before")
    after = live([*earlier, Step(record=HEIGHT_1[position]), None], tmp_path / "after")
    assert before != after
    found = live([*earlier, Step(record=HEIGHT_1[position], cut=cut)], tmp_path / "cut")
    assert found == (after if cut in SURVIVES else before)


@pytest.mark.parametrize("tear", [0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0])
def test_a_torn_write_is_no_write_wherever_it_tears(tear: float, tmp_path: Path) -> None:
    steps = [Step(record=prepare(1, 0)), Step(record=commit(1, 0), cut=Cut.TORN, tear=tear)]
    assert live(steps, tmp_path).promises == (prepare(1, 0),)


def test_a_lost_record_can_be_written_again(tmp_path: Path) -> None:
    steps: list[Step | None] = []
    for record in HEIGHT_1:
        lost = (Cut.BEFORE, Cut.UNCOMMITTED, Cut.TORN)
        steps += [Step(record=record, cut=cut) for cut in lost]
        steps += [Step(record=record), None]
    found = live(steps, tmp_path)
    assert (found.head, found.promises, found.partials) == (1, (), ())
    assert found.seals == (seal(1),)


def test_uncommitted_records_are_in_the_files_already(tmp_path: Path) -> None:
    """Else the crash points between BEGIN and COMMIT would try nothing."""
    machine = RealMachine(tmp_path)
    sizes: list[int] = []
    machine._store._writer.set_trace_callback(
        lambda statement: sizes.append(len(machine._files()[f"{FILE_NAME}-wal"]))
    )
    asyncio.run(machine._store.append((prepare(1, 0),)))
    assert sizes[-1] > sizes[0]
    machine.close()


def test_a_commit_is_synchronous(tmp_path: Path) -> None:
    """What the copies cannot show: `AFTER` holds for a real power cut because COMMIT fsyncs."""
    machine = RealMachine(tmp_path)
    ask = machine._store._writer.execute
    assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ask("PRAGMA synchronous").fetchone() == (2,)  # FULL
    machine.close()


@st.composite
def lives(draw: st.DrawFn) -> list[Step | None]:
    """What an honest node writes, in an order that the cores allow, with power cuts anywhere.

    A record that was lost is not taken for written: the next one fits what the disk holds.
    """
    steps: list[Step | None] = []
    head, signed, sealed = 0, set[int](), set[int]()
    for _ in range(draw(st.integers(min_value=1, max_value=14))):
        unsigned = [h for h in range(1, head + 1) if h not in signed | sealed]
        unsealed = [h for h in range(1, head + 1) if h not in sealed]
        kinds = ["promise", "promise", "decision", "restart"]
        kinds += ["partial"] * bool(unsigned) + ["seal"] * bool(unsealed)
        kind = draw(st.sampled_from(kinds))
        if kind == "restart":
            steps.append(None)
            continue
        cut = draw(st.sampled_from(Cut))
        match kind:
            case "promise":
                make = draw(st.sampled_from(PROMISES))
                record = make(head + 1, draw(st.integers(min_value=0, max_value=2)))
            case "decision":
                record = decision(head + 1)
                head += cut in SURVIVES
            case "partial":
                height = draw(st.sampled_from(unsigned))
                record = partial(height)
                signed |= {height} if cut in SURVIVES else set()
            case _:
                height = draw(st.sampled_from(unsealed))
                record = seal(height)
                sealed |= {height} if cut in SURVIVES else set()
        tear = draw(st.floats(min_value=0, max_value=1))
        steps.append(Step(record=record, cut=cut, tear=tear))
    return steps


@settings(max_examples=40, deadline=None)
@given(steps=lives())
def test_any_life_leaves_both_with_the_same_memory(
    steps: list[Step | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("life")
    live([*steps, None], directory)
    shutil.rmtree(directory)


def test_the_contract_notices_a_disk_that_keeps_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong fake: it survives a power cut with what it never synced."""
    monkeypatch.setattr(Disk, "crash", lambda self: None)
    with pytest.raises(AssertionError):
        live([Step(record=prepare(1, 0), cut=Cut.UNCOMMITTED)], tmp_path)


def test_the_contract_notices_a_disk_that_keeps_too_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another: its sync does nothing."""
    monkeypatch.setattr(Disk, "sync", lambda self: None)
    with pytest.raises(AssertionError):
        live([Step(record=prepare(1, 0), cut=Cut.AFTER)], tmp_path)
