"""One operator's durable stores with crash semantics: what was not synced may be gone.

Records are kept encoded, so that a restart reads what a new release would have to read. The
consensus log is cut when a decision is filed; decisions and seals are kept and served.
"""

import sqlite3
from typing import Final

import msgspec

import dst.qbft.records
import dst.sealing.records
from dst.middleware.store import Evidence, Halt, Rejoin, slot_of
from dst.qbft.records import DecisionRecord, PrepareRecord, ProposalRecord
from dst.sealing.records import PartialRecord, SealRecord
from dst.spec.primitives import Height, Root, Slot

_QBFT: Final[msgspec.msgpack.Decoder[dst.qbft.records.Record]] = msgspec.msgpack.Decoder(
    dst.qbft.records.Record
)
_SEALING: Final[msgspec.msgpack.Decoder[dst.sealing.records.Record]] = msgspec.msgpack.Decoder(
    dst.sealing.records.Record
)
_ENCODER: Final = msgspec.msgpack.Encoder()


class Disk:
    """`log` and `sealing` are append-only files; `decisions` is the store that serves laggards.

    signed: the validator's slashing protection, slot -> root; synced before a signature leaves.
    """

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.sealing: dict[int, bytes] = {}
        self.seals: dict[Height, bytes] = {}
        self.decisions: dict[Height, DecisionRecord] = {}
        self.promised: dict[Root, tuple[Height, bytes]] = {}
        self.signed: dict[Slot, Root] = {}
        self.height_of: dict[Root, Height] = {}
        self.height_at_slot: dict[Slot, Height] = {}
        self.evidence: list[Evidence] = []
        self.halt: Halt | None = None
        self.rejoin: Rejoin | None = None
        self.is_new = False
        self.sign_above = Slot(0)
        self._synced = 0

    def append(self, record: dst.qbft.records.Record) -> None:
        """Written, not yet durable."""
        self.log.append(_ENCODER.encode(record))

    def sync(self) -> None:
        """Durable now."""
        written = self.log[self._synced :]
        for line in written:
            self._overtake(_QBFT.decode(line))
        self._synced = len(self.log)

    def _overtake(self, record: dst.qbft.records.Record) -> None:
        """Blocks lie beside the log; what a later round overtook gives way, but for the lock."""
        if isinstance(record, DecisionRecord):
            return
        if isinstance(record, ProposalRecord | PrepareRecord):
            message = record.message if isinstance(record, ProposalRecord) else record.proposal
            self.promised[message.signed.payload.root] = (
                message.signed.payload.height,
                message.block,
            )
        height, round_ = _instance_of(record)
        known = [(line, _QBFT.decode(line)) for line in self.log]
        locks = (each for _, each in known if isinstance(each, dst.qbft.records.CommitRecord))
        locked = [place[1] for each in locks if (place := _instance_of(each))[0] == height]
        kept_round = max(locked, default=-1)
        self.log = [
            line
            for line, each in known
            if isinstance(each, DecisionRecord)
            or _instance_of(each)[0] != height
            or _instance_of(each)[1] >= round_
            or _instance_of(each)[1] == kept_round
        ]

    def promised_block(self, root: Root) -> bytes | None:
        """A block that this node proposed or prepared at an undecided height."""
        found = self.promised.get(root)
        return None if found is None else found[1]

    def crash(self) -> None:
        """Power goes: the un-synced tail is torn, and a torn record is dropped whole at the next
        read.
        """
        del self.log[self._synced :]

    def records(self) -> list[dst.qbft.records.Record]:
        return [_QBFT.decode(line) for line in self.log]

    def file_decision(self, record: DecisionRecord) -> None:
        """Into the store; the log keeps only what concerns later heights."""
        height, root = record.certificate.height, record.certificate.root
        slot = slot_of(record.block)
        if {self.height_of.get(root, height), self.height_at_slot.get(slot, height)} != {height}:
            raise sqlite3.IntegrityError(f"root or slot of height {height} is decided already")
        known = self.decisions.setdefault(height, record)
        assert known.certificate.root == root, f"two decisions at height {height}"
        self.height_of[root] = height
        self.height_at_slot[slot] = height
        self.log = [line for line in self.log if _instance_of(_QBFT.decode(line))[0] > height]
        self.promised = {root: each for root, each in self.promised.items() if each[0] > height}
        self._synced = len(self.log)

    def finish_rejoin(self, sign_above: Slot) -> None:
        self.sign_above, self.rejoin, self.is_new = sign_above, None, False

    def unsealed(self) -> dict[Height, Root]:
        """Decided heights without a group signature, with their block roots."""
        return {
            height: record.certificate.root
            for height, record in self.decisions.items()
            if height not in self.seals
        }

    def head(self) -> Height:
        """Highest filed decision; 0 is genesis. Decisions are filed without holes."""
        return Height(len(self.decisions))

    def append_sealing(self, record: dst.sealing.records.Record) -> None:
        """Written and synced. A partial is dropped once its height's seal is durable."""
        height = record.message.height
        if isinstance(record, SealRecord):
            self.seals[height] = _ENCODER.encode(record)
            self.sealing.pop(height, None)
        else:
            self.sealing[height] = _ENCODER.encode(record)

    def sealing_records(self) -> list[dst.sealing.records.Record]:
        return [_SEALING.decode(line) for line in (*self.sealing.values(), *self.seals.values())]

    def seal_of(self, height: Height) -> SealRecord | None:
        line = self.seals.get(height)
        if line is None:
            return None
        record = _SEALING.decode(line)
        assert isinstance(record, SealRecord), "seals hold SealRecords only"
        return record

    def own_partial(self, height: Height) -> PartialRecord | None:
        line = self.sealing.get(height)
        record = None if line is None else _SEALING.decode(line)
        return record if isinstance(record, PartialRecord) else None


def _instance_of(record: dst.qbft.records.Record) -> tuple[Height, int]:
    """Height and round."""
    match record:
        case ProposalRecord() | dst.qbft.records.RoundChangeRecord():
            payload = record.message.signed.payload
            return payload.height, payload.round
        case PrepareRecord():
            return record.prepare.payload.height, record.prepare.payload.round
        case dst.qbft.records.CommitRecord():
            return record.commit.payload.height, record.commit.payload.round
        case DecisionRecord():
            return record.certificate.height, record.certificate.round
