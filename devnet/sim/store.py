"""`dst.middleware.store.Store` on a simulated disk: the machine may die before, during and after
each write, stand still in it, and be full.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from devnet.sim.disk import Disk
from dst.apis.dst_v1 import DecidedBlock
from dst.middleware.store import DecidedEntry, Evidence, Halt, Record, Rejoin, slot_of
from dst.qbft import records as qbft_records
from dst.qbft.records import DecisionRecord
from dst.sealing import records as sealing_records
from dst.sealing.messages import GroupSignature
from dst.sealing.records import PartialRecord, SealRecord
from dst.spec.primitives import BLSSignature, Height, Root, Slot


class Machine(Protocol):
    """What a write depends on."""

    @property
    def is_full(self) -> bool:
        """Of the disk: what is written waits."""

    async def reach_disk(self) -> None:
        """Returns when the disk takes the write; never, when the machine dies first."""

    async def written(self, record: Record | None = None) -> None:
        """The write is durable; never returns when the machine dies just now."""


class SimStore:
    """One life's view of a disk that outlives it."""

    def __init__(self, disk: Disk, machine: Machine) -> None:
        self._disk, self._machine = disk, machine

    # ------------------------------------------------------------------- writing

    async def append(self, records: Sequence[Record]) -> None:
        await self._machine.reach_disk()
        for record in records:
            self._append(record)
        self._disk.sync()
        for record in records:
            await self._machine.written(record)

    def _append(self, record: Record) -> None:
        match record:
            case DecisionRecord():
                self._disk.file_decision(record)
            case PartialRecord() | SealRecord():
                self._disk.append_sealing(record)
            case _:
                self._disk.append(record)

    async def note_evidence(self, evidence: Evidence) -> None:
        await self._set(lambda: self._disk.evidence.append(evidence))

    async def set_halt(self, halt: Halt | None) -> None:
        await self._set(lambda: setattr(self._disk, "halt", halt))

    async def set_rejoin(self, rejoin: Rejoin) -> None:
        await self._set(lambda: setattr(self._disk, "rejoin", rejoin))

    async def set_began(self) -> None:
        await self._set(lambda: setattr(self._disk, "is_new", False))

    async def finish_rejoin(self, sign_above: Slot) -> None:
        await self._set(lambda: self._disk.finish_rejoin(sign_above))

    async def _set(self, write: Callable[[], object]) -> None:
        await self._machine.reach_disk()
        write()
        await self._machine.written()

    # ------------------------------------------------------------------- reading

    def promises(self) -> tuple[qbft_records.Record, ...]:
        return tuple(self._disk.records())

    def promised_block(self, root: Root) -> bytes | None:
        return self._disk.promised_block(root)

    def own_partials(self) -> tuple[sealing_records.PartialRecord, ...]:
        partials = (
            each for each in self._disk.sealing_records() if isinstance(each, PartialRecord)
        )
        return tuple(sorted(partials, key=lambda each: each.message.height))

    def decided_height(self) -> Height:
        return self._disk.head()

    def decided(self, height: Height) -> DecidedBlock | None:
        record = self._disk.decisions.get(height)
        return None if record is None else DecidedBlock(record.certificate, record.block)

    def decided_range(self, first: Height, count: int, max_bytes: int) -> tuple[DecidedBlock, ...]:
        run: list[DecidedBlock] = []
        size = 0
        for height in range(first, first + count):
            found = self.decided(Height(height))
            if found is None:
                break
            size += len(found.block) + 200
            if run and size > max_bytes:
                break
            run.append(found)
        return tuple(run)

    def decided_by_root(self, root: Root) -> DecidedBlock | None:
        height = self._disk.height_of.get(root)
        return None if height is None else self.decided(height)

    def entry_at_slot(self, slot: Slot) -> DecidedEntry | None:
        height = self._disk.height_at_slot.get(slot)
        return None if height is None else self._entry(height)

    def head_entry(self) -> DecidedEntry | None:
        return self._entry(self._disk.head())

    def _entry(self, height: Height) -> DecidedEntry | None:
        found = self.decided(height)
        if found is None:
            return None
        root, slot = found.certificate.root, slot_of(found.block)
        return DecidedEntry(height=height, slot=slot, root=root, decided=found)

    def unsealed(self) -> dict[Height, Root]:
        return self._disk.unsealed()

    def seal(self, height: Height) -> GroupSignature | None:
        record = self._disk.seal_of(height)
        return None if record is None else record.message

    def group_signature(self, height: Height) -> BLSSignature | None:
        seal = self.seal(height)
        return None if seal is None else seal.signature

    def halt(self) -> Halt | None:
        return self._disk.halt

    def rejoin(self) -> Rejoin | None:
        return self._disk.rejoin

    def sign_above(self) -> Slot:
        return self._disk.sign_above

    def is_new(self) -> bool:
        return self._disk.is_new

    def waits_for(self) -> str | None:
        return "room on the disk" if self._machine.is_full else None

    def close(self) -> None:
        """A disk needs no closing."""
