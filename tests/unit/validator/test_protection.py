"""The durable store: promises survive reopening, a missing or foreign store is refused, nothing
signs below a watermark.
"""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.runtime.disk import DiskFull
from dst.runtime.kv import open_database
from dst.slashing.interchange import SignedBlock, decode_interchange, encode_interchange
from dst.slashing.rules import Refusal
from dst.spec.errors import BadConfig, InvalidInput, StoreDamaged
from dst.spec.primitives import BLSPubkey, Root, Slot
from dst.validator import protection
from dst.validator.protection import FILE_NAME, ProtectionStore, SlashingRefused

KEY = BLSPubkey(b"\xa1" * 48)
CHAIN = Root(b"\xc1" * 32)
A, B = Root(b"\xaa" * 32), Root(b"\xbb" * 32)
BLOCK_9 = SignedBlock(slot=Slot(9), signing_root=A)
IDENTITY: dict[str, Any] = {"pubkey": KEY, "genesis_validators_root": CHAIN}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


def reopened(store: ProtectionStore, path: Path) -> ProtectionStore:
    store.close()
    return ProtectionStore.open(path, **IDENTITY)


def test_new_store_holds_the_watermark_at_slot_0(path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    assert store.blocks() == [SignedBlock(slot=Slot(0), signing_root=None)]
    with pytest.raises(SlashingRefused):
        store.record(Slot(0), A)
    store.record(Slot(1), A)


def test_a_new_store_is_durably_in_its_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut may take the file itself, and every record with it."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    ProtectionStore.create(path, **IDENTITY).close()
    assert synced.count(path.parent.stat().st_ino) == 2, "for its count, and for itself"


def test_promises_survive_reopening(path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    store.record(Slot(7), A)
    store = reopened(store, path)
    store.record(Slot(7), A)
    with pytest.raises(SlashingRefused) as error:
        store.record(Slot(7), B)
    assert error.value.refusal is Refusal.DOUBLE_PROPOSAL
    assert len(store.blocks()) == 2


def test_gaps_may_be_filled_late(path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    store.record(Slot(9), A)
    store.record(Slot(4), A)
    assert [block.slot for block in store.blocks()] == [0, 4, 9]


def test_a_commit_is_synchronous(path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    settings_of = store._connection.execute
    assert settings_of("PRAGMA journal_mode").fetchone() == ("wal",)
    assert settings_of("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_refusal_changes_nothing(path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    store.record(Slot(1), A)
    before = store.blocks()
    with pytest.raises(SlashingRefused):
        store.record(Slot(1), B)
    assert store.blocks() == before


def test_key_without_its_store_is_refused(path: Path) -> None:
    with pytest.raises(BadConfig, match="--rejoin"):
        ProtectionStore.open(path, **IDENTITY)
    assert not path.exists()


def test_new_over_an_existing_store_is_refused(path: Path) -> None:
    ProtectionStore.create(path, **IDENTITY).close()
    with pytest.raises(BadConfig, match="without --new"):
        ProtectionStore.create(path, **IDENTITY)


@pytest.mark.parametrize(
    "other", [{"pubkey": BLSPubkey(bytes(48))}, {"genesis_validators_root": Root(bytes(32))}]
)
def test_foreign_store_is_refused(path: Path, other: dict[str, Any]) -> None:
    ProtectionStore.create(path, **IDENTITY).close()
    with pytest.raises(BadConfig, match="another key or chain"):
        ProtectionStore.open(path, **(IDENTITY | other))


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 300])
def test_broken_store_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(BadConfig, match=FILE_NAME):
        ProtectionStore.open(path, **IDENTITY)


@given(where=st.integers(0, 2**20), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_changes_no_record_without_being_noticed(
    where: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each record stands in the table and in its index, which are compared."""
    path = tmp_path_factory.mktemp("flipped") / FILE_NAME
    store = ProtectionStore.create(path, **IDENTITY)
    for slot in range(1, 40):
        store.record(Slot(slot), A)
    written = store.blocks()
    store.close()
    data = bytearray(path.read_bytes())
    data[where % len(data)] ^= 1 << bit
    path.write_bytes(data)
    try:
        found = ProtectionStore.open(path, **IDENTITY)
    except (BadConfig, StoreDamaged):
        return
    assert found.blocks() == written
    found.close()


def test_a_flipped_bit_in_the_last_record_of_the_log_is_noticed(path: Path) -> None:
    """Killed after it: its signature exists, and another one for that slot would be slashable."""
    store = ProtectionStore.create(path, **IDENTITY)
    for slot in range(1, 13):
        store.record(Slot(slot), A)
    left = path.parent / "left"
    shutil.copytree(path.parent, left)
    store.close()
    log = left / f"{FILE_NAME}-wal"
    whole = log.read_bytes()
    for place in (-1, -2000, -4096, -4096 - 10, -4096 - 20):
        data = bytearray(whole)
        data[place] ^= 1
        log.write_bytes(data)
        with pytest.raises(StoreDamaged, match=r"commits were flushed .*start with --rejoin"):
            ProtectionStore.open(left / FILE_NAME, **IDENTITY)
    log.write_bytes(whole)
    with pytest.raises(SlashingRefused):
        ProtectionStore.open(left / FILE_NAME, **IDENTITY).record(Slot(12), B)


def test_a_store_that_lost_its_last_record_rejoins_with_the_others(path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    for slot in range(1, 13):
        store.record(Slot(slot), A)
    left = path.parent / "left"
    shutil.copytree(path.parent, left)
    store.close()
    log = left / f"{FILE_NAME}-wal"
    log.write_bytes(log.read_bytes()[:-1])
    store = ProtectionStore.open_for_rejoin(left / FILE_NAME, **IDENTITY)
    assert store.is_rejoining
    store = reopened(store, left / FILE_NAME)  # killed in the middle of it
    assert store.is_rejoining
    store.finish_rejoin(Slot(12))
    store = reopened(store, left / FILE_NAME)
    assert (store.is_rejoining, store.minimum()) == (False, 12)
    with pytest.raises(SlashingRefused):
        store.record(Slot(12), B)


def test_a_young_store_that_lost_its_log_rejoins(path: Path) -> None:
    """Everything was in the log still, the tables too."""
    store = ProtectionStore.create(path, **IDENTITY)
    store.record(Slot(12), A)
    left = path.parent / "left"
    shutil.copytree(path.parent, left)
    store.close()
    (left / f"{FILE_NAME}-wal").unlink()
    with pytest.raises(StoreDamaged, match=r"commits were flushed .*start with --rejoin"):
        ProtectionStore.open(left / FILE_NAME, **IDENTITY)
    store = ProtectionStore.open_for_rejoin(left / FILE_NAME, **IDENTITY)
    store = reopened(store, left / FILE_NAME)
    assert store.is_rejoining
    store.finish_rejoin(Slot(12))
    store.close()


def places_of(data: bytes, word: bytes) -> list[int]:
    return [at for at in range(len(data)) if data.startswith(word, at)]


@pytest.mark.parametrize("word", [b"meta", b"signed_blocks", b"owed_from", b"state", b"schema"])
def test_a_name_that_a_disk_has_changed_is_told_the_same_whatever_the_flag(
    path: Path, word: bytes
) -> None:
    """In the text of the schema, too, where some bits leave no text at all."""
    store = ProtectionStore.create(path, **IDENTITY)
    store.record(Slot(7), A, owed_from=Slot(5))
    store.close()
    written = path.read_bytes()
    places = places_of(written, word)
    assert places
    for bit in (0, 7):
        for place in places:
            data = bytearray(written)
            data[place] ^= 1 << bit
            path.write_bytes(data)
            for start in (
                ProtectionStore.open,
                ProtectionStore.open_for_rejoin,
                ProtectionStore.create,
            ):
                with pytest.raises((BadConfig, StoreDamaged), match=r"cannot be used|corrupt"):
                    start(path, **IDENTITY)


def test_what_it_owes_is_what_was_written_or_damage(path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    store.record(Slot(1000), A, owed_from=Slot(937))
    store.close()
    written = path.read_bytes()
    (place,) = places_of(written, b"937")
    for bit in range(3 * 8):
        data = bytearray(written)
        data[place + bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(StoreDamaged, match="owed_from"):
            ProtectionStore.open(path, **IDENTITY)


def crash_in_creation(path: Path) -> None:
    """Killed between opening the file and the COMMIT: a database without a table."""
    open_database(path, durable=True).close()
    assert path.exists()


def test_new_after_a_crash_in_creation(path: Path) -> None:
    crash_in_creation(path)
    with pytest.raises(BadConfig, match="--rejoin"):
        ProtectionStore.open(path, **IDENTITY)
    ProtectionStore.create(path, **IDENTITY).close()
    assert ProtectionStore.open(path, **IDENTITY).minimum() == 0


def test_rejoin_after_a_crash_in_creation(path: Path) -> None:
    crash_in_creation(path)
    ProtectionStore.open_for_rejoin(path, **IDENTITY).close()
    assert ProtectionStore.open(path, **IDENTITY).is_rejoining


@pytest.mark.parametrize("imported", [[], [BLOCK_9]])
def test_creation_is_all_or_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, imported: list[SignedBlock]
) -> None:
    """However it is cut short, no store is left that would sign."""

    def crash(*_: object) -> None:
        raise InvalidInput("crash")

    monkeypatch.setattr(ProtectionStore, "_insert", crash)
    with pytest.raises(InvalidInput):
        ProtectionStore.create(path, **IDENTITY, imported=imported)
    monkeypatch.undo()
    with pytest.raises(BadConfig, match="is missing although"):
        ProtectionStore.open(path, **IDENTITY)
    store = ProtectionStore.create(path, **IDENTITY, imported=imported or [BLOCK_9])
    assert store.blocks() == [BLOCK_9]


def test_full_disk_writes_nothing_and_says_so(path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    store._connection.execute("PRAGMA max_page_count = 1")
    full = next(slot for slot in range(1, 10_000) if not takes(store, Slot(slot)))
    assert [block.slot for block in store.blocks()] == [*range(full)]
    store._connection.execute("PRAGMA max_page_count = 1000000")
    assert takes(store, Slot(full))


def takes(store: ProtectionStore, slot: Slot) -> bool:
    try:
        store.record(slot, A)
    except DiskFull:
        return False
    return True


def test_emptied_store_is_refused(path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    store._connection.execute("DELETE FROM signed_blocks")
    with pytest.raises(BadConfig):
        reopened(store, path)


def test_rejoin_on_nothing_signs_above_the_head_only(path: Path) -> None:
    store = ProtectionStore.open_for_rejoin(path, **IDENTITY)
    store.finish_rejoin(Slot(50))
    for slot in (1, 49, 50):
        with pytest.raises(SlashingRefused):
            store.record(Slot(slot), A)
    store = reopened(store, path)
    store.record(Slot(51), A)


def test_an_unfinished_rejoin_outlives_the_flag_and_signs_nothing(path: Path) -> None:
    ProtectionStore.open_for_rejoin(path, **IDENTITY).close()
    store = ProtectionStore.open(path, **IDENTITY)
    assert store.is_rejoining
    with pytest.raises(AssertionError, match="not known yet"):
        store.record(Slot(9), A)
    store.finish_rejoin(Slot(5))
    store = reopened(store, path)
    assert not store.is_rejoining
    with pytest.raises(SlashingRefused):
        store.record(Slot(5), A)
    store.record(Slot(6), A)


def test_a_state_that_is_none_is_damage(path: Path) -> None:
    store = ProtectionStore.open_for_rejoin(path, **IDENTITY)
    store._put_meta("state", b"rejoininf")
    store.close()
    for start in (ProtectionStore.open, ProtectionStore.open_for_rejoin):
        with pytest.raises(StoreDamaged, match="its state"):
            start(path, **IDENTITY)


def test_rejoin_keeps_what_it_knows_above_the_head(path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    store.record(Slot(10), A)
    store.record(Slot(60), A)
    store.close()
    store = ProtectionStore.open_for_rejoin(path, **IDENTITY)
    store.finish_rejoin(Slot(50))
    with pytest.raises(SlashingRefused):
        store.record(Slot(60), B)
    with pytest.raises(SlashingRefused):
        store.record(Slot(10), A)
    store.record(Slot(60), A)


def test_rejoin_never_lowers_the_minimum(path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    store.merge([SignedBlock(slot=Slot(100), signing_root=None)])
    store.finish_rejoin(Slot(50))
    assert store.minimum() == 100


def test_pruning_raises_the_minimum_and_keeps_the_newest(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protection, "KEPT_SLOTS", 10)
    monkeypatch.setattr(protection, "PRUNE_EVERY", 5)
    store = ProtectionStore.create(path, **IDENTITY)
    for slot in range(1, 41):
        store.record(Slot(slot), A)
    assert store.minimum() == 30
    assert store.newest() == 40
    with pytest.raises(SlashingRefused):
        store.record(Slot(29), A)
    store.prune_below(Slot(10**6))
    assert store.minimum() == 40


def test_pruning_leaves_what_is_still_owed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection, "KEPT_SLOTS", 10)
    monkeypatch.setattr(protection, "PRUNE_EVERY", 5)
    store = ProtectionStore.create(path, **IDENTITY)
    for slot in range(100, 121):
        store.record(Slot(slot), A, owed_from=Slot(7))
    store.record(Slot(7), A, owed_from=Slot(7))
    assert store.owed_from() == 7


def test_import_closes_the_gap_below_the_file(path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    store.record(Slot(3), A)
    store.merge(
        [SignedBlock(slot=Slot(90), signing_root=A), SignedBlock(slot=Slot(95), signing_root=None)]
    )
    for slot in (3, 4, 89):
        with pytest.raises(SlashingRefused):
            store.record(Slot(slot), A)
    with pytest.raises(SlashingRefused):
        store.record(Slot(95), A)
    store.record(Slot(90), A)
    store.record(Slot(91), B)


def test_conflicting_import_forbids_the_slot(path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    both = [SignedBlock(slot=Slot(90), signing_root=root) for root in (A, B)]
    store.merge(both)
    store.merge(both)
    assert len(store.blocks()) == 2
    for root in (A, B):
        with pytest.raises(SlashingRefused):
            store.record(Slot(90), root)


def test_export_and_import_move_all_records(path: Path, tmp_path: Path) -> None:
    store = ProtectionStore.create(path, **IDENTITY)
    for slot in (3, 9, 12):
        store.record(Slot(slot), A)
    data = encode_interchange(store.blocks(), **IDENTITY)
    other = ProtectionStore.create(tmp_path / "other.sqlite", **IDENTITY)
    other.merge(decode_interchange(data, **IDENTITY))
    assert other.blocks() == store.blocks()


@settings(max_examples=15, deadline=None)
@given(
    attempts=st.lists(
        st.tuples(st.integers(min_value=0, max_value=8), st.sampled_from([A, B])), max_size=15
    ),
    crash_after=st.integers(min_value=0, max_value=15),
)
def test_never_two_roots_at_a_slot_across_a_crash(
    tmp_path_factory: pytest.TempPathFactory,
    attempts: list[tuple[int, Root]],
    crash_after: int,
) -> None:
    path = tmp_path_factory.mktemp("store") / FILE_NAME
    store = ProtectionStore.create(path, **IDENTITY)
    signed: dict[int, set[Root]] = {}
    for count, (slot, root) in enumerate(attempts):
        if count == crash_after:
            store = reopened(store, path)
        try:
            store.record(Slot(slot), root)
        except SlashingRefused:
            continue
        signed.setdefault(slot, set()).add(root)
    assert all(len(roots) == 1 for roots in signed.values())
    store.close()


def test_two_processes_on_one_file_cannot_both_sign(path: Path) -> None:
    one = ProtectionStore.create(path, **IDENTITY)
    two = ProtectionStore.open(path, **IDENTITY)
    one.record(Slot(5), A)
    with pytest.raises(SlashingRefused):
        two.record(Slot(5), B)
    assert isinstance(one._connection, sqlite3.Connection)


# --- published cases: the standard's example, and the whole suite where DST_VECTORS names it ------

EXAMPLE = Path(__file__).parents[3] / "fixtures" / "eip3076" / "eip_example.json"


def _published() -> list[Any]:
    folder = os.environ.get("DST_VECTORS")
    paths = sorted(Path(folder, "eip3076").glob("*.json")) if folder else []
    suite = [pytest.param(json.loads(path.read_text()), id=path.stem) for path in paths]
    return [pytest.param(_example_case(), id="eip-3076-example"), *suite]


def _example_case() -> dict[str, Any]:
    """The standard's example with what its conditions 1 and 2 say about the slots around it."""
    interchange = json.loads(EXAMPLE.read_text())
    record = interchange["data"][0]
    known, other = record["signed_blocks"][0]["signing_root"], "0x" + "00" * 32
    outcomes = [
        (81952, known, True),
        (81952, other, False),
        (81951, other, False),
        (81950, other, False),
        (81953, other, True),
    ]
    blocks = [
        {
            "pubkey": record["pubkey"],
            "slot": str(slot),
            "signing_root": root,
            "should_succeed": succeeds,
            "should_succeed_complete": succeeds,
        }
        for slot, root, succeeds in outcomes
    ]
    step = {"should_succeed": True, "interchange": interchange, "blocks": blocks}
    return {
        "genesis_validators_root": interchange["metadata"]["genesis_validators_root"],
        "steps": [step],
    }


@pytest.mark.parametrize("case", _published())
def test_published_interchange_case(case: dict[str, Any], tmp_path: Path) -> None:
    """Blocks only: this key signs no attestations. One store per key, as each has one key."""
    chain = Root(bytes.fromhex(case["genesis_validators_root"][2:]))
    stores: dict[str, ProtectionStore] = {}
    for step in case["steps"]:
        data = json.dumps(step["interchange"]).encode()
        keys = {record["pubkey"] for record in step["interchange"]["data"]}
        keys |= {block["pubkey"] for block in step["blocks"]}
        for key in sorted(keys):
            identity: dict[str, Any] = {
                "pubkey": BLSPubkey(bytes.fromhex(key[2:])),
                "genesis_validators_root": chain,
            }
            if key not in stores:
                stores[key] = ProtectionStore.create(tmp_path / key, **identity)
            try:
                stores[key].merge(decode_interchange(data, **identity))
            except InvalidInput:
                assert not step["should_succeed"]
        for block in step["blocks"]:
            _attempt(stores[block["pubkey"]], block)


def _attempt(store: ProtectionStore, block: dict[str, Any]) -> None:
    # Without a root in the case every signing counts as a new one.
    root = Root(bytes.fromhex(block["signing_root"][2:])) if "signing_root" in block else A
    try:
        store.record(Slot(int(block["slot"])), root)
        succeeded = True
    except SlashingRefused:
        succeeded = False
    # Between two imports lies a gap of unknown activity: EIP-3076 advises to prune on import, which
    # refuses there what a complete strategy without that advice would sign.
    assert not succeeded or block["should_succeed_complete"], block
    assert succeeded or not block["should_succeed"], block


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_the_store_of_a_newer_release_is_refused_by_both_numbers_and_left_as_it_is(
    path: Path,
) -> None:
    ProtectionStore.create(path, **IDENTITY).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = x'33' WHERE name = 'schema'")
        connection.execute("ALTER TABLE signed_blocks RENAME TO signed")
    before = dump(path)
    words = r"another release .* it has format 3, this one reads format 2; .*slashing export"
    for opening in (ProtectionStore.open, ProtectionStore.open_for_rejoin):
        with pytest.raises(BadConfig, match=words):
            opening(path, **IDENTITY)
    assert dump(path) == before
