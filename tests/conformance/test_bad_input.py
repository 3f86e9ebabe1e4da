"""Payloads, attributes, fork choices and transactions with any single field altered, over HTTP: the
specified error or INVALID, no internal error, and afterwards the head and the next block as if
nothing had been said."""

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
import rlp
from eth_hash.auto import keccak

from dst.apis.engine_wire import ExecutionPayloadV3, payload_from_wire
from dst.apis.jwt import make_jwt
from dst.execution.block.executed import ExecutedBlock
from dst.execution.genesis import WITHDRAWAL_REQUESTS_ADDRESS, read_genesis
from dst.execution.header import header_of_payload
from dst.spec.errors import InvalidInput
from tests.conformance import alterations
from tests.conformance.blocks import hexed, read_block
from tests.conformance.differential import ours
from tests.conformance.differential.code import Apply, Mix, Program
from tests.conformance.differential.plan import (
    SENDERS,
    Authorization,
    Contract,
    Plan,
    PlannedBlock,
    PlannedTransaction,
    address_of,
)
from tests.conformance.role import Role, RoleHost
from tests.conformance.tally import Tally
from tests.stock_pyevm import block_bytes, open_stock

MakeTally = Callable[[str], Tally]
WRONG_SHAPE, REFUSED, INTERNAL = -32602, -32000, -32603
WRONG_ATTRIBUTES, WRONG_FORKCHOICE = -38003, -38002
ZERO = "0x" + "00" * 32
DEEP = b"[" * 300 + b"]" * 300
"""Deep, but within what a JSON reader takes."""


def simple(sender: int, **changes: Any) -> PlannedTransaction:
    base = PlannedTransaction(
        sender=sender, type_id=2, to=address_of(0xC0DE), value=1, gas=100_000, data=b"\x01"
    )
    return replace(base, **changes)


PLAN = Plan(
    contracts=(
        # what it does depends on the block's every field, so that one altered is another state
        Contract(
            address_of(0xC0DE),
            Program(tuple(Mix(Apply(opcode)) for opcode in (0x41, 0x42, 0x43, 0x44, 0x45, 0x48))),
        ),
    ),
    blocks=(
        PlannedBlock(
            transactions=(
                simple(0, type_id=0),
                simple(1, type_id=1, access_list=((address_of(0xC0DE), (1, 2)),)),
                simple(2),
                simple(3, type_id=4, authorizations=(Authorization(4, address_of(0xC0DE)),)),
                # a withdrawal request of EIP-7002: public key and amount, with its fee of 1 wei
                simple(0, to=WITHDRAWAL_REQUESTS_ADDRESS, data=bytes(56), gas=200_000),
            ),
            fee_recipient=address_of(0xFE),
            withdrawals=((SENDERS[1], 5), (address_of(0xD0), 7)),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A role at its genesis, and the block that is valid as the next one."""

    role: Role
    block: ExecutedBlock
    genesis_hash: str

    def parameters(self) -> list[Any]:
        wire = read_block(block_bytes(self.block))
        return wire.parameters(self.block.result.requests)

    def forkchoice(self) -> dict[str, str]:
        return {
            "headBlockHash": self.genesis_hash,
            "safeBlockHash": ZERO,
            "finalizedBlockHash": ZERO,
        }


@pytest.fixture(scope="module")
def scene(role_host: RoleHost) -> Iterator[Scene]:
    """At the end the role is asked for what it would have done at once: the block is VALID."""
    made = ours.run(PLAN)
    with role_host.serving(read_genesis(PLAN.genesis())) as role:
        shown = Scene(role, made.blocks[0], hexed(made.genesis_hash))
        yield shown
        status = role.engine.call("engine_newPayloadV4", *shown.parameters())
        assert status["status"] == "VALID", status
        moved = role.engine.call(
            "engine_forkchoiceUpdatedV3",
            {**shown.forkchoice(), "headBlockHash": hexed(shown.block.hash)},
            None,
        )
        assert moved["payloadStatus"]["status"] == "VALID", moved
        assert role.head_hash() == hexed(shown.block.hash)


def ask(scene: Scene, tally: Tally, case: str, method: str, params: Any) -> dict[str, Any] | None:
    """The answer, unless it already failed: an internal error, or the head moved."""
    answer = scene.role.engine.ask(method, params)
    if answer.get("error", {}).get("code") == INTERNAL:
        tally.fail(case, f"internal error: {answer['error']['message']}")
        return None
    if scene.role.head_hash() != scene.genesis_hash:
        tally.fail(case, "the head moved")
        return None
    return answer


def expect_error(
    answer: Mapping[str, Any], codes: tuple[int, ...], case: str, tally: Tally
) -> None:
    code = answer.get("error", {}).get("code")
    if code in codes:
        tally.ok()
    else:
        tally.fail(case, f"expected error {codes}, got {answer}")


def test_every_field_of_a_payload(scene: Scene, tally: MakeTally) -> None:
    """With the old block hash: nothing altered is ever VALID."""
    counts = tally("bad input: payload, one field altered, hash as it was")
    payload, *rest = scene.parameters()
    for each in alterations.alterations_of_payload(payload):
        answer = ask(scene, counts, each.what, "engine_newPayloadV4", [each.value, *rest])
        if answer is None:
            continue
        if each.misshapen:
            expect_error(answer, (WRONG_SHAPE,), each.what, counts)
        elif answer.get("error", {}).get("code") == WRONG_SHAPE:
            counts.ok()  # beyond the field's bits
        elif answer.get("result", {}).get("status") == "INVALID":
            counts.ok()
        else:
            counts.fail(each.what, f"expected INVALID, got {answer}")
    counts.check()


def test_every_field_of_a_payload_with_its_hash(scene: Scene, tally: MakeTally) -> None:
    """With the hash that belongs to it: VALID where unmodified py-evm imports the same block."""
    counts = tally("bad input: payload, one field altered, hash recomputed")
    payload, hashes, root, requests = scene.parameters()
    for each in alterations.alterations_of_payload(payload):
        if each.misshapen or each.what.startswith("blockHash"):
            continue
        rehashed = with_its_hash(each.value, root, requests)
        if rehashed is None:
            counts.skip("has no header: out of a field's range, refused by its shape above")
            continue
        answer = ask(
            scene, counts, each.what, "engine_newPayloadV4", [rehashed, hashes, root, requests]
        )
        if answer is None:
            continue
        status = answer.get("result", answer)
        judged = stock_verdict(rehashed, root, requests)
        wanted = "SYNCING" if each.what.startswith("parentHash") else judged
        if status.get("status") != wanted:
            counts.fail(each.what, f"expected {wanted}, got {status}")
        elif wanted == "INVALID" and status["latestValidHash"] != scene.genesis_hash:
            counts.fail(each.what, f"latestValidHash {status['latestValidHash']}, not the parent")
        else:
            why = "another parent" if wanted == "SYNCING" else "as stock py-evm has it"
            counts.notes[f"{wanted}, {why}"] += 1
            counts.ok()
    counts.check()


def with_its_hash(payload: Mapping[str, Any], root: str, requests: list[str]) -> Any:
    """The payload under the hash that its fields make; None when they make no header."""
    try:
        value = payload_from_wire(msgspec.convert(payload, ExecutionPayloadV3))
    except InvalidInput:
        return None
    header = header_of_payload(
        value, bytes.fromhex(root[2:]), [bytes.fromhex(each[2:]) for each in requests]
    )
    return {**payload, "blockHash": hexed(header.hash)}


def stock_verdict(payload: Mapping[str, Any], root: str, requests: list[str]) -> str:
    """VALID or INVALID by unmodified py-evm; it knows no validity of transactions worth the name,
    but an altered one pays from an account that has nothing."""
    value = payload_from_wire(msgspec.convert(payload, ExecutionPayloadV3))
    header = header_of_payload(
        value, bytes.fromhex(root[2:]), [bytes.fromhex(each[2:]) for each in requests]
    )
    withdrawals = [
        [each.index, each.validator_index, each.address, each.amount] for each in value.withdrawals
    ]
    try:
        transactions = [raw if raw[:1] < b"\x80" else rlp.decode(raw) for raw in value.transactions]
        encoded = rlp.encode([rlp.decode(header.encode()), transactions, [], withdrawals])
        chain = open_stock(PLAN.genesis())
        block_class = chain.get_vm_class_for_block_number(1).get_block_class()
        chain.import_block(rlp.decode(encoded, sedes=block_class))
    except Exception:
        return "INVALID"
    return "VALID"


def test_the_other_parameters_of_new_payload(scene: Scene, tally: MakeTally) -> None:
    counts = tally("bad input: the other parameters of newPayload")
    payload, hashes, root, requests = scene.parameters()
    whole: list[Any] = [payload, hashes, root, requests]
    shapes: tuple[Any, ...] = (None, 5, True, "", "0x", "0xzz", {}, [5], [None], "0x1234", [[]])
    for position in range(4):
        for wrong in shapes:
            params = [*whole[:position], wrong, *whole[position + 1 :]]
            case = f"parameter {position} = {wrong!r}"
            answer = ask(scene, counts, case, "engine_newPayloadV4", params)
            if answer is not None:
                expect_error(answer, (WRONG_SHAPE,), case, counts)
    for count in (0, 1, 2, 3, 5):
        params = [*whole, None][:count]
        answer = ask(scene, counts, f"{count} parameters", "engine_newPayloadV4", params)
        if answer is not None:
            expect_error(answer, (WRONG_SHAPE,), f"{count} parameters", counts)
    first = requests[0]
    for name, other, codes in (
        ("empty request", ["0x"], (WRONG_SHAPE,)),
        ("request without data", [first[:4]], (WRONG_SHAPE,)),
        ("requests twice", [first, first], (WRONG_SHAPE,)),
        ("requests out of order", ["0x02" + "00" * 116, first], (WRONG_SHAPE,)),
        ("no requests", [], None),
        ("another request", [first[:-1] + "f"], None),
    ):
        answer = ask(scene, counts, name, "engine_newPayloadV4", [payload, hashes, root, other])
        if answer is None:
            continue
        if codes is not None:
            expect_error(answer, codes, name, counts)
        elif answer.get("result", {}).get("status") == "INVALID":
            counts.ok()
        else:
            counts.fail(name, f"expected INVALID, got {answer}")
    counts.check()


def test_every_field_of_a_forkchoice_and_of_attributes(scene: Scene, tally: MakeTally) -> None:
    counts = tally("bad input: fork choice and payload attributes, one field altered")
    state = scene.forkchoice()
    method = "engine_forkchoiceUpdatedV3"
    for each in alterations.alterations_of_forkchoice(state):
        answer = ask(scene, counts, each.what, method, [each.value, None])
        if answer is None:
            continue
        if each.misshapen:
            expect_error(answer, (WRONG_SHAPE,), each.what, counts)
        elif each.what.startswith("head"):
            known = answer.get("result", {}).get("payloadStatus", {}).get("status")
            counts.ok() if known == "SYNCING" else counts.fail(each.what, f"got {answer}")
        else:
            expect_error(answer, (WRONG_FORKCHOICE,), each.what, counts)
    attributes = {
        "timestamp": hex(scene.block.header.timestamp),
        "prevRandao": ZERO,
        "suggestedFeeRecipient": "0x" + "00" * 20,
        "withdrawals": scene.parameters()[0]["withdrawals"],
        "parentBeaconBlockRoot": ZERO,
        "transactions": scene.parameters()[0]["transactions"],
        "noTxPool": True,
    }
    for each in alterations.alterations_of_attributes(attributes):
        answer = ask(scene, counts, each.what, method, [state, each.value])
        if answer is None:
            continue
        if each.misshapen:
            expect_error(answer, (WRONG_ATTRIBUTES, WRONG_SHAPE), each.what, counts)
        elif answer.get("error", {}).get("code") in (None, WRONG_ATTRIBUTES):
            counts.ok()
        else:
            counts.fail(each.what, f"got {answer}")
    counts.check()


def test_every_field_of_a_transaction(scene: Scene, tally: MakeTally) -> None:
    """eth_sendRawTransaction of each type with one RLP item altered: refused, and in no pool."""
    counts = tally("bad input: transactions, one field altered")
    for transaction in scene.block.transactions:
        for what, raw in altered_transactions(transaction.raw):
            case = f"type {transaction.type_id}: {what}"
            answer = scene.role.rpc.ask("eth_sendRawTransaction", [hexed(raw)])
            code = answer.get("error", {}).get("code")
            if code in (WRONG_SHAPE, REFUSED):
                counts.ok()
            else:
                counts.fail(case, f"0x{raw.hex()[:400]}: {answer}")
            known = scene.role.rpc.call("eth_getTransactionByHash", hexed(keccak(raw)))
            if known is not None:
                counts.fail(case, "refused, and yet known by its hash")
    status = scene.role.rpc.call("txpool_status")
    assert {int(each, 16) for each in status.values()} == {0}, status
    assert scene.role.head_hash() == scene.genesis_hash
    counts.check()


def altered_transactions(raw: bytes) -> Iterator[tuple[str, bytes]]:
    prefix = raw[:1] if raw[0] < 0x80 else b""
    fields: list[Any] = rlp.decode(raw[len(prefix) :])
    for at, field in enumerate(fields):
        for what, other in altered_items(field):
            if other != field:
                yield (
                    f"item {at} {what}",
                    prefix + rlp.encode([*fields[:at], other, *fields[at + 1 :]]),
                )
        yield f"item {at} left out", prefix + rlp.encode(fields[:at] + fields[at + 1 :])
    yield "an item more", prefix + rlp.encode([*fields, b""])
    yield "cut", raw[:-1]
    yield "a byte more", raw + b"\x00"
    yield "nothing", b""
    for type_id in (0, 3, 5, 0x7F, 0x80, 0xBF):
        yield f"type byte {type_id}", bytes([type_id]) + raw[len(prefix) :]


def altered_items(item: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(item, list):
        yield "as bytes", b"\x01"
        yield "nested", [item]
        yield "of junk", [b"\x01", []]
        for at, each in enumerate(item):
            for what, other in altered_items(each):
                yield f"[{at}] {what}", [*item[:at], other, *item[at + 1 :]]
        return
    yield "as a list", []
    yield "with a leading zero", b"\x00" + item
    yield "of 33 bytes", b"\x01" + bytes(32)
    yield "of all ones", b"\xff" * 32
    yield "emptied", b""
    yield (
        "+ 1",
        (int.from_bytes(item, "big") + 1).to_bytes(max(1, len(item)) + 1, "big").lstrip(b"\0"),
    )


def test_no_token_no_answer(scene: Scene, tally: MakeTally) -> None:
    counts = tally("bad input: JSON and tokens")
    body = b'{"jsonrpc":"2.0","id":1,"method":"engine_exchangeCapabilities","params":[[]]}'
    for name, token in tokens(scene.role.engine._secret or b""):
        status, _ = scene.role.engine.post(body, {"Authorization": token})
        counts.ok() if status == 401 else counts.fail(name, f"HTTP {status}")
    for name, sent, codes in (
        ("not JSON", b"{", (-32700,)),
        ("no bytes", b"", (-32700,)),
        ("not UTF-8", b'"\xff"', (-32700, 400)),
        ("deep", b"[" * 100_000, (-32700,)),
        (
            "deep parameters",
            b'{"method":"eth_call","id":1,"params":' + b"[" * 900 + b"]" * 900 + b"}",
            (WRONG_SHAPE, -32600),
        ),
        ("a number", b"5", (-32600,)),
        ("empty batch", b"[]", (-32600,)),
        ("no method", b'{"id":1}', (-32600,)),
        ("method of a wrong type", b'{"id":1,"method":5}', (-32600,)),
        ("unknown method", b'{"id":1,"method":"engine_newPayloadV9","params":[]}', (-32601,)),
        (
            "named parameters",
            b'{"id":1,"method":"eth_blockNumber","params":{"a":1}}',
            (WRONG_SHAPE,),
        ),
    ):
        status, answer = scene.role.engine.post(sent)
        code = json.loads(answer).get("error", {}).get("code") if status == 200 else status
        counts.ok() if code in codes else counts.fail(name, f"HTTP {status}: {answer[:200]!r}")
    status, _ = scene.role.engine.post(b" " * (5 << 20))
    counts.ok() if status == 413 else counts.fail("5 MB", f"HTTP {status}")
    assert scene.role.head_hash() == scene.genesis_hash
    counts.check()


def tokens(secret: bytes) -> Iterator[tuple[str, str]]:
    now = time.time()
    good = make_jwt(secret, now)
    header, claims, signature = good.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    yield "no token", ""
    yield "no scheme", good
    yield "basic", f"Basic {good}"
    yield "another secret", f"Bearer {make_jwt(b'x' * 32, now)}"
    yield "too old", f"Bearer {make_jwt(secret, now - 120)}"
    yield "from the future", f"Bearer {make_jwt(secret, now + 120)}"
    yield "no signature", f"Bearer {header}.{claims}."
    yield "two parts", f"Bearer {header}.{claims}"
    yield "algorithm none", f"Bearer {none}.{claims}."
    yield "algorithm none, signed", f"Bearer {none}.{claims}.{signature}"
    yield "junk", "Bearer \u00e9.a.b"
