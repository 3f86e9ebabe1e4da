"""`python -m tests.e2e.clients.flooding BEACON RPC RATE SECONDS`: every public endpoint of one
operator is asked by turns, RATE requests a second in all. Prints one line of JSON at the end.

Requests begin at their times whatever became of earlier ones, as those of many strangers do.
"""

import asyncio
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final

import aiohttp

MOST_OPEN: Final = 400
"""Requests under way; one more is counted as held back."""
PATIENCE_S: Final = 5.0
STREAM_S: Final = 0.5
"""A listener stays so long."""

READ: Final = (
    "/livez",
    "/healthz",
    "/metrics",
    "/eth/v1/beacon/genesis",
    "/eth/v1/config/spec",
    "/eth/v1/config/fork_schedule",
    "/eth/v1/node/syncing",
    "/eth/v1/node/version",
    "/eth/v1/node/health",
    "/eth/v1/beacon/states/head/validators",
    "/eth/v1/beacon/states/head/validators/0",
    "/eth/v1/beacon/states/head/fork",
    "/eth/v1/validator/duties/proposer/0",
    "/eth/v2/validator/duties/proposer/0",
    "/eth/v1/beacon/headers",
    "/eth/v1/beacon/headers/head",
    "/eth/v1/beacon/blocks/head/root",
    "/eth/v2/beacon/blocks/head",
    "/dst/v1/decided/1",
    "/dst/v1/status",
)
POSTED: Final[tuple[tuple[str, Any], ...]] = (
    ("/eth/v1/beacon/states/head/validators", {"ids": ["0"]}),
    ("/eth/v1/validator/duties/attester/0", ["0"]),
    ("/eth/v1/validator/duties/sync/0", ["0"]),
    ("/eth/v1/validator/prepare_beacon_proposer", []),
    ("/eth/v1/validator/register_validator", []),
    ("/eth/v1/validator/beacon_committee_subscriptions", []),
    ("/eth/v1/validator/sync_committee_subscriptions", []),
)
STREAMED: Final = ("/eth/v1/events?topics=head,block", "/dst/v1/events")
NOT_FOR_STRANGERS: Final = (
    ("GET", "/eth/v3/validator/blocks/1"),
    ("POST", "/eth/v2/beacon/blocks"),
    ("POST", "/dst/v1/validate"),
    ("POST", "/dst/v1/decided"),
    ("POST", "/dst/v1/events"),
)
"""What the own middleware alone may ask, elsewhere."""
CALLED: Final[tuple[tuple[str, list[Any]], ...]] = (
    ("eth_blockNumber", []),
    ("eth_getBlockByNumber", ["latest", True]),
    ("eth_getLogs", [{"fromBlock": "0x1", "toBlock": "latest"}]),
    ("eth_call", [{"to": "0x" + "11" * 20, "data": "0x"}, "latest"]),
    ("eth_estimateGas", [{"to": "0x" + "11" * 20}]),
    ("eth_getBalance", ["0x" + "11" * 20, "latest"]),
    ("eth_feeHistory", ["0x4", "latest", [50]]),
    ("txpool_status", []),
    ("dst_finality", ["0x1"]),
    ("eth_sendRawTransaction", ["0x02"]),
)


@dataclass(frozen=True, slots=True)
class Question:
    method: str
    url: str
    body: object = None
    streams: bool = False

    @property
    def name(self) -> str:
        what = self.body["method"] if isinstance(self.body, dict) and "method" in self.body else ""
        return what or f"{self.method} {self.url.partition('//')[2].partition('/')[2]}"


def questions(beacon: str, rpc: str) -> list[Question]:
    """Half of them to each listener."""
    to_beacon = [
        *(Question("GET", beacon + path) for path in READ),
        *(Question("POST", beacon + path, body) for path, body in POSTED),
        *(Question("GET", beacon + path, streams=True) for path in STREAMED),
        *(Question(method, beacon + path, []) for method, path in NOT_FOR_STRANGERS),
    ]
    to_rpc = [
        *(Question("GET", f"{rpc}/{path}") for path in ("livez", "healthz", "metrics")),
        *(
            Question("POST", rpc, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            for method, params in CALLED
        ),
    ]
    return [each for pair in zip(to_beacon, cycle(to_rpc), strict=False) for each in pair]


@dataclass
class Flood:
    session: aiohttp.ClientSession
    open: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    by_name: dict[str, Counter[str]] = field(default_factory=dict)

    async def run(self, asked: list[Question], rate: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for number, question in enumerate(cycle(asked)):
                at = began + number / rate
                if at > began + seconds:
                    return
                if (wait := at - loop.time()) > 0:
                    await asyncio.sleep(wait)
                if self.open >= MOST_OPEN:
                    self.counts["held back"] += 1
                    continue
                self.open += 1
                group.create_task(self._ask(question))

    async def _ask(self, question: Question) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                outcome = await self._outcome(question)
        except TimeoutError:
            outcome = "late"
        except (aiohttp.ClientError, OSError):
            outcome = "refused"
        finally:
            self.open -= 1
        self.counts[outcome] += 1
        self.by_name.setdefault(question.name, Counter())[outcome] += 1

    async def _outcome(self, question: Question) -> str:
        async with self.session.request(
            question.method, question.url, json=question.body
        ) as answer:
            if question.streams and answer.status == 200:
                await asyncio.sleep(STREAM_S)
                answer.close()
            else:
                await answer.read()
            return str(answer.status)


async def main(beacon: str, rpc: str, rate: float, seconds: float) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        flood = Flood(session)
        await flood.run(questions(beacon, rpc), rate, seconds)
    print(json.dumps({"counts": flood.counts, "by_name": flood.by_name}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
