"""`python -m tests.conformance.make_rpc_compat REPOSITORY OUT`: cut the committed rpc-compat
archives from a clone of execution-apis.

`d08382ae`: a chain that is Prague from genesis, with all its conversations; `requests.json` adds
the EIP-7685 requests that a block's RLP has by hash only.

`97723808`: its chain turns Prague with the last block, so unmodified py-evm runs the older forks
and the state it ends with is kept (`state.json`), with the last block (`head.rlp`) and the
conversations that need nothing older.

`newer`: of the newest commit the conversations of methods that the other two lack, for the chain of
the first.
"""

import io
import json
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import rlp
from eth.chains.base import Chain as StockChain
from eth.consensus.noproof import NoProofConsensus
from eth.db import storage as stock_storage
from eth.db.atomic import AtomicDB
from eth.db.hash_trie import HashTrie
from eth.vm import forks
from eth_hash.auto import keccak
from trie.hexary import HexaryTrie
from trie.iter import NodeIterator

from dst.execution.chain import Chain
from dst.execution.state.trie import EMPTY_ROOT
from tests.conformance.blobs import blobs_allowed
from tests.conformance.blocks import hexed, split_chain
from tests.conformance.eest import execute, open_in_memory
from tests.conformance.rpc_compat import Fixture, genesis_of
from tests.conformance.sources import git_blobs, read_blobs

PRAGUE_CHAIN, LATE_PRAGUE_CHAIN = "d08382ae", "97723808"
OF_THE_LATE_CHAIN = ("eth_simulateV1/", "eth_createAccessList/", "eth_estimateGas/")
"""Asked of the latest state."""
NEWER = ("debug_traceBlockBy", "debug_traceTransaction", "eth_config", "eth_baseFee", "net_version")
_FORKS = (
    ("eip150Block", forks.TangerineWhistleVM),
    ("eip158Block", forks.SpuriousDragonVM),
    ("byzantiumBlock", forks.ByzantiumVM),
    ("constantinopleBlock", forks.ConstantinopleVM),
    ("petersburgBlock", forks.PetersburgVM),
    ("istanbulBlock", forks.IstanbulVM),
    ("muirGlacierBlock", forks.MuirGlacierVM),
    ("berlinBlock", forks.BerlinVM),
    ("londonBlock", forks.LondonVM),
    ("arrowGlacierBlock", forks.ArrowGlacierVM),
    ("grayGlacierBlock", forks.GrayGlacierVM),
    ("mergeNetsplitBlock", forks.ParisVM),
    ("shanghaiTime", forks.ShanghaiVM),
    ("cancunTime", forks.CancunVM),
    ("pragueTime", forks.PragueVM),
)


def read_commit(repository: Path, commit: str) -> dict[str, bytes]:
    """Files below `tests/`."""
    blobs = git_blobs(repository, "tests/", "", commit)
    files = read_blobs(repository, [each for each in blobs if each[1] is not None])
    return {path.removeprefix("tests/"): data for path, data in files if data is not None}


def requests_by_block(fixture: Fixture) -> dict[str, list[str]]:
    """Block number -> requests, where there are some."""
    chain: Chain = open_in_memory(genesis_of(fixture))
    found = {}
    with blobs_allowed():
        for raw in split_chain(fixture.files["chain.rlp"]):
            block = execute(chain, raw)
            chain.insert(block)
            if block.result.requests:
                found[str(block.header.number)] = [hexed(each) for each in block.result.requests]
    return found


# ── the state that older forks leave ────────────────────────────────────────────────────────────


def state_after(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The accounts after the last block, in a genesis file's form."""
    preimages: dict[bytes, bytes] = {}

    def remembered(key: bytes) -> bytes:
        hashed: bytes = keccak(key)
        preimages[hashed] = key
        return hashed

    database = AtomicDB()
    with (
        mock.patch.object(HashTrie, "keymap", staticmethod(remembered)),  # addresses
        mock.patch.object(stock_storage, "keccak", remembered),  # slots
    ):
        root = _import_by_stock(files, database).get_canonical_head().state_root
    return {
        hexed(preimages[key]): _account(database, rlp.decode(value), preimages)
        for key, value in _entries(database, root)
    }


def _account(database: Any, fields: Any, preimages: Mapping[bytes, bytes]) -> dict[str, Any]:
    nonce, balance, storage_root, code_hash = fields
    code = database[code_hash] if code_hash in database else b""
    storage = {
        hexed(preimages[key]): hexed(rlp.decode(value).rjust(32, b"\0"))
        for key, value in _entries(database, storage_root)
    }
    numbers = {"nonce": nonce, "balance": balance}
    return {
        **{name: hex(int.from_bytes(value, "big")) for name, value in numbers.items()},
        "code": hexed(code),
        "storage": storage,
    }


def _entries(database: Any, root: bytes) -> list[tuple[bytes, bytes]]:
    if root == EMPTY_ROOT:
        return []
    return [(bytes(key), value) for key, value in NodeIterator(HexaryTrie(database, root)).items()]


def _import_by_stock(files: Mapping[str, bytes], database: Any) -> Any:
    genesis = json.loads(files["genesis.json"])
    config = genesis["config"]
    raws = split_chain(files["chain.rlp"])
    times = {_number(raw, 11): _number(raw, 8) for raw in raws}
    schedule: list[tuple[int, Any]] = [(0, forks.HomesteadVM.configure(support_dao_fork=False))]
    for key, vm in _FORKS:
        at = config[key]
        number = at if key.endswith("Block") else min(n for t, n in times.items() if t >= at)
        proofless = key.endswith("Block") and vm is not forks.ParisVM
        schedule.append(
            (number, vm.configure(consensus_class=NoProofConsensus) if proofless else vm)
        )
    schedule[0] = (0, schedule[0][1].configure(consensus_class=NoProofConsensus))
    cls: Any = StockChain.configure(
        "Old", vm_configuration=tuple(schedule), chain_id=config["chainId"]
    )
    chain = cls.from_genesis(database, _genesis_parameters(genesis), _genesis_state(genesis))
    for raw in raws:
        block_class = cls.get_vm_class_for_block_number(_number(raw, 8)).get_block_class()
        chain.import_block(rlp.decode(raw, sedes=block_class))
    return chain


def _number(raw: bytes, field: int) -> int:
    return int.from_bytes(rlp.decode(raw)[0][field], "big")


def _genesis_parameters(genesis: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "difficulty": int(genesis["difficulty"], 16),
        "extra_data": bytes.fromhex(genesis["extraData"][2:]),
        "gas_limit": int(genesis["gasLimit"], 16),
        "nonce": int(genesis["nonce"], 16).to_bytes(8, "big"),
        "mix_hash": bytes.fromhex(genesis["mixHash"][2:]),
        "coinbase": bytes.fromhex(genesis["coinbase"][2:]),
        "timestamp": int(genesis["timestamp"], 16),
    }


def _genesis_state(genesis: Mapping[str, Any]) -> dict[bytes, dict[str, Any]]:
    return {
        bytes.fromhex(address.removeprefix("0x")): {
            "balance": int(account.get("balance", "0x0"), 16),
            "nonce": int(account.get("nonce", "0x0"), 16),
            "code": bytes.fromhex(account.get("code", "0x")[2:]),
            "storage": {
                int(slot, 16): int(value, 16) for slot, value in account.get("storage", {}).items()
            },
        }
        for address, account in genesis["alloc"].items()
    }


# ── archives ────────────────────────────────────────────────────────────────────────────────────


def write(out: Path, files: Mapping[str, bytes]) -> None:
    """The same files give the same bytes."""
    with tarfile.open(out, "w:xz", preset=9) as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    print(f"{out}: {len(files)} files, {out.stat().st_size / 1e3:.0f} kB")


def main(repository: Path, out: Path) -> None:
    prague = read_commit(repository, PRAGUE_CHAIN)
    prague.pop("README.md")
    requests = requests_by_block(Fixture(prague))
    write(out / f"{PRAGUE_CHAIN}.tar.xz", {**prague, "requests.json": _json(requests)})

    late = read_commit(repository, LATE_PRAGUE_CHAIN)
    kept = {path: data for path, data in late.items() if path.startswith(OF_THE_LATE_CHAIN)}
    kept |= {name: late[name] for name in ("genesis.json", "headfcu.json")}
    kept["head.rlp"] = split_chain(late["chain.rlp"])[-1]
    kept["state.json"] = _json(state_after(late))
    write(out / f"{LATE_PRAGUE_CHAIN}.tar.xz", kept)

    head = read_commit(repository, "HEAD")
    write(
        out / "newer.tar.xz",
        {path: data for path, data in head.items() if path.startswith(NEWER)},
    )


def _json(value: object) -> bytes:
    return json.dumps(value, indent=0, sort_keys=True).encode()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
