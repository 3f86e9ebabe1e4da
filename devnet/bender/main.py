"""`python -m devnet.bender.main FOLDER`: does what FOLDER/table.json says, and says in
FOLDER/told.json what it did. Files, because both backends share folders with their programs, and a
control port would be one more way into a pod.
"""

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from aiohttp import web

from devnet.bender.answers import Answers
from devnet.model.bend import BEAT_S, TABLE, TOLD, BentLink, LinkTold, Table, Told
from devnet.model.whole import write_whole

LOOK_EVERY_S: Final = 0.05
MAX_QUESTION_BYTES: Final = 64 * 2**20


@dataclass(slots=True)
class _Listener:
    link: BentLink
    runner: web.AppRunner
    port: int = 0
    bent: int = 0

    def note(self) -> None:
        self.bent += 1


class Bender:
    """Listens for each link of the newest table, each on a port of the kernel's choice."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession) -> None:
        self._folder, self._session = folder, session
        self._listeners: dict[str, _Listener] = {}
        self._table = Table(edition="", links={})
        self._said: Told | None = None

    async def run(self) -> None:
        while True:
            await self._read()
            self._say()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _read(self) -> None:
        path = self._folder / TABLE
        table = msgspec.json.decode(path.read_bytes(), type=Table)
        if table.edition == self._table.edition:
            return
        for name, listener in list(self._listeners.items()):
            if table.links.get(name) != listener.link:
                del self._listeners[name]
                await listener.runner.cleanup()
        for name, link in table.links.items():
            if name not in self._listeners:
                self._listeners[name] = await self._listening(link)
        self._table = table

    async def _listening(self, link: BentLink) -> _Listener:
        app = web.Application(client_max_size=MAX_QUESTION_BYTES)
        # Who stops asking is gone to the service, too: a closed connection aborts an execution.
        runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        listener = _Listener(link, runner)
        answers = Answers(link, self._session, listener.note)
        app.router.add_route("*", "/{path:.*}", answers.answer)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        listener.port = runner.addresses[0][1]
        return listener

    def _say(self) -> None:
        links = {
            name: LinkTold(port=each.port, bent=each.bent) for name, each in self._listeners.items()
        }
        beat = int(time.monotonic() / BEAT_S)
        told = Told(edition=self._table.edition, links=links, beat=beat)
        if told != self._said:
            self._said = told
            write_whole(self._folder / TOLD, msgspec.json.encode(told))


async def run(folder: Path) -> None:
    """Until killed. Each question goes to the service on a connection of its own, which ends with
    it."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    ) as session:
        await Bender(folder, session).run()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
