"""One leads at a time, by its own clock: who reaches etcd no more stops before another may begin.
The same against a fake in the test's own time and, where it is to be had, against etcd itself."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devnet.baseline.lease import Lease
from devnet.toolchain.etcd import find_etcd
from dst.runtime.metrics import Metrics
from tests.ports import free_port


class FakeEtcd:
    """Leases, one key, and a clock that the test moves. `down`: no answer but an error."""

    def __init__(self) -> None:
        self.now = 0.0
        self.down = False
        self.asked: list[str] = []
        self._leases: dict[str, tuple[float, int]] = {}
        self._holder: tuple[str, str] | None = None

    def _tidy(self) -> None:
        self._leases = {k: (end, ttl) for k, (end, ttl) in self._leases.items() if end > self.now}
        if self._holder is not None and self._holder[1] not in self._leases:
            self._holder = None

    async def answer(self, request: web.Request) -> web.Response:
        what = request.path.removeprefix("/v3/")
        self.asked.append(what)
        if self.down:
            return web.Response(status=503, text="down")
        self._tidy()
        body = await request.json()
        return web.json_response(getattr(self, what.replace("/", "_"))(body))

    def lease_grant(self, body: dict[str, int]) -> dict[str, str]:
        name = str(len(self.asked))
        self._leases[name] = (self.now + body["TTL"], body["TTL"])
        return {"ID": name, "TTL": str(body["TTL"])}

    def lease_keepalive(self, body: dict[str, str]) -> dict[str, dict[str, str]]:
        if body["ID"] not in self._leases:
            return {"result": {"ID": body["ID"]}}
        ttl = self._leases[body["ID"]][1]
        self._leases[body["ID"]] = (self.now + ttl, ttl)
        return {"result": {"ID": body["ID"], "TTL": str(ttl)}}

    def lease_revoke(self, body: dict[str, str]) -> dict[str, str]:
        self._leases.pop(body["ID"], None)
        return {}

    def kv_range(self, _: object) -> dict[str, object]:
        if self._holder is None:
            return {}
        return {"kvs": [{"value": base64.b64encode(self._holder[0].encode()).decode()}]}

    def kv_txn(self, body: dict[str, list[dict[str, dict[str, str]]]]) -> dict[str, object]:
        if self._holder is not None:
            return {}
        put = body["success"][0]["request_put"]
        self._holder = (base64.b64decode(put["value"]).decode(), put["lease"])
        return {"succeeded": True}


@asynccontextmanager
async def served(etcd: FakeEtcd) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    app = web.Application()
    app.router.add_post("/{path:.*}", etcd.answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield str(server.make_url("")).rstrip("/"), session


def lease(name: str, url: str, etcd: FakeEtcd) -> tuple[Lease, Metrics]:
    metrics = Metrics()
    return Lease(url, name, 5, metrics, lambda: etcd.now), metrics


async def test_one_leads_and_the_other_says_who() -> None:
    etcd = FakeEtcd()
    async with served(etcd) as (url, session):
        (one, metrics), (two, _) = lease("op1", url, etcd), lease("op2", url, etcd)
        await one.step(session)
        await two.step(session)
        assert (one.holds(), two.holds()) == (True, False)
        assert (one.waits_for(), two.waits_for()) == (None, "the lease, which op1 has")
        assert metrics.get("p2p_link_up", peer="etcd") == 1
        assert "dst_leads 1" in metrics.render()


async def test_it_leads_as_long_as_it_renews() -> None:
    etcd = FakeEtcd()
    async with served(etcd) as (url, session):
        (one, _), (two, _) = lease("op1", url, etcd), lease("op2", url, etcd)
        for _ in range(6):
            await one.step(session)
            await two.step(session)
            assert (one.holds(), two.holds()) == (True, False)
            etcd.now += 2.0


async def test_who_cannot_renew_stops_before_another_begins() -> None:
    etcd = FakeEtcd()
    async with served(etcd) as (url, session):
        (one, metrics), (two, _) = lease("op1", url, etcd), lease("op2", url, etcd)
        await one.step(session)
        etcd.now = 4.9
        etcd.down = True
        await one.step(session)
        assert one.holds(), "one renewal may be lost"
        assert metrics.get("p2p_link_up", peer="etcd") == 0
        etcd.now = 5.0
        assert not one.holds()
        etcd.down = False
        await two.step(session)
        assert two.holds()
        await one.step(session)
        await one.step(session)
        assert (one.holds(), one.waits_for()) == (False, "the lease, which op2 has")


async def test_who_was_stopped_for_longer_leads_no_more_before_it_asks_anybody() -> None:
    etcd = FakeEtcd()
    async with served(etcd) as (url, session):
        (one, _), (two, _) = lease("op1", url, etcd), lease("op2", url, etcd)
        await one.step(session)
        etcd.now = 12.0
        await two.step(session)
        asked = len(etcd.asked)
        assert (one.holds(), two.holds()) == (False, True)
        assert len(etcd.asked) == asked
        await one.step(session)
        assert one.waits_for() is not None


async def test_a_planned_end_gives_the_lease_back() -> None:
    etcd = FakeEtcd()
    async with served(etcd) as (url, session):
        (one, _), (two, _) = lease("op1", url, etcd), lease("op2", url, etcd)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(one.run())
            async with asyncio.timeout(5):
                while not one.holds():
                    await asyncio.sleep(0.01)
            running.cancel()
        await two.step(session)
        assert two.holds()


@asynccontextmanager
async def real_etcd(folder: Path) -> AsyncIterator[str]:
    program = find_etcd()
    assert program is not None, "looked for before"
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    words = ["--name", "e", "--data-dir", str(folder), "--initial-cluster", f"e={peer}"]
    for flag, url in (("client", client), ("peer", peer)):
        words += [f"--listen-{flag}-urls", url]
    words += ["--advertise-client-urls", client, "--initial-advertise-peer-urls", peer]
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(program, *words, stdout=quiet, stderr=quiet)
    try:
        yield client
    finally:
        process.kill()
        await process.wait()


async def until(condition: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.skipif(find_etcd() is None, reason="no etcd here")
async def test_etcd_itself_passes_the_lease_on(tmp_path: Path) -> None:
    """And says what the fake says: the winner's name, an end, a new leader."""
    async with real_etcd(tmp_path / "etcd") as url, asyncio.TaskGroup() as tasks:
        one, two = (Lease(url, name, 2, Metrics()) for name in ("op1", "op2"))
        leading = tasks.create_task(one.run())
        await until(one.holds, 20)
        waiting = tasks.create_task(two.run())
        await until(lambda: two.waits_for() == "the lease, which op1 has", 20)
        assert (one.holds(), two.holds()) == (True, False)
        leading.cancel()
        await until(two.holds, 20)
        waiting.cancel()
