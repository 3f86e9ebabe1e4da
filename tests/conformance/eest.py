"""Execution-spec-tests, `blockchain_tests` format, network Prague: each a genesis, a list of blocks
and what must come of each.

Two ways to run one: `over_http` as a consensus client would (newPayloadV4, forkchoiceUpdatedV3),
`in_process` on the chain alone (faster, for whole suites). Both ask the same: valid blocks VALID,
invalid blocks refused with a reason, and the head at the hash the test names.
"""

import json
import lzma
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from dst.apis.engine_wire import ExecutionPayloadV3, payload_from_wire
from dst.execution.block.executed import ExecutedBlock
from dst.execution.chain import Chain
from dst.execution.environment import InvalidBlock
from dst.execution.genesis import Genesis, read_genesis
from dst.execution.header import decode_header, header_of_payload
from dst.execution.interrupts import never
from dst.spec import rlp
from dst.spec.errors import InvalidInput
from dst.spec.primitives import ZERO_HASH, Hash32
from tests.conformance.blocks import NotAPayload, WireBlock, hexed, read_block
from tests.conformance.role import Role
from tests.conformance.short_store import short_store
from tests.conformance.tally import Tally

NETWORK = "Prague"
BLOBS = "blob transactions or blob gas, which this chain refuses by design"


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    pre: Mapping[str, Any]
    genesis_rlp: bytes
    blocks: tuple[tuple[bytes, str | None, tuple[bytes, ...]], ...]
    """(RLP, the exception it must raise or None, EIP-7685 requests as far as known)."""
    last_hash: str

    def wire_blocks(self) -> list[tuple[WireBlock | None, str | None, tuple[bytes, ...]]]:
        """None for a block that no payload can have the form of."""
        read: list[tuple[WireBlock | None, str | None, tuple[bytes, ...]]] = []
        for raw, exception, requests in self.blocks:
            try:
                read.append((read_block(raw), exception, requests))
            except NotAPayload:
                read.append((None, exception, requests))
        return read

    @property
    def reason_to_skip(self) -> str | None:
        header = decode_header(_header_of(self.genesis_rlp))
        if header.blob_gas_used or header.excess_blob_gas:
            return BLOBS
        blocks = (block for block, _, _ in self.wire_blocks() if block is not None)
        return BLOBS if any(block.has_blobs for block in blocks) else None

    def genesis(self) -> Genesis:
        """State by the product's own reader, header as published; the roots must agree."""
        file = {"config": {"chainId": 1}, "timestamp": 0, "gasLimit": "0x0", "alloc": self.pre}
        made = read_genesis(file)
        header = decode_header(_header_of(self.genesis_rlp))
        assert made.state.root == header.state_root, "the state before the blocks has another root"
        return replace(made, header=header)


def read_slice(path: Path) -> Iterator[Case]:
    """Our committed archive: xz of lines, each one fixture file with one case."""
    with lzma.open(path) as lines:
        for line in lines:
            yield from read_cases(line)


def read_cases(data: bytes) -> Iterator[Case]:
    """The Prague cases of one fixture file."""
    for name, test in json.loads(data).items():
        if test["network"] != NETWORK:
            continue
        yield Case(
            name=name,
            pre=test["pre"],
            genesis_rlp=_bytes(test["genesisRLP"]),
            blocks=tuple(
                (
                    _bytes(block["rlp"]),
                    _exception(block),
                    tuple(_bytes(each) for each in block.get("requests", ())),
                )
                for block in test["blocks"]
            ),
            last_hash=test["lastblockhash"],
        )


def _exception(block: Mapping[str, Any]) -> str | None:
    found = [value for key, value in block.items() if key.startswith("expectException")]
    return found[0] if found else None


# ── over HTTP ───────────────────────────────────────────────────────────────────────────────────


def over_http(case: Case, role: Role, tally: Tally) -> None:
    """One verdict in the tally."""
    problem = _drive(case, role, tally)
    if problem is None:
        tally.ok()
    else:
        tally.fail(case.name, problem)


def _drive(case: Case, role: Role, tally: Tally) -> str | None:
    for number, (block, exception, requests) in enumerate(case.wire_blocks()):
        if block is None:
            tally.notes["invalid blocks that no payload can express"] += 1
            continue
        answer = role.engine.ask("engine_newPayloadV4", block.parameters(requests))
        problem = _judge_answer(answer, exception, tally)
        if problem is not None:
            return f"block {number}: {problem}"
        if exception is None:
            state = {
                "headBlockHash": block.hash,
                "safeBlockHash": hexed(ZERO_HASH),
                "finalizedBlockHash": hexed(ZERO_HASH),
            }
            moved = role.engine.call("engine_forkchoiceUpdatedV3", state, None)
            if moved["payloadStatus"]["status"] != "VALID":
                return f"block {number}: forkchoiceUpdated says {moved}"
    head = role.head_hash()
    return None if head == case.last_hash else f"head {head}, expected {case.last_hash}"


def _judge_answer(answer: Mapping[str, Any], exception: str | None, tally: Tally) -> str | None:
    if exception is None:
        status = answer.get("result", answer)
        return None if status.get("status") == "VALID" else f"expected VALID, got {status}"
    if "error" in answer:
        tally.notes["invalid blocks refused as parameters (-32602)"] += 1
        code = answer["error"]["code"]
        return None if code == -32602 else f"expected INVALID ({exception}), got {answer['error']}"
    status = answer["result"]
    if status["status"] != "INVALID":
        return f"expected INVALID ({exception}), got {status}"
    if not status["validationError"]:
        return f"INVALID ({exception}) without a reason"
    by_hash = "blockhash mismatch" in status["validationError"]
    how = "by their hash" if by_hash else "by a rule"
    tally.notes[f"invalid blocks refused {how}"] += 1
    return None


# ── in process ──────────────────────────────────────────────────────────────────────────────────

OpenChain = Callable[[Genesis], Chain]


def open_in_memory(genesis: Genesis) -> Chain:
    return Chain(short_store(), genesis)


def in_process(case: Case, tally: Tally, open_chain: OpenChain = open_in_memory) -> Chain | None:
    """One verdict in the tally; the chain as it ended when it passed."""
    chain = open_chain(case.genesis())
    for number, (raw, exception, _) in enumerate(case.blocks):
        problem = _import(chain, raw, exception, tally)
        if problem is not None:
            tally.fail(case.name, f"block {number}: {problem}")
            return None
    head = hexed(chain.heads.head_hash)
    if head != case.last_hash:
        tally.fail(case.name, f"head {head}, expected {case.last_hash}")
        return None
    tally.ok()
    return chain


def _import(chain: Chain, raw: bytes, exception: str | None, tally: Tally) -> str | None:
    try:
        block = execute(chain, raw)
    except NotAPayload:
        tally.notes["invalid blocks that no payload can express"] += 1
        return None if exception else "no payload has its form"
    except InvalidBlock as error:
        if exception is None:
            return f"refused: {error}"
        tally.notes["invalid blocks refused by a rule"] += 1
        return None
    if exception is not None:
        return f"accepted, expected {exception}"
    chain.insert(block)
    chain.set_forkchoice(block.hash, ZERO_HASH, ZERO_HASH)
    return None


def execute(chain: Chain, raw: bytes) -> ExecutedBlock:
    """As newPayload does, but for the requests: of them the header's hash is what we have. Raises:
    NotAPayload, InvalidBlock."""
    wire = read_block(raw)
    try:
        payload = payload_from_wire(msgspec.convert(wire.payload, ExecutionPayloadV3))
    except InvalidInput as error:
        raise InvalidBlock(str(error)) from None
    root = _bytes(wire.parent_beacon_block_root)
    header = replace(header_of_payload(payload, root, ()), requests_hash=Hash32(wire.requests_hash))
    if hexed(header.hash) != wire.hash:
        raise InvalidBlock("blockhash mismatch")
    return chain.execute(header, payload.transactions, payload.withdrawals, never)


def _header_of(block: bytes) -> bytes:
    return rlp.encode(rlp.decode_list(block)[0])


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
