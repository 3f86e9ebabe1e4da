"""Chains as files: out and in again, from a running store, and every way a file can be wrong."""

import json
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from dst.execution.block_rlp import decode_block, encode_block, read_blocks
from dst.execution.genesis import prague_genesis
from dst.execution.store import open_store
from dst.execution.transfer import export_blocks, import_blocks, restore
from dst.spec.beacon import Withdrawal
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import Gwei, Hash32
from tests.unit.execution.worlds import (
    ADDRESSES,
    CHAIN_ID,
    GENESIS_TIME,
    KEYS,
    RICH,
    World,
    address_of,
    make_world,
    signed,
)

GENESIS = prague_genesis(
    chain_id=CHAIN_ID,
    timestamp=GENESIS_TIME,
    gas_limit=10_000_000,
    balances=dict.fromkeys(ADDRESSES, RICH),
)
PAYOUT = Withdrawal(index=1, validator_index=2, address=address_of(9), amount=Gwei(3))


def node(folder: Path) -> Path:
    """A configuration whose data directory is `folder/data`."""
    folder.mkdir(exist_ok=True)
    (folder / "genesis.json").write_text(json.dumps(GENESIS))
    config = {
        "name": "op1",
        "data_dir": "data",
        "genesis": "genesis.json",
        "lock": "cluster-lock.json",
        "jwt_secret": "jwt.hex",
        "engine_listen": "127.0.0.1:1",
        "rpc_listen": "127.0.0.1:2",
    }
    (folder / "execution.json").write_text(json.dumps(config))
    return folder / "execution.json"


@pytest.fixture
def source(tmp_path: Path) -> World:
    """A chain of three blocks with legacy and typed transactions and a withdrawal."""
    node(tmp_path / "a")
    world = make_world(tmp_path / "a" / "data")
    legacy = signed(
        KEYS[1], type=None, maxFeePerGas=None, maxPriorityFeePerGas=None, gasPrice=2 * 10**9
    )
    world.extend([signed(), legacy])
    world.extend([], [PAYOUT])
    world.extend([signed(nonce=1)])
    return world


def beside(verb: str, config: Path, *arguments: object) -> str:
    """The command as a program of its own, while this process has the chain open."""
    command = [sys.executable, "-m", "dst", "execution", verb, "--config", config, *arguments]
    done = subprocess.run([str(each) for each in command], capture_output=True, check=False)
    if done.returncode == 2:
        raise BadConfig(done.stderr.decode())
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def head_of(data_dir: Path) -> bytes:
    store = open_store(data_dir, read_only=True)
    try:
        return store.pointers().head
    finally:
        store.close()


def test_export_beside_the_running_role_and_import(tmp_path: Path, source: World) -> None:
    file = tmp_path / "chain.rlp"
    told = beside("export", tmp_path / "a" / "execution.json", "--file", file)
    assert "blocks 0 to 3" in told
    other = node(tmp_path / "b")
    assert import_blocks(other, file).startswith("executed 3 blocks; head 3 0x")
    assert head_of(tmp_path / "b" / "data") == source.chain.heads.head_hash
    assert import_blocks(other, file).startswith("executed 0 blocks; head 3 0x")
    source.store.close()


def test_a_range_goes_on_where_the_chain_ends(tmp_path: Path, source: World) -> None:
    config, other = tmp_path / "a" / "execution.json", node(tmp_path / "b")
    source.store.close()
    export_blocks(config, tmp_path / "first.rlp", first=1, last=1)
    export_blocks(config, tmp_path / "rest.rlp", first=2)
    with pytest.raises(BadConfig, match="block 2: parent 0x"):
        import_blocks(other, tmp_path / "rest.rlp")
    import_blocks(other, tmp_path / "first.rlp")
    assert import_blocks(other, tmp_path / "rest.rlp").startswith("executed 2 blocks")
    with pytest.raises(BadConfig, match="the chain has 0 to 3"):
        export_blocks(config, tmp_path / "more.rlp", first=2, last=9)


def test_snapshot_of_a_running_role_and_restore(tmp_path: Path, source: World) -> None:
    told = beside("snapshot", tmp_path / "a" / "execution.json", "--dir", tmp_path / "copy")
    at = source.chain.heads.head_hash
    source.extend([signed(nonce=2)])
    assert at.hex() in told
    assert head_of(tmp_path / "copy") == at
    other = node(tmp_path / "b")
    restore(other, tmp_path / "copy")
    restored = World(tmp_path / "b" / "data", source.genesis)
    assert restored.chain.heads.head_hash == at
    assert restored.extend([signed(nonce=2)]).header.number == 4
    restored.store.close()
    with pytest.raises(BadConfig, match="holds a chain"):
        restore(other, tmp_path / "copy")
    with pytest.raises(BadConfig, match="not empty"):
        beside("snapshot", tmp_path / "a" / "execution.json", "--dir", tmp_path / "copy")
    source.store.close()


def test_a_store_in_use_takes_no_import(tmp_path: Path, source: World) -> None:
    config = tmp_path / "a" / "execution.json"
    beside("export", config, "--file", tmp_path / "chain.rlp")
    with pytest.raises(BadConfig, match="in use"):
        import_blocks(config, tmp_path / "chain.rlp")
    source.store.close()


def test_a_store_of_the_first_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chain.sqlite").touch()
    with pytest.raises(BadConfig, match=r"chain\.sqlite, the store of format 1"):
        open_store(tmp_path)


def test_block_round_trip(source: World) -> None:
    chain = source.chain
    for number in range(4):
        block_hash = chain.canonical_hash(number)
        assert block_hash is not None
        header, body = chain.header(block_hash), chain.body(block_hash)
        assert header is not None
        data = encode_block(header, body.transactions, body.payload_withdrawals())
        block = decode_block(data)
        assert (block.header, block.transactions) == (header, body.transactions)
        assert block.withdrawals == body.payload_withdrawals()
    source.store.close()


def test_files_that_are_no_chain(source: World) -> None:
    block = source.chain.heads
    body = source.chain.body(block.head_hash)
    data = encode_block(block.head, body.transactions, ())
    for wrong, words in (
        (data + b"\x80", f"offset {len(data)}: not a block"),
        (data[:-1], "ends inside a block"),
        (b"\xfb\xff\xff\xff\xff", "too long"),
    ):
        with pytest.raises(InvalidInput, match=words):
            list(read_blocks(BytesIO(wrong)))
    forged = replace(block.head, withdrawals_root=Hash32(b"\x01" * 32))
    with pytest.raises(InvalidInput, match="withdrawals root"):
        decode_block(encode_block(forged, body.transactions, ()))
    with pytest.raises(InvalidInput, match="transactions root"):
        decode_block(encode_block(block.head, (), ()))
    forged = replace(block.head, difficulty=1)
    with pytest.raises(InvalidInput, match="proof of work"):
        decode_block(encode_block(forged, body.transactions, ()))
    source.store.close()
