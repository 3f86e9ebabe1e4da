"""The eyes, against the real server bindings: a tail that survives restarts, and probes that
complain in words."""

import asyncio
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devnet.backends.base import (
    MEMORY_END,
    NOTHING_EXTRA,
    BackendError,
    CpuUse,
    Extra,
    ProgramStatus,
    RunState,
)
from devnet.faults.surface import CannotInject
from devnet.faults.targets import links_between
from devnet.model.clock import now
from devnet.model.cut import CutMode
from devnet.model.history import (
    BlockRead,
    Event,
    EventKind,
    ExceptionLogged,
    NoReceipt,
    ReceiptSeen,
    Record,
)
from devnet.model.topology import Link, compute_topology
from devnet.network.log_keeper import LogKeeper
from devnet.probes.chain import block_of, read_end_state, read_receipt
from devnet.probes.events import EventTail, record_of
from devnet.probes.health import links_up, read_waits, sum_of
from devnet.probes.logs import Log, watch_logs
from devnet.probes.rpc import Rpc, RpcRefused, RpcUnknown
from devnet.runner import surroundings
from devnet.runner.stages import background
from devnet.runner.surroundings import LiveLinks, LivePrograms
from dst.apis.dst_v1 import Event as WireEvent
from dst.apis.dst_v1 import EventKind as WireKind
from dst.apis.dst_v1 import Hello, NumberedEvent, dst_v1_routes
from dst.spec.primitives import Height, Root, Round, Slot
from tests.unit.chaos.fake_network import in_virtual_time

METRICS = """
dst_p2p_link_up{peer="op2"} 1
dst_p2p_link_up{peer="op3"} 0.0
dst_p2p_sent_bytes_total{peer="op2"} 1500.0
dst_p2p_sent_bytes_total{peer="op3"} 500
dst_p2p_sent_bytes_total_of_something_else 7
"""


def test_metrics_are_read_by_name_and_peer() -> None:
    assert links_up(METRICS) == {"op2": True, "op3": False}
    assert sum_of(METRICS, "dst_p2p_sent_bytes_total") == 2000.0
    assert sum_of("", "dst_p2p_sent_bytes_total") == 0.0


def test_samples_are_told_apart_by_their_labels() -> None:
    text = """
dst_inbox_dropped_total{inbox="consensus",peer="op2"} 3.0
dst_inbox_dropped_total{inbox="sealing",peer="op2"} 4
dst_inbox_dropped_total{inbox="sealing",peer="op20"} 100
dst_inbox_dropped_total_of_something_else{peer="op2"} 1000
"""
    assert sum_of(text, "dst_inbox_dropped_total", {"peer": "op2"}) == 7.0
    both = {"peer": "op2", "inbox": "sealing"}
    assert sum_of(text, "dst_inbox_dropped_total", both) == 4.0
    assert sum_of(text, "dst_inbox_dropped_total", {"peer": "op3"}) == 0.0


def wire_event(height: int) -> WireEvent:
    return WireEvent(
        kind=WireKind.DECIDED,
        operator="op1",
        monotonic=float(height),
        wall=0.0,
        height=Height(height),
        round=Round(0),
        root=Root(bytes(32)),
        slot=Slot(height),
        extra={"milliseconds": 3},
    )


def test_a_wire_event_keeps_everything_it_says() -> None:
    assert record_of("f1", wire_event(7)) == Event(
        kind=EventKind.DECIDED,
        node="f1",
        height=7,
        round=0,
        root="0x" + "00" * 32,
        slot=7,
        monotonic=7.0,
        wall=0.0,
        detail={"milliseconds": 3},
    )


class FakeDstNode:
    """What `dst_v1_routes` needs for its event stream: numbered events, a boot, and an end."""

    def __init__(self, boot: str, heights: Iterable[int]) -> None:
        self._hello = Hello(operator="op1", boot=boot, decided_height=0)
        self._events = [wire_event(height) for height in heights]
        self.asked: list[int | None] = []

    def hello(self) -> Hello:
        return self._hello

    async def event_stream(self, after: int | None) -> AsyncIterator[NumberedEvent]:
        self.asked.append(after)
        for sequence, event in enumerate(self._events, 1):
            if after is None or sequence > after:
                yield NumberedEvent(sequence=sequence, event=event)


@asynccontextmanager
async def served(node: FakeDstNode, port: int = 0) -> AsyncIterator[int]:
    application = web.Application()
    application.add_routes(dst_v1_routes(node))  # type: ignore[arg-type]  # the stream's part is enough
    server = TestServer(application, port=port or None)
    await server.start_server()
    try:
        assert server.port is not None
        yield server.port
    finally:
        await server.close()


async def tail_until(port: int, tail: EventTail, records: list[Record], count: int) -> None:
    async with asyncio.timeout(10):
        task = asyncio.get_running_loop().create_task(tail.run())
        while len(records) < count:
            await asyncio.sleep(0.005)
        task.cancel()


async def test_a_tail_resumes_after_a_break_and_starts_over_after_a_restart() -> None:
    records: list[Record] = []
    node = FakeDstNode("first", [1, 2, 3])
    async with served(node) as port:
        tail = EventTail("op1", f"http://127.0.0.1:{port}", records.append)
        await tail_until(port, tail, records, 3)
        # Same process, broken connection: nothing is told twice.
        node._events.append(wire_event(4))
        await tail_until(port, tail, records, 4)
    assert node.asked[0] is None
    assert 3 in node.asked
    restarted = FakeDstNode("second", [5, 6])
    async with served(restarted, port):
        await tail_until(port, tail, records, 6)
    heights = [record.height for record in records if isinstance(record, Event)]
    assert heights == [1, 2, 3, 4, 5, 6]
    assert tail.boots == 2


@asynccontextmanager
async def json_rpc(answer: object, status: int = 200) -> AsyncIterator[Rpc]:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response(answer, status=status)

    application = web.Application()
    application.router.add_post("/", handle)
    server = TestServer(application)
    await server.start_server()
    async with aiohttp.ClientSession() as session:
        yield Rpc(session, str(server.make_url("/")))
    await server.close()


async def test_a_refusal_is_told_from_no_answer() -> None:
    async with json_rpc({"error": {"code": -32000, "message": "nonce too low"}}) as rpc:
        with pytest.raises(RpcRefused, match="nonce too low"):
            await rpc.call("eth_sendRawTransaction", "0x")
    async with json_rpc(["nonsense"]) as rpc:
        with pytest.raises(RpcUnknown, match="not a JSON-RPC answer"):
            await rpc.call("eth_chainId")
    async with aiohttp.ClientSession() as session:
        with pytest.raises(RpcUnknown):
            await Rpc(session, "http://127.0.0.1:1").call("eth_chainId")


async def test_a_receipt_of_a_strange_shape_is_none() -> None:
    async with json_rpc({"result": {"blockHash": None}}) as rpc:
        rpc.name = "op1"  # type: ignore[attr-defined]  # an endpoint is a named RPC
        assert await read_receipt(rpc, "0x01") is None  # type: ignore[arg-type]


class _Served:
    """A node whose execution layer has the blocks up to a height, each with one transaction."""

    def __init__(self, name: str, *, upto: int, receipt: object = None) -> None:
        self.name, self._upto, self._receipt = name, upto, receipt
        self.serves_from = 0.0

    async def call(self, method: str, *params: Any) -> Any:
        if method == "eth_getTransactionReceipt":
            if isinstance(self._receipt, Exception):
                raise self._receipt
            return self._receipt
        height = int(params[0], 16)
        served = {
            "number": hex(height), "hash": f"0x{height}", "parentHash": f"0x{height - 1}",
            "stateRoot": "0x", "transactions": ["0xaa"], "timestamp": hex(height),
        }  # fmt: skip
        return served if height <= self._upto and now() >= self.serves_from else None


async def the_end(*nodes: _Served) -> tuple[dict[str, str], list[Record]]:
    found: list[Record] = []
    unread = await read_end_state(
        endpoints=nodes, proof_readers=(), transactions=["0xaa", "0xbb", "0xcc"], first=5, last=8,
        record=found.append,
    )  # fmt: skip
    return unread, found


@pytest.mark.parametrize(("later", "served"), [(2.9, 4), (3.2, 0)])
def test_what_a_node_comes_to_serve_in_a_moment_is_waited_for(later: float, served: int) -> None:
    async def work() -> list[Record]:
        node = _Served("op1", upto=8)
        node.serves_from = now() + later
        return (await the_end(node))[1]

    found = in_virtual_time(work)
    assert sum(isinstance(item, BlockRead) for item in found) == served


def test_a_receipt_that_a_node_does_not_have_is_recorded_as_such() -> None:
    unread, found = in_virtual_time(lambda: the_end(_Served("op1", upto=8), _Served("op2", upto=5)))
    assert not unread
    missing = [item for item in found if isinstance(item, NoReceipt)]
    assert [(item.node, item.transaction) for item in missing] == [
        ("op1", "0xaa"), ("op2", "0xbb"), ("op1", "0xcc"),
    ]  # fmt: skip
    assert Counter(item.node for item in found if isinstance(item, BlockRead)) == {
        "op1": 4,
        "op2": 1,
    }


@pytest.mark.parametrize("answer", [RpcUnknown("no answer"), RpcRefused(-1, "no"), {"x": 1}, "?"])
async def test_a_node_that_cannot_say_whether_it_has_a_receipt_is_not_read(answer: object) -> None:
    good = {"blockHash": "0x5", "blockNumber": "0x5", "transactionIndex": "0x0"}
    nodes = _Served("op1", upto=8, receipt=answer), _Served("op2", upto=8, receipt=good)
    asked = []
    call = nodes[0].call

    async def counted(method: str, *params: Any) -> Any:
        asked.append(params)
        return await call(method, *params)

    nodes[0].call = counted  # type: ignore[method-assign]
    unread, found = await the_end(*nodes)
    assert unread.keys() == {"op1"}
    assert unread["op1"].startswith("receipt of 0xaa: ")
    assert [item.node for item in found if isinstance(item, ReceiptSeen)] == ["op2", "op2"]
    assert ("0xcc",) not in asked, "it is asked for no other"
    unread, _ = await the_end(*nodes[:1])
    assert unread.keys() == {"op1"}, "nobody is left to ask"


def test_a_block_is_read_from_its_json() -> None:
    block = block_of(
        "op1",
        {
            "number": "0x10",
            "hash": "0xAA",
            "parentHash": "0xBB",
            "stateRoot": "0xCC",
            "transactions": ["0xDD"],
            "timestamp": "0x11",
        },
    )
    assert (block.height, block.block_hash, block.transactions) == (16, "0xaa", ("0xdd",))
    assert block.timestamp == 17


class FakeBackend:
    """Programs in one state; refuses when `broken`."""

    kind = "process"

    def __init__(self, state: RunState, broken: bool = False, detail: str = "") -> None:
        self.state, self.detail = state, detail
        self.broken = broken
        self.killed: list[str] = []
        self.started: list[Extra] = []
        self.extra: dict[str, str] = {}

    async def start(self, names: Iterable[str], extra: Extra = NOTHING_EXTRA) -> None:
        self.started.append(extra)
        self.state = RunState.RUNNING

    async def kill(self, names: Iterable[str]) -> None:
        if self.broken:
            raise BackendError("no such container")
        self.killed = list(names)
        self.state = RunState.KILLED

    async def pause(self, names: Iterable[str]) -> None:
        self.state = RunState.PAUSED

    async def resume(self, names: Iterable[str]) -> None:
        self.state = RunState.RUNNING

    async def status(self) -> Mapping[str, ProgramStatus]:
        topology = compute_topology(operators=4)
        names = [name for pod in topology.pods for name in pod.programs]
        return {
            name: ProgramStatus(
                name=name, state=self.state, detail=self.detail, extra=self.extra.get(name, "")
            )
            for name in (*names, *self.extra)
        }


class Kernel(FakeBackend):
    """What it says of shares and waits."""

    def __init__(self) -> None:
        super().__init__(RunState.RUNNING)
        self.use: dict[str, CpuUse] = {}

    def says(self, percent: float | None, **held_back_s: float) -> None:
        for role, seconds in held_back_s.items():
            self.use[f"op2.{role}"] = CpuUse(percent=percent, held_back_s=seconds)

    async def hold_cpu(self, names: Iterable[str], percent: int | None) -> None: ...

    async def cpu(self, names: Iterable[str]) -> Mapping[str, CpuUse]:
        return {name: self.use[name] for name in names if name in self.use}


async def test_a_node_is_starved_while_some_program_of_it_waits_more_and_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it waited before it was held does not count; a validator has little to wait for."""
    moment, kernel = [100.0], Kernel()
    monkeypatch.setattr(surroundings, "now", lambda: moment[0])
    held = ["op2.rollup", "op2.validator"]
    async with aiohttp.ClientSession() as session:
        programs = live_programs(kernel, session)
        kernel.says(None, rollup=7.0, validator=0.0)
        assert await programs.not_free(held) == ""
        await programs.hold_cpu(held, 5)
        assert await programs.not_held(held, 5) == "op2.rollup, op2.validator not held to 5 %"
        kernel.says(5.0, rollup=7.0, validator=0.0)
        easy = "none of op2.rollup, op2.validator had to wait for a processor"
        assert await programs.not_held(held, 5) == easy
        assert await programs.not_free(held) == "op2.rollup, op2.validator still held"
        kernel.says(5.0, rollup=7.5)
        for wait, told in ((0.0, ""), (4.0, ""), (1.5, easy)):
            moment[0] += wait
            assert await programs.not_held(held, 5) == told
        kernel.says(5.0, rollup=8.0)
        assert await programs.not_held(held, 5) == ""
        kernel.says(10.0, validator=0.0)
        assert await programs.not_held(held, 5) == "op2.validator not held to 5 %"
        del kernel.use["op2.rollup"]
        assert "op2.rollup" in await programs.not_held(held, 5)


@pytest.mark.parametrize(
    ("state", "detail", "is_proven"),
    [
        (RunState.KILLED, f"killed by SIGKILL {MEMORY_END}", True),
        (RunState.KILLED, "Exited (137) 2 seconds ago", False),
        (RunState.CRASHED, f"killed by SIGKILL {MEMORY_END}", False),
        (RunState.RUNNING, "container 0", False),
    ],
)
async def test_only_an_end_for_want_of_memory_is_one(
    state: RunState, detail: str, is_proven: bool
) -> None:
    async with aiohttp.ClientSession() as session:
        programs = live_programs(FakeBackend(state, detail=detail), session)
        assert (await programs.not_out_of_memory(["op1.rollup"]) == "") is is_proven


NO_LOGS = Path("nowhere")


def live_programs(
    backend: FakeBackend, session: aiohttp.ClientSession, logs: Path = NO_LOGS
) -> LivePrograms:
    # Ports of nobody: every health probe is refused, as from a dead node.
    topology = compute_topology(operators=4, port_offset=11_000)
    return LivePrograms(backend, topology, session, logs)  # type: ignore[arg-type]


EVERY_ROLE = tuple(f"op2.{role}" for role in ("execution", "rollup", "middleware", "validator"))


async def test_what_was_killed_is_down_and_not_up() -> None:
    backend = FakeBackend(RunState.RUNNING)
    async with aiohttp.ClientSession() as session:
        programs = live_programs(backend, session)
        await programs.kill(EVERY_ROLE)
        assert backend.killed == list(EVERY_ROLE)
        assert await programs.not_down(EVERY_ROLE) == ""
        assert "op2.validator" in await programs.not_up(EVERY_ROLE)


async def test_a_program_that_runs_on_is_not_down() -> None:
    async with aiohttp.ClientSession() as session:
        programs = live_programs(FakeBackend(RunState.RUNNING), session)
        assert await programs.not_down(["op1.rollup"]) == "op1.rollup still running"


async def test_a_program_that_runs_and_does_not_serve_is_not_up() -> None:
    """A validator has no port to ask."""
    async with aiohttp.ClientSession() as session:
        programs = live_programs(FakeBackend(RunState.RUNNING), session)
        silent = await programs.not_up(["op2.rollup", "op2.validator"])
        assert silent == "no answer from op2.rollup"


async def test_a_validator_is_up_once_it_says_that_its_store_is_open(tmp_path: Path) -> None:
    name, backend = "op2.validator", FakeBackend(RunState.KILLED)
    log, ready = tmp_path / f"{name}.log", "2026-11-26T16:59:13.997Z INFO op2 validator ready x=1\n"
    async with aiohttp.ClientSession() as session:
        programs = live_programs(backend, session, tmp_path)
        for before in ("", ready):
            log.write_text(before)  # of an earlier start
            await programs.start([name], flags=["--rejoin"])
            assert await programs.not_up([name]) == "op2.validator not ready"
            with log.open("a") as more:
                more.write("error: config\n" + ready)
            assert await programs.not_up([name]) == ""
            await programs.start([name])  # it runs, and will not say it again
            assert await programs.not_up([name]) == ""
            await programs.kill([name])
        log.unlink()
        await programs.start([name])
        assert await programs.not_up([name]) == "op2.validator not ready"


BUILD = """\
dst_build_info{code="0123456789ab",version="0.2.0"} 1.0
dst_other{code="ffffffffffff"} 1.0
"""


async def test_programs_tell_which_code_they_run_in_their_metrics_and_a_validator_in_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def metrics(_session: object, url: str, _seconds: float) -> str | None:
        asked.append(url)
        return BUILD if url.endswith(":31204/metrics") else None

    monkeypatch.setattr("devnet.runner.surroundings.read_metrics", metrics)
    backend, log = FakeBackend(RunState.RUNNING), tmp_path / "op2.validator.log"
    line = "2026-11-26T16:59:13.997Z INFO op2 validator ready index=2 code={}\n"
    async with aiohttp.ClientSession() as session:
        programs = live_programs(backend, session, tmp_path)
        assert await programs.codes(["op2.validator"]) == {}
        log.write_text(line.format("aa") + "something else\n" + line.format("bb")[:-1])
        assert await programs.codes(["op2.validator"]) == {"op2.validator": "aa"}
        with log.open("a") as more:
            more.write("\n")
        assert await programs.codes(["op2.validator"]) == {"op2.validator": "bb"}
        assert await programs.codes(["op2.validator"]) == {"op2.validator": "bb"}
        backend.state = RunState.KILLED
        assert await programs.codes(["op2.validator"]) == {}
        await programs.start(["op2.validator"])  # and has not said yet what it is
        assert await programs.codes(["op2.validator"]) == {}
        told = await programs.codes(["op2.execution", "op2.rollup"])
        assert told == {"op2.rollup": "0123456789ab"}, "of those that answer, by that metric alone"
        assert len(asked) == 2


async def test_a_program_that_runs_otherwise_than_ever_is_told() -> None:
    backend = FakeBackend(RunState.RUNNING)
    backend.extra = {"op2.middleware": "run as devnet.byzantine", "l1.bender": ""}
    async with aiohttp.ClientSession() as session:
        programs = live_programs(backend, session)
        assert await programs.otherwise() == {
            "op2.middleware": "run as devnet.byzantine",
            "l1.bender": "runs",
        }
        backend.state = RunState.KILLED
        assert await programs.otherwise() == {}


async def test_what_the_backend_refuses_is_the_receipts_error() -> None:
    async with aiohttp.ClientSession() as session:
        programs = live_programs(FakeBackend(RunState.RUNNING, broken=True), session)
        with pytest.raises(CannotInject, match="no such container"):
            await programs.kill(["op1.rollup"])


async def test_a_start_may_be_another_than_ever() -> None:
    backend = FakeBackend(RunState.KILLED)
    async with aiohttp.ClientSession() as session:
        programs = live_programs(backend, session)
        await programs.start(["op1.rollup"])
        how = {"DST_CRASH_AT": "vote-after-send"}
        await programs.start(["op1.rollup"], flags=["--rejoin"], environment=how, ends_with=86)
    assert backend.started == [
        NOTHING_EXTRA,
        Extra(flags=("--rejoin",), environment=tuple(how.items()), ends_with=86),
    ]


@pytest.mark.parametrize(
    ("state", "detail", "is_it"),
    [
        (RunState.KILLED, "exit code 86", True),
        (RunState.KILLED, "Exited (86) 2 seconds ago", True),
        (RunState.KILLED, "exit code 0", False),
        (RunState.KILLED, "exit code 186", False),
        (RunState.KILLED, "killed by SIGKILL", False),
        (RunState.CRASHED, "exit code 86", False),
        (RunState.RUNNING, "pid 86", False),
    ],
)
async def test_an_end_is_known_by_its_exit_code(state: RunState, detail: str, is_it: bool) -> None:
    """As either backend tells it."""
    async with aiohttp.ClientSession() as session:
        programs = live_programs(FakeBackend(state, detail=detail), session)
        complaint = await programs.not_ended_with(["op1.rollup"], 86)
        assert (complaint == "") is is_it
        assert is_it or detail in complaint


def consensus(groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return links_between(compute_topology(operators=4), groups)


FOUR = compute_topology(operators=4)


def told_up(**peers: str) -> dict[str, str | None]:
    """Node -> its metrics, with the links to these peers up and no others."""
    return {
        node: "".join(
            f'dst_p2p_link_up{{peer="{peer}"}} {int(peer in up)}\n'
            for peer in FOUR.operator_names
            if peer != node
        )
        for node, up in peers.items()
    }


async def test_who_does_not_dial_again_is_told_from_who_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics = told_up(op1="op2 op3 op4", op2="op1 op4")

    async def read(_: object, url: str) -> str | None:
        node = next(n for n in FOUR.operator_names if FOUR.host_url(f"probe>{n}.middleware") in url)
        return metrics.get(node)

    monkeypatch.setattr(surroundings, "read_metrics", read)
    live = LiveLinks(Mesh(), FOUR, None)  # type: ignore[arg-type]  # as far as they are asked
    links = ["op1>op3.consensus", "op2>op3.consensus", "op4>op3.consensus"]
    assert await live.down(links) == ("op2>op3.consensus",)
    told = "op2>op3.consensus not up; op4 tell nothing of their links"
    assert await live.not_whole(links) == told
    assert await live.not_whole(links[2:]) == "op4 tell nothing of their links"
    assert await live.not_cut(links[2:], CutMode.DROP) == "op4 tell nothing of their links"
    assert await live.not_cut(links[1:], CutMode.DROP) == ""
    assert await live.not_healed(links) == "still cut: op1>op3.consensus"
    assert await live.silent(["op1", "op2"]) == ("op2",)


class Mesh:
    """One link is cut, and one server does not answer."""

    async def not_in_state(self, links: Sequence[Link], mode: CutMode | None) -> list[str]:
        return [link.name for link in links if link.source == "op1"]

    async def silent(self, pods: Sequence[str]) -> list[str]:
        return [pod for pod in pods if pod == "op2"]


async def test_who_waits_for_nothing_is_told_from_who_does_not_answer() -> None:
    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"ok": True, "waits_for": []})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    async with TestServer(application) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("/healthz"))
        assert await read_waits(session, url) == ()
        await server.close()
        assert await read_waits(session, url) is None


def test_a_split_cuts_both_directions_of_every_pair_across_it() -> None:
    halves = consensus([("op1", "op2"), ("op3", "op4")])
    assert len(halves) == 8
    assert {"op1>op3.consensus", "op3>op1.consensus"} <= set(halves)
    assert "op1>op2.consensus" not in halves
    assert len(consensus([("op1",), ("op2", "op3", "op4")])) == 6
    assert len(consensus([("op1",), ("op2",), ("op3",), ("op4",)])) == 12


# ------------------------------------------------------------------------------------------- logs


def test_a_traceback_in_a_log_is_told_with_the_line_before_it_and_its_last(tmp_path: Path) -> None:
    path = tmp_path / "op1.rollup.log"
    path.write_text("ERROR old\nTraceback (most recent call last):\nOld: x\nINFO hel")
    log = Log(path)
    with path.open("a") as file:
        file.write("lo\nERROR loop it broke\nTraceback (most recent call last):\n  File x\n")
        file.flush()
        assert list(log.exceptions()) == []
        file.write("    z()\nKeyErr")
        file.flush()
        assert list(log.exceptions()) == []
        file.write("or: 7\nINFO all well\n")
        file.flush()
        assert list(log.exceptions()) == ["ERROR loop it broke: KeyError: 7"]
        assert list(log.exceptions()) == []
        for number in range(9):
            file.write(f"Traceback (most recent call last):\n  x\nE: {number}\n")
    told = list(log.exceptions())
    assert told == ["INFO all well: E: 0", "INFO all well: E: 1"], "three of one program are enough"


def test_a_log_that_is_not_there_yet_or_another_one_by_now_is_read_from_its_beginning(
    tmp_path: Path,
) -> None:
    path = tmp_path / "op1.rollup.log"
    log = Log(path)
    assert list(log.exceptions()) == []
    path.write_text("long enough\n" * 9)
    assert list(log.exceptions()) == []
    path.write_text("Traceback (most recent call last):\nE: 1\n")
    assert list(log.exceptions()) == ["long enough: E: 1"]


async def failing() -> None:
    raise ValueError("lost a block")


async def test_an_exception_group_is_told_once_with_an_exception_that_is_in_it(
    tmp_path: Path,
) -> None:
    """As a handler with a task group logs it, and goes on."""
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(failing())
    path = tmp_path / "op1.rollup.log"
    path.write_text("INFO before\n")
    log = Log(path)
    with path.open("a") as file:
        file.write("ERROR request_failed\n" + "".join(traceback.format_exception(caught.value)))
    (told,) = log.exceptions()
    group = "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)"
    assert told == f"ERROR request_failed: {group}: ValueError: lost a block"
    with path.open("a") as file:
        file.write("INFO after\n  + Exception Group Traceback (most recent call last):\n  |   x\n")
        file.write("INFO its end is lost\nTraceback (most recent call last):\n  x\nE: 2\n")
    later = list(log.exceptions())
    assert later == ["INFO after: an exception group", "INFO its end is lost: E: 2"]


def test_a_log_of_which_the_middle_was_cut_out_tells_nothing_of_before_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "op1.rollup.log"
    path.write_text("ERROR old\nTraceback (most recent call last):\n  x\nOld: 1\n" + "x" * 200)
    log = Log(path)
    with path.open("a") as file:
        file.write("y" * 500 + "\n")
    assert list(log.exceptions()) == []
    LogKeeper(tmp_path, print, most=400, head=120, tail=100).look()
    assert "bytes are left out here" in path.read_text()
    assert list(log.exceptions()) == []
    with path.open("a") as file:
        file.write("INFO new\nTraceback (most recent call last):\n  x\nE: 2\n")
    assert list(log.exceptions()) == ["INFO new: E: 2"]


async def test_logs_are_watched_while_a_run_goes_on(tmp_path: Path) -> None:
    records: list[Record] = []
    heard = asyncio.Event()

    def record(item: Record) -> None:
        records.append(item)
        heard.set()

    path = tmp_path / "op1.rollup.log"
    path.write_text("INFO before\n")
    async with background([watch_logs(tmp_path, ["op1.rollup", "op1.execution"], record)]):
        await asyncio.sleep(0)
        with path.open("a") as file:
            file.write("Traceback (most recent call last):\nE: 1\n")
        async with asyncio.timeout(10.0):
            await heard.wait()
    (found,) = records
    assert isinstance(found, ExceptionLogged)
    assert (found.program, found.node, found.told) == ("op1.rollup", "op1", "E: 1")
