"""ethereum/tests: transactions, tries and RLP, each read as its own format says.

The suite ends before Prague; what changed since is one rule, the floor of EIP-7623, and a valid
transaction that it forbids is skipped by name.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from dst.execution.state.nodes import EMPTY_REF, NodeStore, nothing_stored
from dst.execution.state.trie import Entry, Trie, to_nibbles
from dst.spec import rlp
from dst.spec.errors import InvalidInput
from dst.transactions.gas import intrinsic_gas
from dst.transactions.transaction import InvalidTransaction, Reason, decode_transaction
from dst.transactions.validity import check_stateless
from tests.conformance.sources import read_files
from tests.conformance.tally import Tally

CHAIN_ID = 1
NEWEST_FIRST = ("Prague", "Cancun", "Shanghai", "Paris", "London")
ABSENT = "content absent (left out of the clone)"
MAX_PERMUTED = 5


def run_all(source: Path, make_tally: Callable[[str], Tally]) -> list[Tally]:
    legs = (
        ("TransactionTests", transactions),
        ("TrieTests", tries),
        ("RLPTests", rlp_items),
    )
    tallies = []
    for folder, run in legs:
        counts = make_tally(f"ethereum/tests {folder}")
        for path, data in read_files(source, folder):
            if data is None:
                counts.skip(ABSENT)
            else:
                run(path, json.loads(data), counts)
        tallies.append(counts)
    return tallies


# ── transactions ────────────────────────────────────────────────────────────────────────────────


def transactions(path: str, tests: Mapping[str, Any], tally: Tally) -> None:
    for name, test in tests.items():
        results = test["result"]
        expected = next((results[fork] for fork in NEWEST_FIRST if fork in results), None)
        if expected is None:
            tally.skip("no result for a fork from London on")
        else:
            _transaction(f"{path}::{name}", bytes.fromhex(test["txbytes"][2:]), expected, tally)


def _transaction(case: str, raw: bytes, expected: Mapping[str, str], tally: Tally) -> None:
    exception = expected.get("exception")
    try:
        transaction = decode_transaction(raw)
        check_stateless(transaction, CHAIN_ID)
    except InvalidTransaction as error:
        if exception:
            tally.ok()
        elif error.reason is Reason.FLOOR_GAS:
            tally.skip("valid before Prague: below the calldata floor of EIP-7623")
        else:
            tally.fail(case, f"refused: {error}")
        return
    if exception and transaction.max_cost >> 256:
        tally.notes["refused by balance: no account can own what it may cost"] += 1
        tally.ok()
    elif exception:
        tally.fail(case, f"accepted, expected {exception}")
    elif ("0x" + transaction.hash.hex(), "0x" + transaction.sender.hex()) != (
        expected["hash"],
        expected["sender"],
    ):
        tally.fail(case, "hash or sender differs")
    elif intrinsic_gas(transaction) != int(expected["intrinsicGas"], 16):
        tally.fail(case, f"intrinsic gas {intrinsic_gas(transaction)}, expected {expected}")
    else:
        tally.ok()


# ── tries ───────────────────────────────────────────────────────────────────────────────────────


def tries(path: str, tests: Mapping[str, Any], tally: Tally) -> None:
    if "nextprev" in path:
        for _ in tests:
            tally.skip("asks for a key's neighbours, which our trie does not offer")
        return
    secure = "secure" in path.lower()
    for name, test in tests.items():
        given = test["in"]
        anyorder = isinstance(given, dict)
        pairs = [
            (_trie_bytes(key), _trie_bytes(value))
            for key, value in (given.items() if anyorder else given)
        ]
        for order in _orders(pairs) if anyorder else [pairs]:
            problem = _trie(order, secure, test["root"])
            if problem is not None:
                tally.fail(f"{path}::{name}", problem)
                break
        else:
            tally.ok()


def _orders(pairs: list[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    if len(pairs) <= MAX_PERMUTED:
        yield from map(list, itertools.permutations(pairs))
    else:
        yield pairs
        yield pairs[::-1]


def _trie(pairs: Iterable[tuple[bytes, bytes]], secure: bool, root: str) -> str | None:
    """In one go, and with a commit after every write, read back from the stored nodes."""
    stored: dict[bytes, bytes] = {}
    nodes = NodeStore(stored.get)
    often = EMPTY_REF
    wanted: dict[bytes, bytes] = {}
    for key, value in pairs:
        path = keccak(key) if secure else key
        change = Trie(nodes, often).update([Entry(to_nibbles(path), value)], nodes.new_version())
        stored |= change.nodes
        often = change.root
        wanted[path] = value
    entries = [Entry(to_nibbles(path), value) for path, value in wanted.items()]
    once = Trie(NodeStore(nothing_stored)).update(entries, 1).root
    found = {"0x" + each.hash.hex() for each in (once, often)}
    if found != {root}:
        return f"roots {found}, expected {root}"
    again = Trie(NodeStore(stored.get), often)
    lost = [key.hex() for key, value in wanted.items() if again.get(key) != value]
    return f"read back differs at {lost}" if lost else None


def _trie_bytes(text: str | None) -> bytes:
    if text is None:
        return b""
    return bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode("latin-1")


# ── RLP ─────────────────────────────────────────────────────────────────────────────────────────


def rlp_items(path: str, tests: Mapping[str, Any], tally: Tally) -> None:
    for name, test in tests.items():
        case, encoded = f"{path}::{name}", bytes.fromhex(test["out"].removeprefix("0x"))
        try:
            decoded = rlp.decode(encoded)
        except InvalidInput as error:
            if test["in"] == "INVALID":
                tally.ok()
            else:
                tally.fail(case, f"refused: {error}")
            continue
        if test["in"] == "INVALID":
            tally.fail(case, f"accepted as {decoded!r}")
        elif test["in"] != "VALID" and decoded != (item := _rlp_item(test["in"])):
            tally.fail(case, f"decoded as {decoded!r}, expected {item!r}")
        elif rlp.encode(decoded) != encoded:
            tally.fail(case, "another encoding than the one it was read from")
        else:
            tally.ok()


def _rlp_item(value: Any) -> rlp.Item:
    if isinstance(value, list):
        return [_rlp_item(each) for each in value]
    if isinstance(value, int):
        return rlp.int_to_bytes(value)
    if value.startswith("#"):
        return rlp.int_to_bytes(int(value[1:]))
    return value.encode("latin-1") if isinstance(value, str) else b""
