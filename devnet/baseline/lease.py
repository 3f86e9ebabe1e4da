"""Who leads: a lease on a key in etcd, by the JSON gateway of its API, version 3.

Who holds the key leads, and knows it by its own clock alone: from the moment a renewal was *sent*
for as long as the lease lives. So a leader that reaches etcd no more stops before etcd gives the
key to another, unless it is stopped itself between looking and acting.
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics

KEY: Final = "dst-devnet/leader"
RENEWALS: Final = 4
"""In a lease's life: so many may be lost but one."""
TRIES_A_SECOND: Final = 2
"""Of a stand-by for the key."""
LINK_UP: Final = "p2p_link_up"

log = Logger("lease")


class NoAnswer(Exception):
    """etcd is not there, slow, or says what it never says."""


class Lease:
    """`run` works until cancelled; `holds` may be asked at any time."""

    def __init__(
        self,
        url: str,
        name: str,
        seconds: int,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._name, self._seconds = url, name, seconds
        self._metrics, self._monotonic = metrics, monotonic
        self._lease: str | None = None
        self._until = float("-inf")
        self._other = ""
        metrics.function("leads", lambda: float(self.holds()))
        metrics.set(LINK_UP, 0, peer="etcd")

    def holds(self) -> bool:
        return self._lease is not None and self._monotonic() < self._until

    def waits_for(self) -> str | None:
        """For a person; None while it leads."""
        if self.holds():
            return None
        return f"the lease, which {self._other} has" if self._other else "an answer of etcd"

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self._seconds / RENEWALS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            try:
                while True:
                    pause = await self.step(session)
                    await asyncio.sleep(pause)
            finally:
                await self._give_up(session)

    async def step(self, session: aiohttp.ClientSession) -> float:
        """One look, or one renewal; seconds to the next."""
        try:
            if self._lease is None:
                await self._try_to_lead(session)
            else:
                await self._renew(session, self._lease)
            self._metrics.set(LINK_UP, 1, peer="etcd")
        except NoAnswer as error:
            self._metrics.set(LINK_UP, 0, peer="etcd")
            self._other = ""
            if self._lease is not None and not self.holds():
                self._lost(f"not renewed in time: {error}")
        return self._seconds / RENEWALS / 2 if self._lease is not None else 1 / TRIES_A_SECOND

    async def _try_to_lead(self, session: aiohttp.ClientSession) -> None:
        """A lease of its own, and the key with it if nobody has the key."""
        if holder := await self._holder(session):
            self._other = holder
            return
        sent = self._monotonic()
        lease = str((await self._ask(session, "lease/grant", {"TTL": self._seconds}))["ID"])
        took = await self._ask(
            session,
            "kv/txn",
            {
                "compare": [{"key": _b64(KEY), "target": "CREATE", "create_revision": "0"}],
                "success": [
                    {"request_put": {"key": _b64(KEY), "value": _b64(self._name), "lease": lease}}
                ],
            },
        )
        if took.get("succeeded"):
            self._lease, self._until, self._other = lease, sent + self._seconds, ""
            log.info("leads", seconds=self._seconds)

    async def _holder(self, session: aiohttp.ClientSession) -> str:
        found = (await self._ask(session, "kv/range", {"key": _b64(KEY)})).get("kvs") or []
        return base64.b64decode(found[0]["value"]).decode() if found else ""

    async def _renew(self, session: aiohttp.ClientSession, lease: str) -> None:
        sent = self._monotonic()
        answer = await self._ask(session, "lease/keepalive", {"ID": lease})
        if int(answer.get("result", {}).get("TTL", 0)) <= 0:
            self._lost("etcd ended it")
            return
        # It lived all the while, so nobody else had the key, however late this is.
        self._until = sent + self._seconds

    def _lost(self, why: str) -> None:
        self._lease = None
        log.warning("leads_no_more", why=why)

    async def _give_up(self, session: aiohttp.ClientSession) -> None:
        """A planned end leaves nobody waiting."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        try:
            await self._ask(session, "lease/revoke", {"ID": lease})
        except NoAnswer:
            return  # then it runs out

    async def _ask(
        self, session: aiohttp.ClientSession, what: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        """Raises: NoAnswer."""
        try:
            async with session.post(f"{self._url}/v3/{what}", json=body) as response:
                text = await response.read()
                answer = json.loads(text)
                if response.status != 200 or not isinstance(answer, dict):
                    raise NoAnswer(f"{response.status}: {text[:100]!r}")
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NoAnswer(str(error) or "no answer in time") from error


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
