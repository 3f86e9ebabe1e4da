"""How the harness has an operator hand over before it stops it: the call that its people make."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devnet.faults.surface import CannotInject, Unmoved
from devnet.model.topology import compute_topology
from devnet.runner import leaving
from dst.apis.drain import Drain, drain_routes
from dst.runtime.http import make_app
from dst.runtime.metrics import Metrics

TOPOLOGY = compute_topology(operators=4, followers=0)
SECRET = bytes(32)


@dataclass
class Leader:
    """Drained after so many looks; -1: never."""

    looks: int
    others_lack: str | None = None
    told: list[bool] = field(default_factory=list)

    def leave(self, leaving: bool) -> None:
        self.told.append(leaving)

    def drain(self) -> Drain:
        under_way = None if self.looks == 0 else "it leads height 7, round 0"
        self.looks -= 1
        is_leaving = bool(self.told) and self.told[-1]
        return Drain(leaving=is_leaving, under_way=under_way, others_lack=self.others_lack)


@asynccontextmanager
async def serving(
    leader: Leader, folder: Path, monkeypatch: pytest.MonkeyPatch, secret: bytes = SECRET
) -> AsyncIterator[aiohttp.ClientSession]:
    own = folder / "cluster" / "operators" / "op2" / "own.hex"
    own.parent.mkdir(parents=True)
    own.write_text(secret.hex())
    own.chmod(0o600)
    app: web.Application = make_app(Metrics(), drain_routes(leader, SECRET))
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        monkeypatch.setattr(leaving, "probe_url", lambda *_: str(server.make_url("")))
        yield session


@pytest.mark.parametrize("looks", [0, 3])
async def test_it_returns_once_nothing_is_under_way(
    looks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = Leader(looks)
    async with serving(leader, tmp_path, monkeypatch) as session:
        await leaving.hand_over(TOPOLOGY, tmp_path, session, "op2")
    assert leader.told == [True]
    assert leader.looks == -1, "it was looked at until then, and no longer"


@pytest.mark.parametrize(
    ("leader", "words", "blamed"),
    [
        (Leader(-1), "op2 is not drained: it leads height 7", True),
        (Leader(-1, others_lack="a quorum"), "op2 is not drained: it leads height 7", False),
        (
            Leader(0, others_lack="a quorum, 2 of 4 vote"),
            "op2 is not drained: a quorum, 2 of 4",
            False,
        ),
    ],
)
async def test_one_that_cannot_be_drained_stays(
    leader: Leader, words: str, blamed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "WITHIN_S", 0.2)
    async with serving(leader, tmp_path, monkeypatch) as session:
        with pytest.raises(CannotInject, match=words) as raised:
            await leaving.hand_over(TOPOLOGY, tmp_path, session, "op2")
    assert isinstance(raised.value, Unmoved) is blamed
    assert leader.told == [True, False]


async def test_one_that_refuses_or_does_not_answer_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = Leader(0)
    async with serving(leader, tmp_path, monkeypatch, secret=bytes([1]) * 32) as session:
        with pytest.raises(CannotInject, match=r"op2 was not drained: .*token"):
            await leaving.hand_over(TOPOLOGY, tmp_path, session, "op2")
        monkeypatch.setattr(leaving, "probe_url", lambda *_: "http://127.0.0.1:9")
        with pytest.raises(CannotInject, match="op2 was not drained"):
            await leaving.hand_over(TOPOLOGY, tmp_path, session, "op2")
    assert leader.told == []
