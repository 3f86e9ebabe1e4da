"""The bender as a program over real HTTP: what is not named passes untouched, what is named comes
back bent, and each bent answer is counted."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from devnet.bender.rewrite import on_other_fork, other_hash
from devnet.model.bend import (
    TABLE,
    TOLD,
    Bend,
    BentLink,
    Endless,
    Form,
    Late,
    OldHead,
    OtherBlock,
    OtherFork,
    OtherHeader,
    Patched,
    Result,
    Silence,
    Status,
    Table,
    Told,
    Torn,
)
from devnet.model.topology import compute_topology
from devnet.network.programs import Plan
from devnet.toolchain.tools import REPOSITORY

TOPOLOGY = compute_topology(operators=4)
LINK = "op1>l1.rpc"


def block_hash(number: int) -> str:
    return f"0x{number + 0x1000:064x}"


def block(number: int) -> dict[str, str]:
    return {
        "number": hex(number),
        "hash": block_hash(number),
        "parentHash": block_hash(number - 1),
        "timestamp": hex(number * 2),
    }


@dataclass
class Service:
    """An L1, an engine and a Beacon API in one, as far as anybody asks here."""

    head: int = 40
    asked: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def rpc(self, request: web.Request) -> web.StreamResponse:
        call = await request.json()
        self.asked.append(call["method"])
        self.tokens.append(request.headers.get("Authorization"))
        if call["method"] == "slow":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.left.set()
                raise
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": self._of(call)})

    def _of(self, call: dict[str, Any]) -> Any:
        match call["method"], call["params"]:
            case "eth_blockNumber", _:
                return hex(self.head)
            case "eth_getBlockByNumber", ["latest", *_]:
                return block(self.head)
            case "eth_getBlockByNumber", [number, *_]:
                wanted = int(number, 16)
                return block(wanted) if wanted <= self.head else None
            case "eth_getBlockByHash", [text, *_]:
                wanted = int(text, 16) - 0x1000
                return block(wanted) if 0 <= wanted <= self.head else None
            case "engine_getPayloadV4", _:
                return {"executionPayload": {"stateRoot": "0x01", "gasUsed": "0x5"}}
        return call["method"]

    async def rest(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if "headers" in request.path:
            header = {"message": {"slot": "17"}, "signature": "0xab0"}
            return web.json_response({"data": {"root": "0x01", "header": header}})
        if request.path.endswith("/events"):
            stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await stream.prepare(request)
            await stream.write(b"event: head\n\n")
            await asyncio.sleep(60)
        return web.Response(body=f"block {request.path.rpartition('/')[2]}".encode())


@asynccontextmanager
async def serving() -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_post("/", service.rpc)
    app.router.add_get("/{path:.*}", service.rest)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.port = runner.addresses[0][1]
    yield service
    await runner.cleanup()


@dataclass
class Bent:
    """A bender before the service, and a client of it."""

    service: Service
    folder: Path
    session: aiohttp.ClientSession

    def told(self) -> Told:
        return msgspec.json.decode((self.folder / TOLD).read_bytes(), type=Told)

    async def rule(self, edition: str, bends: Sequence[Bend]) -> None:
        link = BentLink(service_port=self.service.port, bends=tuple(bends))
        table = Table(edition=edition, links={LINK: link})
        partial = self.folder / "partial"
        partial.write_bytes(msgspec.json.encode(table))
        partial.replace(self.folder / TABLE)

    async def until(self, what: Any) -> None:
        async with asyncio.timeout(60):
            while not ((self.folder / TOLD).exists() and what(self.told())):
                await asyncio.sleep(0.02)

    async def bent(self, count: int) -> None:
        """Until it says so many."""
        await self.until(lambda told: told.links[LINK].bent == count)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.told().links[LINK].port}"

    async def call(self, method: str, *params: Any, token: str = "t") -> Any:
        asked = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        headers = {"Authorization": token}
        async with self.session.post(self.url, json=asked, headers=headers) as response:
            answer = await response.json(content_type=None)
            assert answer["id"] == 7
            return answer["result"]

    async def get(self, path: str) -> tuple[int, bytes]:
        async with self.session.get(self.url + path) as response:
            return response.status, await response.read()


def mounted(folder: Path) -> Path:
    """What a container shows the program of our source, and nothing else."""
    program = Plan(TOPOLOGY, "docker", frozenset()).programs["l1.bender"]
    for path in program.code:
        source, there = REPOSITORY / path, folder / "app" / path
        there.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, there)
    return folder / "app"


@asynccontextmanager
async def bending(folder: Path, *bends: Bend) -> AsyncIterator[Bent]:
    within = aiohttp.ClientTimeout(total=30)
    async with serving() as service, aiohttp.ClientSession(timeout=within) as session:
        bent = Bent(service, folder, session)
        await bent.rule("first", bends)
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "devnet.bender.main", str(folder),
            cwd=folder, env={"PYTHONPATH": str(mounted(folder))},
        )  # fmt: skip
        try:
            await bent.until(lambda told: told.edition == "first")
            yield bent
        finally:
            program.kill()
            await program.wait()


def only(form: Form, *questions: str) -> Bend:
    return Bend(questions=questions or ("*",), form=form)


async def test_what_no_bend_names_passes_as_it_is_and_is_not_counted(tmp_path: Path) -> None:
    async with bending(tmp_path, only(Status(code=500), "eth_chainId")) as bent:
        assert await bent.call("eth_blockNumber", token="Bearer x.y.z") == "0x28"
        assert bent.service.tokens == ["Bearer x.y.z"]
        assert await bent.get("/eth/v2/beacon/blocks/17") == (200, b"block 17")
        async with bent.session.get(bent.url + "/eth/v1/events") as stream:
            assert await stream.content.readline() == b"event: head\n"  # at once, not at its end
        assert bent.told().links[LINK].bent == 0


async def test_who_stops_asking_has_left_the_service_too(tmp_path: Path) -> None:
    """A closed connection aborts an execution in the engine."""
    async with bending(tmp_path) as bent:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await bent.call("slow")
        async with asyncio.timeout(5):
            await bent.service.left.wait()


async def test_instead_of_the_service(tmp_path: Path) -> None:
    async with bending(
        tmp_path,
        only(Result(result={"status": "SYNCING"}), "engine_newPayload*"),
        only(Status(code=500), "engine_forkchoiceUpdated*"),
        only(Silence(), "eth_chainId"),
    ) as bent:
        assert await bent.call("engine_newPayloadV4", {}) == {"status": "SYNCING"}
        async with bent.session.post(
            bent.url, json={"id": 1, "method": "engine_forkchoiceUpdatedV3", "params": []}
        ) as response:
            assert response.status == 500
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await bent.call("eth_chainId")
        assert bent.service.asked == []
        await bent.bent(3)


async def test_torn_answers(tmp_path: Path) -> None:
    async with bending(
        tmp_path, only(Torn(where="half"), "a"), only(Torn(where="length"), "b")
    ) as bent:
        with pytest.raises(aiohttp.ClientPayloadError):
            await bent.call("a")
        with pytest.raises(json.JSONDecodeError):
            await bent.call("b")
        assert await bent.call("c") == "c"
        await bent.bent(2)


async def test_an_endless_answer_goes_on_until_nobody_reads(tmp_path: Path) -> None:
    async with bending(tmp_path, only(Endless())) as bent:
        async with bent.session.get(bent.url + "/x") as response:
            assert len(await response.content.readexactly(300_000)) == 300_000
        await bent.bent(1)
        assert (await bent.session.get(bent.url + "/x")).status == 200  # it is still there


async def test_late_is_the_same_answer_later(tmp_path: Path) -> None:
    async with bending(tmp_path, only(Late(seconds=0.4), "GET /eth/v?/validator/*")) as bent:
        started = asyncio.get_running_loop().time()
        assert await bent.get("/eth/v3/validator/blocks/9") == (200, b"block 9")
        assert asyncio.get_running_loop().time() - started >= 0.4


async def test_a_member_of_the_result_is_another(tmp_path: Path) -> None:
    form = Patched(path=("executionPayload", "stateRoot"), value="0x02")
    async with bending(tmp_path, only(form, "engine_getPayloadV*")) as bent:
        answer = await bent.call("engine_getPayloadV4", "0x1")
        assert answer == {"executionPayload": {"stateRoot": "0x02", "gasUsed": "0x5"}}


async def test_an_old_head_stays_while_l1_goes_on(tmp_path: Path) -> None:
    async with bending(tmp_path, only(OldHead())) as bent:
        assert await bent.call("eth_getBlockByNumber", "latest", False) == block(40)
        assert bent.told().links[LINK].bent == 0  # the truth so far
        bent.service.head = 45
        assert await bent.call("eth_getBlockByNumber", "latest", False) == block(40)
        assert await bent.call("eth_blockNumber") == "0x28"
        assert await bent.call("eth_getBlockByNumber", "0x2a", False) is None
        assert await bent.call("eth_getBlockByHash", block_hash(41), False) is None
        await bent.bent(4)
        assert await bent.call("eth_getBlockByHash", block_hash(39), False) == block(39)


async def test_another_fork_links_up_with_the_common_blocks_and_hides_the_others(
    tmp_path: Path,
) -> None:
    async with bending(tmp_path, only(OtherFork(depth=3), "eth_getBlockBy*")) as bent:
        head = await bent.call("eth_getBlockByNumber", "latest", False)
        walked = [head]
        while walked[-1]["number"] != hex(36):
            parent = await bent.call("eth_getBlockByHash", walked[-1]["parentHash"], False)
            assert parent["hash"] == walked[-1]["parentHash"]
            walked.append(parent)
        honest = {number: block_hash(number) for number in range(36, 41)}
        shown = {int(each["number"], 16): each["hash"] for each in walked}
        assert {n for n in honest if shown[n] != honest[n]} == {40, 39, 38}
        assert await bent.call("eth_getBlockByHash", block_hash(39), False) is None
        bent.service.head = 41
        newer = await bent.call("eth_getBlockByNumber", "0x29", False)
        assert newer["parentHash"] == head["hash"]


def test_the_other_forks_hashes_are_their_own_inverse() -> None:
    assert other_hash(other_hash(block_hash(5))) == block_hash(5) != other_hash(block_hash(5))
    assert on_other_fork(None, 5) is None
    assert on_other_fork("0x1", 5) == "0x1"


async def test_another_block_than_the_one_asked_for(tmp_path: Path) -> None:
    async with bending(
        tmp_path, only(OtherBlock(), "eth_getBlockBy*", "GET /eth/v2/beacon/blocks/*")
    ) as bent:
        assert await bent.call("eth_getBlockByNumber", "0x9", False) == block(8)
        assert await bent.call("eth_getBlockByHash", block_hash(9), False) == block(8)
        assert await bent.get("/eth/v2/beacon/blocks/17") == (200, b"block 16")
        await bent.bent(3)


@pytest.mark.parametrize(
    ("what", "slot", "signature"), [("signature", "17", "0xab1"), ("slot", "1017", "0xab0")]
)
async def test_another_header(what: Any, slot: str, signature: str, tmp_path: Path) -> None:
    async with bending(tmp_path, only(OtherHeader(what=what))) as bent:
        _, body = await bent.get("/eth/v1/beacon/headers/head")
        header = json.loads(body)["data"]["header"]
        assert header == {"message": {"slot": slot}, "signature": signature}


async def test_a_new_table_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """Though somebody still waits for an answer of the old one."""
    async with bending(tmp_path, only(Silence())) as bent:
        waiting = asyncio.gather(bent.get("/x"), return_exceptions=True)
        await bent.bent(1)
        await bent.rule("second", [only(Status(code=503))])
        await bent.until(lambda told: told.edition == "second")
        assert (await bent.get("/x"))[0] == 503
        async with asyncio.timeout(5):
            (ended,) = await waiting
        assert isinstance(ended, aiohttp.ClientError)
