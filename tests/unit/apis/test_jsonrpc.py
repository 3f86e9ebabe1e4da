"""JSON-RPC 2.0 dispatch: codes, ids, batches."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.apis.jsonrpc import (
    MAX_BATCH,
    MAX_DEPTH,
    Job,
    Joint,
    Method,
    Outcome,
    RpcError,
    answer_body,
    rpc_routes,
)
from dst.apis.jsonrpc.answering import MAX_TOGETHER, MAX_VALUES, _is_too_deep
from dst.runtime.http import MAX_BODY_BYTES, make_app
from dst.runtime.metrics import Metrics
from dst.spec.errors import InvalidInput
from tests.unit.execution.rpc.bench import listening


async def echo(params: Sequence[Any]) -> object:
    return list(params)


async def fail(params: Sequence[Any]) -> object:
    raise RpcError(3, "execution reverted", "0x08")


async def picky(params: Sequence[Any]) -> object:
    raise InvalidInput("no")


async def broken(params: Sequence[Any]) -> object:
    raise ZeroDivisionError("secret detail")


METHODS = {"echo": echo, "fail": fail, "picky": picky, "broken": broken}


async def ask(body: object) -> Any:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    reply = await answer_body(raw, METHODS)
    return None if reply is None else msgspec.json.decode(reply)


async def code(body: object) -> int:
    return int((await ask(body))["error"]["code"])


async def test_results_keep_their_id() -> None:
    for request_id in (1, "a", None):
        reply = await ask({"jsonrpc": "2.0", "id": request_id, "method": "echo", "params": [1]})
        assert reply == {"jsonrpc": "2.0", "id": request_id, "result": [1]}


async def test_error_codes() -> None:
    assert await code(b"{nonsense") == -32700
    assert await code([]) == -32600
    assert await code({"id": 1}) == -32600
    assert await code({"id": 1, "method": 7}) == -32600
    assert await code({"id": 1, "method": "nothing"}) == -32601
    assert await code({"id": 1, "method": "echo", "params": {"a": 1}}) == -32602
    assert await code({"id": 1, "method": "picky"}) == -32602
    assert await code([{}] * (MAX_BATCH + 1)) == -32600


async def test_error_data_and_internal_errors() -> None:
    reply = await ask({"id": 1, "method": "fail"})
    assert reply["error"] == {"code": 3, "message": "execution reverted", "data": "0x08"}
    reply = await ask({"id": 1, "method": "broken"})
    assert reply["error"]["code"] == -32603
    assert "secret detail" not in reply["error"]["message"]


async def test_batches_and_notifications() -> None:
    assert await ask({"method": "echo"}) is None
    replies = await ask(
        [{"id": 1, "method": "echo"}, {"method": "echo"}, 5, {"id": 2, "method": "nothing"}]
    )
    assert [reply["id"] for reply in replies] == [1, None, 2]


async def test_others_run_between_the_requests_of_a_batch() -> None:
    """Also where no method pauses by itself."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(other())
        await ask([{"id": 1, "method": "echo"}] * 50)
        running.cancel()
    assert turns >= 50


async def test_nesting_is_bounded() -> None:
    def nested(levels: int) -> bytes:
        return b'{"id":1,"method":"echo","params":' + b"[" * levels + b"]" * levels + b"}"

    assert await code(nested(MAX_DEPTH + 1)) == -32600
    assert await code(nested(100_000)) == -32700
    assert "result" in await ask(nested(MAX_DEPTH - 1))
    shallow = [{"id": 1, "method": "echo", "params": [{"a": [1]}]}] * MAX_BATCH
    assert len(await ask(shallow)) == MAX_BATCH, "many brackets are not deep"


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0", b'""', b"[[[[[]]]]]"])
async def test_the_values_of_a_body_are_counted_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch, value: bytes
) -> None:
    """Decoding millions of small values would hold everything else that the event loop does."""
    body = b'{"id":1,"method":"echo","params":[%b]}' % b",".join([value] * (MAX_VALUES + 1))
    assert len(body) < MAX_BODY_BYTES
    with monkeypatch.context() as patch:
        patch.setattr(msgspec.json, "decode", lambda *_: pytest.fail("decoded"))
        reply = await answer_body(body, METHODS)
    assert reply is not None
    assert msgspec.json.decode(reply)["error"]["code"] == -32600
    half = b'{"id":1,"method":"echo","params":[%b]}' % b",".join([b"0"] * (MAX_VALUES // 2))
    assert len((await ask(half))["result"]) == MAX_VALUES // 2, (
        "an access list of 4 MiB has so many"
    )


@given(st.recursive(st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=60))
def test_depth_is_that_of_the_dumb_twin(value: object) -> None:
    def depth(each: object) -> int:
        return 1 + max(map(depth, each), default=0) if isinstance(each, list) else 0

    wrapped: Any = value
    for _ in range(MAX_DEPTH - 3):
        wrapped = [wrapped]
    body = msgspec.json.encode(wrapped)
    assert _is_too_deep(body, wrapped) is (depth(wrapped) > MAX_DEPTH)


async def test_an_id_is_a_string_a_number_or_null() -> None:
    wrong_ids: list[object] = [{}, [], True, [[1]]]
    for wrong in wrong_ids:
        reply = await ask({"id": wrong, "method": "echo"})
        assert reply["error"]["code"] == -32600
        assert reply["id"] in (None, True)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
async def test_any_bytes_get_an_answer_or_none(body: bytes) -> None:
    reply = await answer_body(body, METHODS)
    if reply is not None:
        decoded = msgspec.json.decode(reply)
        for each in decoded if isinstance(decoded, list) else [decoded]:
            assert each.keys() >= {"jsonrpc", "id"}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    guarded = rpc_routes(
        lambda _: METHODS, lambda request: "no token" if "X-None" in request.headers else None
    )
    async with listening(make_app(Metrics(), guarded)) as address:
        yield f"http://{address}/"


GOOD = b'{"id":1,"method":"echo","params":[]}'


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/json-rpc", 200),
        ("application/jsonrequest", 200),
        ("application/octet-stream", 415),
        ("text/json", 415),
        ("text/plain", 415),
        ("", 415),
    ],
)
async def test_content_types_are_geths(url: str, content_type: str, status: int) -> None:
    async with aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session:
        headers = {"Content-Type": content_type} if content_type else {}
        async with session.post(url, data=GOOD, headers=headers) as answer:
            assert answer.status == status


async def test_what_http_says(url: str) -> None:
    json_type = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as looked:
            assert (looked.status, await looked.read()) == (200, b"")
        async with session.put(url, data=GOOD, headers=json_type) as put:
            assert put.status == 405
        huge = b" " * (MAX_BODY_BYTES + 1)
        async with session.post(url, data=huge, headers=json_type) as refused:
            assert refused.status == 413
        async with session.post(url, data=GOOD, headers={**json_type, "X-None": "1"}) as guarded:
            assert guarded.status == 401
        async with session.post(url, data=b'{"method":"echo"}', headers=json_type) as silent:
            assert (silent.status, await silent.read()) == (204, b"")


class Counting:
    """A runner that takes at most `share` jobs at a time, and the sizes of its runs."""

    def __init__(self, share: int) -> None:
        self._share = share
        self.runs: list[int] = []

    async def __call__(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        self.runs.append(min(len(jobs), self._share))
        outcomes: list[Outcome] = []
        for job in jobs[: self._share]:
            try:
                outcomes.append(job())
            except Exception as error:
                outcomes.append(error)
        return outcomes


def divide(params: Sequence[Any]) -> Job:
    if len(params) != 2:
        raise InvalidInput("two numbers")
    return lambda: params[0] / params[1]


def joint(runner: Counting) -> dict[str, Method]:
    return {**METHODS, "divide": Joint(runner, divide), "halve": Joint(runner, halve)}


def halve(params: Sequence[Any]) -> Job:
    return lambda: divide([*params, 2])()


REQUESTS = st.sampled_from(
    [
        {"method": "divide", "params": [8, 2]},
        {"method": "divide", "params": [8, 0]},
        {"method": "divide", "params": [8]},
        {"method": "divide", "params": {"a": 1}},
        {"method": "halve", "params": [3]},
        {"method": "echo", "params": [3]},
        {"method": "fail"},
        {"method": "nothing"},
        {"method": 7},
        5,
    ]
)


@given(st.lists(st.tuples(REQUESTS, st.booleans()), max_size=80), st.integers(1, MAX_TOGETHER))
def test_a_batch_answers_as_its_requests_one_by_one(
    drawn: list[tuple[Any, bool]], share: int
) -> None:
    """Whatever the runner takes at a time; without an id there is no answer."""
    items = [
        {**item, "id": index} if isinstance(item, dict) and has_id else item
        for index, (item, has_id) in enumerate(drawn)
    ]

    async def compare() -> None:
        methods = joint(Counting(share))
        singles = [await answer_body(msgspec.json.encode(each), methods) for each in items]
        expected = [msgspec.json.decode(each) for each in singles if each is not None]
        reply = await answer_body(msgspec.json.encode(items), methods) if items else None
        assert (msgspec.json.decode(reply) if reply else []) == expected

    asyncio.run(compare())


async def test_neighbours_of_one_runner_share_a_run() -> None:
    runner = Counting(MAX_TOGETHER)
    half, echoed = {"id": 1, "method": "halve", "params": [3]}, {"id": 1, "method": "echo"}
    whole = {"id": 1, "method": "divide", "params": [3, 1]}
    batch = [half, whole, half, echoed, half, *([whole] * (MAX_TOGETHER + 2))]
    await answer_body(msgspec.json.encode(batch), joint(runner))
    assert runner.runs == [3, MAX_TOGETHER, 3]
