"""execution-apis' rpc-compat: a chain to import, and conversations to repeat on it word for word.

A conversation passes when each answer equals the recorded one as JSON (of an error the code and the
data: words are the client's own), or, marked `speconly`, has the same shape. One that may differ
stands in `EXPECTED_DIFFERENCES` with its reason, and fails when it no longer does.
"""

import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from dst.execution.chain import Chain
from dst.execution.genesis import Genesis, read_genesis
from dst.execution.header import decode_header
from dst.spec.primitives import Hash32
from tests.conformance.blocks import read_block, split_chain
from tests.conformance.role import Role, with_header
from tests.conformance.tally import Tally

METHOD_NOT_FOUND = -32601


@dataclass(frozen=True, slots=True)
class Conversation:
    name: str
    """method/test, as in the repository."""
    spec_only: bool
    exchanges: tuple[tuple[dict[str, Any], dict[str, Any]], ...]

    @property
    def method(self) -> str:
        return self.name.split("/")[0]


@dataclass(frozen=True, slots=True)
class Fixture:
    """One commit's tests: files by their path below `tests/`."""

    files: Mapping[str, bytes]

    def json(self, name: str) -> Any:
        return json.loads(self.files[name])

    def conversations(self) -> Iterator[Conversation]:
        for path, data in sorted(self.files.items()):
            if path.endswith(".io"):
                yield read_conversation(path.removesuffix(".io"), data.decode())


def by_shape(conversations: Iterator[Conversation]) -> Iterator[Conversation]:
    """For answers recorded on another chain: their values are not ours, their form is."""
    for each in conversations:
        yield replace(each, spec_only=True)


def load(archive: Path) -> Fixture:
    with tarfile.open(archive) as tar:
        handles = {each.name: tar.extractfile(each) for each in tar if each.isfile()}
        return Fixture(
            {
                name.removeprefix("tests/"): handle.read()
                for name, handle in handles.items()
                if handle is not None
            }
        )


def read_conversation(name: str, text: str) -> Conversation:
    lines = text.splitlines()
    asked = [json.loads(line[3:]) for line in lines if line.startswith(">> ")]
    answered = [json.loads(line[3:]) for line in lines if line.startswith("<< ")]
    assert len(asked) == len(answered), f"{name}: a question without an answer"
    spec_only = any(line.startswith("//") and "speconly:" in line for line in lines)
    return Conversation(name, spec_only, tuple(zip(asked, answered, strict=True)))


def genesis_of(fixture: Fixture) -> Genesis:
    """The chain began with a difficulty, which a genesis file of ours may not have."""
    file = fixture.json("genesis.json")
    made = read_genesis({**file, "difficulty": 0})
    return with_header(made, difficulty=int(file["difficulty"], 0))


def late_genesis_of(fixture: Fixture) -> Genesis:
    """For a chain whose last block alone is Prague: the state after it, under its header."""
    file = fixture.json("genesis.json")
    made = read_genesis(
        {**file, "difficulty": 0, "baseFeePerGas": 0, "alloc": fixture.json("state.json")}
    )
    header = decode_header(read_block(fixture.files["head.rlp"]).header)
    assert header.state_root == made.state.root, "the kept state is not the last block's"
    return replace(made, header=header)


@contextmanager
def beginning_at(genesis: Genesis) -> Iterator[None]:
    """A chain that begins at a height: its first block is found by that number too."""
    plain = Chain.canonical_hash

    def canonical_hash(chain: Chain, number: int) -> Hash32 | None:
        return plain(chain, 0 if number == genesis.header.number else number)

    with mock.patch.object(Chain, "canonical_hash", canonical_hash):
        yield


def import_chain(fixture: Fixture, role: Role) -> None:
    """Every block through newPayloadV4, then the recorded forkchoiceUpdated."""
    requests = fixture.json("requests.json")
    for raw in split_chain(fixture.files["chain.rlp"]):
        block = read_block(raw)
        asked = [bytes.fromhex(each[2:]) for each in requests.get(str(block.number), [])]
        status = role.engine.call("engine_newPayloadV4", *block.parameters(asked))
        assert status["status"] == "VALID", f"block {block.number}: {status}"
    call = fixture.json("headfcu.json")
    moved = role.engine.call(call["method"], *call["params"])
    assert moved["payloadStatus"]["status"] == "VALID", moved
    assert role.head_hash() == call["params"][0]["headBlockHash"]


LATER_FIELDS = frozenset({"blockTimestamp", "maxUsedGas"})
"""Fields that later recordings have (of logs and transactions, of simulated calls): ours has them,
and no recording says they must be absent."""


def repeat(conversation: Conversation, role: Role) -> str | None:
    """What differs, or None."""
    for asked, expected in conversation.exchanges:
        answer = role.rpc.ask(asked["method"], asked.get("params", []))
        answer = _without_later_fields(expected, answer)
        if conversation.spec_only and "result" in expected:
            problem = difference(_shape(expected), _shape(answer))
        else:
            problem = difference(_comparable(expected), _comparable(answer))
        if problem is not None:
            return problem
    return None


def _without_later_fields(expected: Any, found: Any) -> Any:
    if isinstance(expected, dict) and isinstance(found, dict):
        return {
            key: _without_later_fields(expected.get(key), value)
            for key, value in found.items()
            if key in expected or key not in LATER_FIELDS
        }
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [_without_later_fields(*pair) for pair in zip(expected, found, strict=True)]
    return found


def _comparable(answer: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: answer[key] for key in ("result", "error") if key in answer}
    if "error" in kept:
        kept["error"] = {key: kept["error"].get(key) for key in ("code", "data")}
    return kept


def _shape(value: Any) -> Any:
    """Keys and kinds; of a list the shapes that occur in it."""
    if isinstance(value, dict):
        return {key: _shape(each) for key, each in value.items() if key not in ("id", "message")}
    if isinstance(value, list):
        shapes: list[Any] = []
        for each in map(_shape, value):
            if each not in shapes:
                shapes.append(each)
        return sorted(shapes, key=str)
    return type(value).__name__


def difference(expected: Any, found: Any, at: str = "") -> str | None:
    """The first difference of two JSON values, with its path."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            if key not in found:
                return f"{at}.{key} is missing"
            if key not in expected:
                return f"{at}.{key} is extra: {_short(found[key])}"
            problem = difference(expected[key], found[key], f"{at}.{key}")
            if problem is not None:
                return problem
        return None
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return f"{at}: {len(found)} items, expected {len(expected)}"
        pairs = enumerate(zip(expected, found, strict=True))
        return next((text for i, (a, b) in pairs if (text := difference(a, b, f"{at}[{i}]"))), None)
    return None if expected == found else f"{at}: {_short(found)}, expected {_short(expected)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "…"


def judge(
    conversations: Iterator[Conversation],
    role: Role,
    tally: Tally,
    expected_differences: Mapping[str, str],
    not_served: Mapping[str, str],
) -> None:
    """One verdict each. `expected_differences`: conversation -> reason; `not_served`: method ->
    reason."""
    met = set()
    for conversation in conversations:
        problem = repeat(conversation, role)
        reason = expected_differences.get(conversation.name)
        missing = not_served.get(conversation.method)
        if reason is not None:
            met.add(conversation.name)
        if problem is None and (reason or missing):
            tally.fail(conversation.name, f"passes; take it off the list ({reason or missing})")
        elif problem is None:
            tally.ok()
        elif reason or missing:
            tally.skip(reason or f"{conversation.method}: {missing}")
        else:
            tally.fail(conversation.name, problem)
    for name in expected_differences.keys() - met:
        tally.fail(name, "listed as an expected difference, but there is no such conversation")
