"""eth_getProof against the state root, judged by py-trie."""

from importlib import import_module
from typing import Any

import pytest

from dst.crypto.keccak import keccak256
from dst.execution.genesis import PREDEPLOYS
from dst.execution.state.account import decode_account
from dst.spec import rlp
from tests.unit.execution.rpc.bench import Rpc
from tests.unit.execution.rpc.contracts import STORE
from tests.unit.execution.worlds import ADDRESSES, address_of, signed

judge: Any = import_module("trie").HexaryTrie


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def proven(root: str, key: bytes, proof: list[str]) -> bytes:
    """The value that the proof shows; raises when it proves nothing."""
    nodes = [rlp.decode(_unhex(node)) for node in proof]
    value: bytes = judge.get_from_proof(_unhex(root), keccak256(key), nodes)
    return value


async def ask(rpc: Rpc, address: bytes, *slots: str) -> tuple[dict[str, Any], str]:
    block = await rpc.ask("eth_getBlockByNumber", "latest", False)
    answer = await rpc.ask("eth_getProof", "0x" + address.hex(), list(slots), "latest")
    return answer, block["stateRoot"]


@pytest.mark.parametrize("address", [*ADDRESSES, STORE, *PREDEPLOYS])
async def test_accounts_are_proven(rpc: Rpc, address: bytes) -> None:
    rpc.extend([signed()])
    answer, root = await ask(rpc, address)
    account = decode_account(proven(root, address, answer["accountProof"]))
    assert (answer["balance"], answer["nonce"]) == (hex(account.balance), hex(account.nonce))
    assert _unhex(answer["codeHash"]) == account.code_hash
    assert _unhex(answer["storageHash"]) == account.storage_root


@pytest.mark.parametrize("number", range(1, 40))
async def test_absence_is_proven(rpc: Rpc, number: int) -> None:
    address = address_of(0x99_0000 + number)
    answer, root = await ask(rpc, address, "0x1")
    assert proven(root, address, answer["accountProof"]) == b""
    assert (answer["balance"], answer["nonce"]) == ("0x0", "0x0")
    assert answer["codeHash"] == answer["storageHash"] == "0x" + "00" * 32
    assert answer["storageProof"] == [{"key": "0x1", "value": "0x0", "proof": []}]


async def test_slots_are_proven(rpc: Rpc) -> None:
    """EIP-2935's contract holds a slot a block: a trie with branches, and with absent keys."""
    history = next(each for each in PREDEPLOYS if each.hex().endswith("2935"))
    blocks = [rpc.extend() for _ in range(20)]
    slots = [hex(number) for number in range(25)]
    answer, root = await ask(rpc, history, *slots)
    account = decode_account(proven(root, history, answer["accountProof"]))
    assert _unhex(answer["storageHash"]) == account.storage_root
    for number, shown in enumerate(answer["storageProof"]):
        encoded = proven(answer["storageHash"], number.to_bytes(32, "big"), shown["proof"])
        value = rlp.to_int(rlp.decode(encoded), what="value") if encoded else 0
        assert (shown["key"], shown["value"]) == (hex(number), hex(value))
        if number < len(blocks):
            assert value == int.from_bytes(blocks[number].header.parent_hash, "big")


async def test_keys_come_back_as_they_were_sent(rpc: Rpc) -> None:
    word = f"0x{5:064x}"
    answer, _ = await ask(rpc, STORE, "0x5", word)
    assert [each["key"] for each in answer["storageProof"]] == ["0x5", word]


async def test_an_older_state_is_proven_too(rpc: Rpc) -> None:
    rpc.extend([signed()])
    rpc.extend([signed(nonce=1)])
    block = await rpc.ask("eth_getBlockByNumber", "0x1", False)
    answer = await rpc.ask("eth_getProof", "0x" + ADDRESSES[0].hex(), [], "0x1")
    account = decode_account(proven(block["stateRoot"], ADDRESSES[0], answer["accountProof"]))
    assert account.nonce == 1


async def test_refusals(rpc: Rpc) -> None:
    address = "0x" + STORE.hex()
    many = await rpc.error("eth_getProof", address, ["0x0"] * 1_025, "latest")
    assert (many["code"], "too many slots (max 1024)" in many["message"]) == (-32602, True)
    unknown = await rpc.error("eth_getProof", address, [], "0x99")
    assert (unknown["code"], unknown["message"]) == (-32000, "header not found")
