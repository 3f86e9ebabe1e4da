"""One operator's durable stores with crash semantics: what was not synced may be gone.

Records are kept encoded, so that a restart reads what a new release would have to read. The
consensus log is cut when a decision is filed; decisions and seals are kept and served.
"""

from typing import Final

import msgspec

import dst.qbft.records
import dst.sealing.records
from dst.qbft.records import DecisionRecord
from dst.sealing.records import PartialRecord, SealRecord
from dst.spec.primitives import Height, Root

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
        self.signed: dict[int, Root] = {}
        self._synced = 0

    def append(self, record: dst.qbft.records.Record) -> None:
        """Written, not yet durable."""
        self.log.append(_ENCODER.encode(record))

    def sync(self) -> None:
        self._synced = len(self.log)

    def crash(self) -> None:
        """Power goes: the un-synced tail is torn, and a torn record is dropped whole at the next
        read.
        """
        del self.log[self._synced :]

    def records(self) -> list[dst.qbft.records.Record]:
        return [_QBFT.decode(line) for line in self.log]

    def file_decision(self, record: DecisionRecord) -> None:
        """Into the store; the log keeps only what concerns later heights."""
        height = record.certificate.height
        self.decisions[height] = record
        self.log = [line for line in self.log if _height_of(_QBFT.decode(line)) > height]
        self._synced = len(self.log)

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


def _height_of(record: dst.qbft.records.Record) -> Height:
    match record:
        case dst.qbft.records.ProposalRecord():
            return record.message.signed.payload.height
        case dst.qbft.records.PrepareRecord():
            return record.prepare.payload.height
        case dst.qbft.records.CommitRecord():
            return record.commit.payload.height
        case dst.qbft.records.RoundChangeRecord():
            return record.message.signed.payload.height
        case dst.qbft.records.DecisionRecord():
            return record.certificate.height
