"""Persistence and pointers: what a killed node finds when it comes back."""

from pathlib import Path
from typing import Any

import pytest

from dst.execution.chain import Chain, HeadChange, UnknownBlock
from dst.execution.genesis import PREDEPLOYS, prague_genesis, read_genesis
from dst.execution.header import decode_header
from dst.execution.store import open_store
from dst.runtime.tables import StoreUnavailable, Writer
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import ZERO_HASH, Hash32
from tests.unit.execution.worlds import ADDRESSES, KEYS, World, address_of, make_world, signed


def test_reopened_store_goes_on(world: World) -> None:
    first = world.extend([signed()])
    second = world.extend([signed(nonce=1), signed(KEYS[1])])
    world.chain.set_forkchoice(second.hash, first.hash, ZERO_HASH)
    world.reopen()
    heads = world.chain.heads
    assert (heads.head_hash, heads.safe_hash) == (second.hash, first.hash)
    assert heads.finalized_hash == world.chain.genesis_hash
    assert heads.head == second.header
    assert world.chain.receipts(second.hash) == second.result.receipts
    assert world.chain.body(second.hash) == second.body()
    assert world.chain.reader(heads.head.state_root).get_nonce(ADDRESSES[0]) == 2
    assert world.extend().header.parent_hash == second.hash


def test_one_receipt_and_one_transaction(world: World) -> None:
    """Found by index, with the logs before it counted, without the rest of the block."""
    emitter = address_of(0xE0)
    logging = make_world(world.folder / "logs", {emitter: bytes.fromhex("60006000a060006000a000")})
    sent = [signed(key, to=emitter, gas=60_000, value=0) for key in KEYS[:3]] + [
        signed(KEYS[3], maxFeePerGas=10**9, maxPriorityFeePerGas=0)
    ]
    block = logging.extend(sent)
    chain = logging.chain
    assert len(block.transactions) == 4
    placed = [chain.receipt_at(block.hash, index) for index in range(4)]
    assert [each.receipt for each in placed if each] == list(chain.receipts(block.hash))
    assert [each.first_log for each in placed if each] == [0, 2, 4, 6]
    assert [chain.transaction_at(block.hash, index) for index in range(4)] == [
        each.raw for each in block.transactions
    ]
    for outside in (-1, 4):
        assert chain.receipt_at(block.hash, outside) is None
        assert chain.transaction_at(block.hash, outside) is None
    assert chain.receipt_at(chain.genesis_hash, 0) is None
    logging.store.close()


def test_inserted_block_that_never_became_head(world: World) -> None:
    """A kill between newPayload and forkchoiceUpdated: the old head, and the block still here."""
    block = world.build([signed()]).block
    world.chain.insert(block)
    world.reopen()
    assert world.chain.heads.head_hash == world.chain.genesis_hash
    assert world.chain.header(block.hash) == block.header
    world.chain.set_forkchoice(block.hash, ZERO_HASH, ZERO_HASH)
    assert world.chain.location(signed().hash) == (block.hash, 0)


def test_a_crash_inside_a_write_leaves_the_old_chain(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = world.build([signed()]).block
    put_sorted = Writer.put_sorted

    def crash_at_nodes(self: Writer, table: str, items: Any) -> None:
        put_sorted(self, table, items)
        if table == "nodes":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "put_sorted", crash_at_nodes)
        with pytest.raises(KeyboardInterrupt):
            world.chain.insert(block)
    world.reopen()
    assert world.chain.header(block.hash) is None
    assert world.extend([signed()]).hash == block.hash


def test_a_write_that_failed_and_is_there_all_the_same_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages are on the disk, and the disk said that they are not."""
    old = world.extend([signed()])
    new = world.build(parent=world.chain.genesis_hash, prev_randao=Hash32(b"\x99" * 32)).block
    world.chain.insert(new)
    set_canonical = world.store.set_canonical

    def write_and_fail(*args: Any) -> None:
        set_canonical(*args)
        raise StoreUnavailable("Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "set_canonical", write_and_fail)
        with pytest.raises(StoreUnavailable):
            world.chain.set_forkchoice(new.hash, ZERO_HASH, ZERO_HASH)
    change = world.chain.set_forkchoice(new.hash, ZERO_HASH, ZERO_HASH)
    assert change == HeadChange(added=(new.hash,), removed=(old.hash,))
    assert world.chain.canonical_hash(1) == new.hash
    assert world.chain.location(signed().hash) is None


def test_unknown_head(world: World) -> None:
    with pytest.raises(UnknownBlock):
        world.chain.set_forkchoice(Hash32(b"\x01" * 32), ZERO_HASH, ZERO_HASH)


def test_store_of_another_chain(tmp_path: Path) -> None:
    make_world(tmp_path).store.close()
    other = read_genesis(prague_genesis(chain_id=7, timestamp=1, gas_limit=10_000_000, balances={}))
    store = open_store(tmp_path)
    with pytest.raises(BadConfig, match="another data_dir"):
        Chain(store, other)
    store.close()


def test_is_ancestor_over_branches(world: World) -> None:
    genesis = world.chain.genesis_hash
    first, second = world.extend(), world.extend()
    side = world.build(parent=first.hash, prev_randao=Hash32(b"\x99" * 32)).block
    world.chain.insert(side)
    assert world.chain.is_ancestor(first.hash, side.header, side.hash)
    assert world.chain.is_ancestor(genesis, side.header, side.hash)
    assert not world.chain.is_ancestor(second.hash, side.header, side.hash)
    assert not world.chain.is_ancestor(second.hash, first.header, first.hash)


def test_header_round_trip(world: World) -> None:
    header = world.extend([signed()]).header
    assert decode_header(header.encode()) == header


def test_genesis_file_mistakes() -> None:
    good = prague_genesis(chain_id=7, timestamp=1, gas_limit=10_000_000, balances={})
    for change, words in (
        ({"difficulty": "0x1"}, "difficulty"),
        ({"gasLimit": "ten"}, "gasLimit"),
        ({"alloc": {"0x12": {}}}, "alloc address"),
        ({"config": {}}, "chainId"),
    ):
        with pytest.raises(InvalidInput, match=words):
            read_genesis({**good, **change})


def test_predeploys_have_the_sizes_their_deployments_announce() -> None:
    """The constructors of EIP-7002 and EIP-7251 return 0x1f8 and 0x19e bytes."""
    assert [len(code) for code in PREDEPLOYS.values()] == [97, 83, 0x1F8, 0x19E]
