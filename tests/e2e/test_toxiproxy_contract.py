"""Contract of our Toxiproxy client with the real server, with the published Python client as the
second reader.

The same tests run against the pinned binary and, where a Docker Engine answers, against a container
started by testcontainers from the project's own image.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devnet.backends.process import ProcessBackend
from devnet.backends.processes import read_pid_file
from devnet.links.mesh import Mesh
from devnet.links.standing import StandingLost, standing_in
from devnet.links.toxiproxy import (
    STREAMS,
    Proxy,
    Toxic,
    ToxiproxyClient,
    ToxiproxyError,
    ToxiproxyUnreachable,
    after_cut,
    after_heal,
    after_shape,
    guard_toxics,
    is_shaped,
)
from devnet.model.cut import CutMode
from devnet.model.shape import Shape, Streams
from devnet.model.topology import Link, LinkClass, compute_topology
from devnet.network.programs import Plan
from devnet.network.proxy_keeper import ProxyKeeper
from devnet.toolchain.tools import REPOSITORY, TOXIPROXY, ensure_all
from dst.spec.errors import InvalidInput
from tests.ports import free_port

NAME = "op1>op2.consensus"
SILENCE_S = 0.3
"""How long nothing must arrive to be called silence; a hop takes 0.2 ms."""


@pytest.fixture(scope="module")
def tools() -> dict[str, Path]:
    return ensure_all()


@contextmanager
def running_server(tools: dict[str, Path]) -> Iterator[str]:
    """URL of the control API of a fresh server."""
    port = free_port()
    command = [str(tools[TOXIPROXY.name]), "-host", "127.0.0.1", "-port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(tools: dict[str, Path]) -> Iterator[str]:
    with running_server(tools) as url:
        yield url


@pytest.fixture
async def client(server: str) -> AsyncIterator[ToxiproxyClient]:
    async with ToxiproxyClient(server) as opened:
        await _until_answers(opened)
        yield opened
        for name in await opened.proxies():
            await opened.delete(name)


async def _until_answers(client: ToxiproxyClient) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await client.proxies()
                return
            except ToxiproxyUnreachable:
                await asyncio.sleep(0.02)


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """Port of a service that sends back what it gets."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    service = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield service.sockets[0].getsockname()[1]
    service.close()


@pytest.fixture
async def link(client: ToxiproxyClient, echo: int) -> int:
    """Listening port of a guarded proxy in front of the echo service."""
    port = free_port()
    await client.populate(
        [Proxy(name=NAME, listen=f"127.0.0.1:{port}", upstream=f"127.0.0.1:{echo}")]
    )
    await _guard(client, NAME)
    return port


async def _guard(client: ToxiproxyClient, proxy: str) -> None:
    for toxic in guard_toxics():
        await client.add_toxic(proxy, toxic)


class Conversation:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def through(cls, port: int) -> "Conversation":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def hear(self, timeout_s: float = 2.0) -> bytes | None:
        """What arrives; b"" at the end of the connection, None for silence."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self.reader.read(4096)
        except TimeoutError:
            return None
        except ConnectionError:
            return b""

    def close(self) -> None:
        self.writer.close()


async def test_the_server_is_the_pinned_one(client: ToxiproxyClient) -> None:
    assert await client.version() in (TOXIPROXY.version, "git")


async def test_it_can_lead_elsewhere_and_back_with_its_toxics(
    client: ToxiproxyClient, echo: int, link: int
) -> None:
    """What stands before a service for a fault's length is put there so."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"another")
        writer.close()

    before, talk = await client.proxy(NAME), await Conversation.through(link)
    talk.say(b"x")
    assert await talk.hear() == b"x"
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        await client.repoint(NAME, f"127.0.0.1:{port}")
        assert await talk.hear() == b""  # who talked to the old one has to begin anew
        assert await (await Conversation.through(link)).hear() == b"another"
        await client.repoint(NAME, f"127.0.0.1:{echo}")
    talk = await Conversation.through(link)
    talk.say(b"y")
    assert await talk.hear() == b"y"
    assert await client.proxy(NAME) == before
    talk.close()


async def test_hold_keeps_everything_in_order(client: ToxiproxyClient, link: int) -> None:
    talk = await Conversation.through(link)
    await client.cut(NAME, CutMode.HOLD)
    assert await client.verify(NAME, CutMode.HOLD)
    talk.say(b"one ")
    talk.say(b"two")
    assert await talk.hear(SILENCE_S) is None
    await client.heal(NAME, CutMode.HOLD)
    assert await client.verify(NAME, None)
    assert await _rates(client) == {"hold_upstream": (0, 0.0), "hold_downstream": (0, 0.0)}
    heard = b""
    while len(heard) < 7:
        heard += await talk.hear() or b""
    assert heard == b"one two"
    talk.close()


async def test_blackhole_loses_and_the_connection_goes_on(
    client: ToxiproxyClient, link: int
) -> None:
    talk = await Conversation.through(link)
    await client.cut(NAME, CutMode.BLACKHOLE)
    assert await client.verify(NAME, CutMode.BLACKHOLE)
    talk.say(b"lost")
    assert await talk.hear(SILENCE_S) is None
    await client.heal(NAME, CutMode.BLACKHOLE)
    talk.say(b"kept")
    assert await talk.hear() == b"kept"
    talk.close()


async def test_blackhole_of_one_direction_leaves_the_other(
    client: ToxiproxyClient, link: int
) -> None:
    talk = await Conversation.through(link)
    await client.cut(NAME, CutMode.BLACKHOLE, ["upstream"])
    assert await client.verify(NAME, CutMode.BLACKHOLE, ["upstream"])
    assert not await client.verify(NAME, CutMode.BLACKHOLE)
    talk.say(b"lost")
    assert await talk.hear(SILENCE_S) is None
    await client.heal(NAME, CutMode.BLACKHOLE, ["upstream"])
    talk.close()


async def test_drop_ends_idle_and_new_connections(client: ToxiproxyClient, link: int) -> None:
    idle = await Conversation.through(link)
    idle.say(b"x")
    assert await idle.hear() == b"x"
    await client.cut(NAME, CutMode.DROP)
    assert await client.verify(NAME, CutMode.DROP)
    assert await idle.hear() == b""
    fresh = await Conversation.through(link)
    assert await fresh.hear() == b""
    await client.heal(NAME, CutMode.DROP)
    after = await Conversation.through(link)
    after.say(b"y")
    assert await after.hear() == b"y"
    for talk in (idle, fresh, after):
        talk.close()


async def test_refuse_ends_and_refuses(client: ToxiproxyClient, link: int) -> None:
    idle = await Conversation.through(link)
    idle.say(b"x")
    assert await idle.hear() == b"x"
    await client.cut(NAME, CutMode.REFUSE)
    assert await client.verify(NAME, CutMode.REFUSE)
    assert await idle.hear() == b""
    with pytest.raises(ConnectionRefusedError):
        await Conversation.through(link)
    await client.heal(NAME, CutMode.REFUSE)
    after = await Conversation.through(link)
    after.say(b"y")
    assert await after.hear() == b"y"
    for talk in (idle, after):
        talk.close()


async def test_latency_is_added_each_way_changed_and_taken_back(
    client: ToxiproxyClient, link: int
) -> None:
    talk = await Conversation.through(link)
    loop = asyncio.get_running_loop()

    async def round_trip() -> float:
        started = loop.time()
        talk.say(b"x")
        assert await talk.hear() == b"x"
        return loop.time() - started

    await client.shape(NAME, "latency", Shape(attributes={"latency": 60}))
    assert await round_trip() >= 0.120
    await client.shape(NAME, "latency", Shape(attributes={"latency": 20}))
    assert 0.040 <= await round_trip() < 0.120
    await client.shape(NAME, "latency", None)
    await round_trip()  # the first chunk after a change may still meet the old delay
    assert await round_trip() < 0.040
    talk.close()


async def _rates(client: ToxiproxyClient) -> dict[str, tuple[int, float]]:
    """Of the toxics that slow: kilobytes a second, and whether they act."""
    return {
        toxic.name: (toxic.attributes["rate"], toxic.toxicity)
        for toxic in (await client.proxy(NAME)).toxics
        if toxic.type == "bandwidth"
    }


async def test_no_rate_changes_while_it_acts(client: ToxiproxyClient, link: int) -> None:
    """A rate that rises while a chunk waits for it ends the whole server: slice bounds out of range
    in its bandwidth toxic (seen after 183 to 592 changes timed for it)."""
    talk = await Conversation.through(link)
    changes: list[tuple[str, float | None, bool]] = []
    patch = client.patch_toxic

    async def noted(
        proxy: str, name: str, kind: str = "", attributes: Any = None, *, toxicity: Any = None
    ) -> None:
        before = (await _rates(client)).get(name, (0, 0.0))
        await patch(proxy, name, kind, attributes, toxicity=toxicity)
        changes.append(
            (name, toxicity, before[1] > 0 and before[0] != (await _rates(client))[name][0])
        )

    client.patch_toxic = noted  # type: ignore[method-assign]
    for rate in (2, 1000, 3):
        await client.shape(NAME, "bandwidth", Shape(attributes={"rate": rate}))
        talk.say(bytes(1000))
        assert await talk.hear()
    await client.shape(NAME, "bandwidth", None)
    assert (await _rates(client))["bandwidth_upstream"] == (3, 0.0)
    for _ in range(2):
        await client.cut(NAME, CutMode.HOLD)
        await client.heal(NAME, CutMode.HOLD)
    assert len(changes) > len(STREAMS) * 4
    assert not [change for change in changes if change[2]]
    talk.close()


async def test_a_bandwidth_is_felt_and_taken_back(client: ToxiproxyClient, link: int) -> None:
    talk = await Conversation.through(link)
    loop = asyncio.get_running_loop()

    async def seconds_for(size: int) -> float:
        started, heard = loop.time(), 0
        talk.say(bytes(size))
        while heard < size:
            heard += len(await talk.hear() or b"")
        return loop.time() - started

    await client.shape(NAME, "bandwidth", Shape(attributes={"rate": 20}))
    assert await seconds_for(6_000) >= 0.3
    await client.shape(NAME, "bandwidth", None)
    await seconds_for(100)  # the chunk that waited goes at once
    assert await seconds_for(6_000) < 0.3
    talk.close()


async def _fill(writer: asyncio.StreamWriter) -> None:
    """Write until nothing is taken any more."""
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while True:
                writer.write(bytes(1 << 20))
                await writer.drain()


async def test_a_change_behind_a_frozen_full_sink_hangs_for_our_time_out_only(
    tools: dict[str, Path],
) -> None:
    """Measured: the server answers 503 after 25 s, and its whole API may hang meanwhile; so it is
    a server of this test's own. Ours gives up after its time-out and says what to do."""
    done_reading = asyncio.Event()

    async def never_read(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await done_reading.wait()
        writer.close()

    sink = await asyncio.start_server(never_read, "127.0.0.1", 0)
    port, upstream = free_port(), f"127.0.0.1:{sink.sockets[0].getsockname()[1]}"
    with running_server(tools) as url:
        async with ToxiproxyClient(url, timeout_s=0.5) as client:
            await _until_answers(client)
            await client.populate(
                [Proxy(name="full", listen=f"127.0.0.1:{port}", upstream=upstream)]
            )
            await _guard(client, "full")
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await _fill(writer)
            with pytest.raises(ToxiproxyUnreachable, match="resume the process"):
                await client.cut("full", CutMode.HOLD)
            writer.transport.abort()
    done_reading.set()
    sink.close()


async def test_refusals_carry_the_servers_words(
    client: ToxiproxyClient, link: int, echo: int
) -> None:
    with pytest.raises(ToxiproxyError, match="proxy not found") as missing:
        await client.proxy("no such proxy")
    assert missing.value.status == 404
    again = Proxy(name=NAME, listen="127.0.0.1:0", upstream=f"127.0.0.1:{echo}")
    with pytest.raises(ToxiproxyError, match="already exists"):
        await client.create(again)
    with pytest.raises(ToxiproxyError, match="already exists"):
        await _guard(client, NAME)
    taken = Proxy(name="other", listen=f"127.0.0.1:{link}", upstream=f"127.0.0.1:{echo}")
    with pytest.raises(ToxiproxyError, match="address already in use"):
        await client.populate([taken])
    with pytest.raises(InvalidInput):
        await client.patch_toxic(NAME, "hold_upstream", "bandwidth", {"rate": -1})


async def test_what_stands_on_a_link_is_what_the_server_has(
    client: ToxiproxyClient, link: int, echo: int
) -> None:
    """The file that a server is set up from anew is written from these, before it is asked."""
    latency = Shape(attributes={"latency": 20, "jitter": 3})
    limit = Shape(attributes={"bytes": 5}, toxicity=0.3)
    expected = Proxy(
        name=NAME,
        listen=f"127.0.0.1:{link}",
        upstream=f"127.0.0.1:{echo}",
        toxics=guard_toxics(),
    )

    async def compare() -> None:
        there = await client.proxy(NAME)
        guards = {toxic.name for toxic in guard_toxics()}
        acting = [toxic for toxic in there.toxics if toxic.toxicity or toxic.name in guards]
        assert sorted(acting, key=str) == sorted(expected.toxics, key=str)
        assert replace(there, toxics=()) == replace(expected, toxics=())

    await compare()
    for mode in CutMode:
        await client.cut(NAME, mode)
        expected = after_cut(expected, mode)
        await compare()
    for mode in CutMode:
        await client.heal(NAME, mode)
        expected = after_heal(expected, mode)
        await compare()
    await client.cut(NAME, CutMode.HOLD, ["upstream"])
    expected = after_cut(expected, CutMode.HOLD, ["upstream"])
    await compare()
    await client.cut(NAME, CutMode.REFUSE)
    await client.cut(NAME, CutMode.DROP)  # ends by letting connections in
    expected = after_cut(after_cut(expected, CutMode.REFUSE), CutMode.DROP)
    await compare()
    shapes: list[tuple[str, Shape | None]] = [
        ("latency", latency),
        ("limit_data", limit),
        ("latency", Shape(attributes={"latency": 5, "jitter": 0}, streams=Streams.UPSTREAM)),
        ("limit_data", replace(limit, streams=Streams.DOWNSTREAM)),
        ("limit_data", None),
        ("latency", None),
        ("latency", latency),
    ]
    for kind, shape in shapes:
        await client.shape(NAME, kind, shape)
        expected = after_shape(expected, kind, shape)
        assert is_shaped(await client.proxy(NAME), kind, shape)
        await compare()


async def test_a_server_that_ends_is_started_again_with_what_it_had(
    tools: dict[str, Path], tmp_path: Path
) -> None:
    topology = compute_topology(operators=1, followers=0, port_offset=5000)
    plan = Plan(topology, "process", frozenset())
    hosts = [name for name in plan.programs if name.endswith(".toxiproxy")]
    (tmp_path / "logs").mkdir()
    (tmp_path / "run").mkdir()
    said: list[str] = []
    backend = ProcessBackend(
        directory=tmp_path,
        programs=plan.programs,
        executables=tools,
        source=REPOSITORY,
        on_crash=lambda name, _detail: keeper.on_crash(name),
    )
    mesh = Mesh(topology, standing_in(tmp_path))
    keeper = ProxyKeeper(mesh, backend, said.append)
    names = (
        "op1.middleware>op1.rollup",
        "op1>l1.rpc",
        "op1.rollup>op1.engine",
        "op1.execution>op1.rollup",
    )
    cut, slow, healed, bent = map(topology.link, names)

    async def described() -> list[dict[str, Proxy]]:
        return [await mesh.client(pod).proxies() for pod in mesh.pods]

    await backend.start(hosts)
    await mesh.wait_until_up()
    await mesh.populate(await backend.listen_host())
    await mesh.cut([cut], CutMode.HOLD)
    await mesh.cut([cut], CutMode.REFUSE)
    await mesh.shape([slow], "latency", Shape(attributes={"latency": 20, "jitter": 0}))
    await mesh.lead_to({bent: bent.service_port + 1})
    await mesh.cut([healed], CutMode.REFUSE)
    elsewhere = Mesh(topology, standing_in(tmp_path))  # as another process has it
    await elsewhere.heal([healed], CutMode.REFUSE)
    await elsewhere.close()
    before = await described()
    try:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(keeper.run())
            for host in hosts:
                said.clear()
                os.kill(_pid(tmp_path, host), signal.SIGSEGV)
                while not said:
                    await asyncio.sleep(0.02)
                assert said == [f"{host} runs again, with the faults that stand on its links"]
            keeping.cancel()
        assert await described() == before
    finally:
        await mesh.close()
        await backend.close()


@pytest.fixture
async def pod_of_links(
    tools: dict[str, Path], tmp_path: Path
) -> AsyncIterator[tuple[Mesh, list[Link]]]:
    """The Toxiproxy of op1 alone, and the links to it that its peers dial."""
    topology = compute_topology(operators=4, followers=0, port_offset=5000)
    links = [k for k in topology.links_on("op1") if k.kind is LinkClass.CONSENSUS]
    (tmp_path / "logs").mkdir()
    (tmp_path / "run").mkdir()
    backend = ProcessBackend(
        directory=tmp_path,
        programs=Plan(topology, "process", frozenset()).programs,
        executables=tools,
        source=REPOSITORY,
        on_crash=lambda *_: None,
    )
    mesh = Mesh(topology, standing_in(tmp_path))
    try:
        await backend.start(["op1.toxiproxy"])
        await mesh.restore("op1", await backend.listen_host())
        yield mesh, links
    finally:
        await mesh.close()
        await backend.close()


@pytest.mark.parametrize("mode", CutMode)
async def test_what_is_healed_while_its_server_is_set_up_is_healed(
    mode: CutMode, pod_of_links: tuple[Mesh, list[Link]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every step of it."""
    mesh, links = pod_of_links
    client = mesh.client("op1")

    def local(_: Link) -> str:
        return "127.0.0.1"

    async def set_up(interrupted_at: int | None) -> int:
        """From nothing, as a server that has just been started; how many steps it took."""
        for name in await client.proxies():
            await client.delete(name)
        mesh._write(links, lambda proxy: after_cut(proxy, mode))
        steps = 0
        call = client._call

        async def counted(method: str, path: str, body: object = None) -> Any:
            nonlocal steps
            steps += 1
            if steps == interrupted_at:
                elsewhere = Mesh(mesh.topology, mesh.standing)
                with suppress(ToxiproxyError):  # it has not come to them yet
                    await elsewhere.heal(links, mode)
                await elsewhere.close()
            return await call(method, path, body)

        monkeypatch.setattr(client, "_call", counted)
        await mesh._populate_pod("op1", local)
        monkeypatch.setattr(client, "_call", call)
        return steps

    steps = await set_up(None)
    assert await mesh.not_in_state(links, mode) == []
    for step in range(1, steps + 1, max(1, steps // 12)):
        await set_up(step)
        assert await mesh.not_in_state(links, None) == [], f"at step {step} of {steps}"
        assert await mesh.unlike_written() == {}


async def test_on_a_full_disk_nothing_is_cut_and_all_is_healed(
    pod_of_links: tuple[Mesh, list[Link]], monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh, links = pod_of_links
    slow = Shape(attributes={"latency": 20, "jitter": 0})
    cut, shaped, bent = links[:3]
    await mesh.cut([cut], CutMode.REFUSE)
    await mesh.shape([shaped], "latency", slow)
    await mesh.lead_to({bent: bent.service_port + 1})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("devnet.links.standing.write_whole", full)
    with pytest.raises(StandingLost, match="No space left on device; make room"):
        await mesh.cut([shaped], CutMode.HOLD)
    assert await mesh.not_in_state([shaped], None) == []
    for healing in (
        mesh.heal([cut], CutMode.REFUSE),
        mesh.shape([shaped], "latency", None),
        mesh.lead_to({bent: bent.service_port}),
    ):
        with pytest.raises(StandingLost):
            await healing
    assert await mesh.not_in_state([cut], None) == []
    assert await mesh.not_shaped([shaped], "latency", None) == []
    assert await mesh.not_leading_to({bent: bent.service_port}) == []


async def test_what_was_written_by_somebody_killed_before_the_server_was_asked_is_told(
    pod_of_links: tuple[Mesh, list[Link]],
) -> None:
    mesh, (one, other, *_) = pod_of_links
    await mesh.cut([other], CutMode.HOLD)
    assert await mesh.unlike_written() == {}
    mesh._write([one], lambda proxy: after_cut(proxy, CutMode.REFUSE))
    mesh._write([other], lambda proxy: after_heal(proxy, CutMode.HOLD))
    assert await mesh.unlike_written() == {
        one.name: "written down as refuse",
        other.name: "written down as healthy",
    }
    mesh.standing.path.write_text('{"a": {"name"')
    (told,) = (await mesh.unlike_written()).values()
    assert told.startswith(f"{mesh.standing.path} cannot be read: ")


def _pid(directory: Path, program: str) -> int:
    process = read_pid_file(directory / "run" / f"{program}.pid")
    assert process is not None
    return process.pid


async def test_names_with_awkward_characters_arrive_whole(
    client: ToxiproxyClient, echo: int
) -> None:
    for name in ("f1>op1.beacon", "a b?c#d", "%3E"):
        port = free_port()
        await client.create(
            Proxy(name=name, listen=f"127.0.0.1:{port}", upstream=f"127.0.0.1:{echo}")
        )
        assert (await client.proxy(name)).name == name
        await client.delete(name)
    with pytest.raises(InvalidInput, match="slash"):
        await client.create(Proxy(name="a/b", listen="127.0.0.1:0", upstream=f"127.0.0.1:{echo}"))


async def test_the_published_client_reads_what_ours_wrote(
    client: ToxiproxyClient, link: int
) -> None:
    """toxiproxy-python 0.1.1: another author's reading of the same server."""
    toxiproxy = pytest.importorskip("toxiproxy")
    host, _, port = client.url.removeprefix("http://").rpartition(":")

    def read() -> tuple[bool, dict[str, Any]]:
        reader = toxiproxy.Toxiproxy()
        reader.update_api_consumer(host, int(port))
        proxy = reader.get_proxy(NAME)
        toxics = {t.name: (t.stream, t.attributes, t.toxicity) for t in proxy.toxics().values()}
        return proxy.enabled, toxics

    await client.add_toxic(
        NAME,
        Toxic(
            name="slow", type="latency", stream="upstream", attributes={"latency": 5, "jitter": 1}
        ),
    )
    await client.cut(NAME, CutMode.HOLD, ["downstream"])
    enabled, toxics = await asyncio.to_thread(read)
    assert enabled
    assert toxics["slow"] == ("upstream", {"latency": 5, "jitter": 1}, 1)
    assert [toxics[f"hold_{stream}"][2] for stream in STREAMS] == [0, 1]
    assert {toxics[f"blackhole_{stream}"][2] for stream in STREAMS} == {0}
    await client.cut(NAME, CutMode.REFUSE)
    assert (await asyncio.to_thread(read))[0] is False


@pytest.mark.docker
async def test_the_same_server_in_a_container(tools: dict[str, Path]) -> None:
    """testcontainers starts it from the project's image; its reaper would have to be pulled, so it
    is off."""
    from devnet.backends.base import BackendError
    from devnet.backends.docker import docker_client, ensure_image
    from devnet.backends.image import APP

    try:
        engine = docker_client()
    except BackendError as error:
        pytest.skip(str(error))
    tag = ensure_image(engine, tools, REPOSITORY, lambda _line: None)
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
    from testcontainers.core.container import DockerContainer

    command = f"{APP}/bin/toxiproxy-server -host 0.0.0.0 -port 8474"
    with DockerContainer(tag).with_command(command).with_exposed_ports(8474) as container:
        port = container.get_exposed_port(8474)
        async with ToxiproxyClient(f"http://127.0.0.1:{port}") as client:
            await _until_answers(client)
            await client.create(Proxy(name=NAME, listen="127.0.0.1:0", upstream="127.0.0.1:9"))
            await _guard(client, NAME)
            for mode in CutMode:
                await client.cut(NAME, mode)
                assert await client.verify(NAME, mode)
                await client.heal(NAME, mode)
                assert await client.verify(NAME, None)
