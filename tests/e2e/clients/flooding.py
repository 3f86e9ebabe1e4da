"""`python -m tests.e2e.clients.flooding BEACON RPC RATE SECONDS`: one operator's two public ports
are asked, RATE requests a second in all: every path of one by turns, and a method of each family
and a subscription at the other. Prints one line of JSON at the end.

Requests begin at their times whatever became of earlier ones, as those of many strangers do.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, cycle
from typing import Any, Final

import aiohttp

MOST_OPEN: Final = 400
"""Requests under way; one more is counted as held back."""
PATIENCE_S: Final = 5.0
STREAM_S: Final = 0.5
"""A listener stays so long."""
RULED_OUT: Final = "error"
"""An answer by JSON-RPC's own rules that is no result."""

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
SOMEBODY: Final = "0x" + "11" * 20
CALL: Final = {"to": SOMEBODY, "data": "0x"}
CALLED: Final[tuple[tuple[str, list[Any]], ...]] = (
    ("eth_blockNumber", []),
    ("eth_getBalance", [SOMEBODY, "latest"]),
    ("eth_call", [CALL, "latest"]),
    ("eth_estimateGas", [CALL]),
    ("eth_createAccessList", [CALL]),
    ("eth_simulateV1", [{"blockStateCalls": [{"calls": [CALL]}]}, "latest"]),
    ("eth_getProof", [SOMEBODY, ["0x0"], "latest"]),
    ("debug_traceCall", [CALL, "latest", {"tracer": "callTracer"}]),
    ("debug_traceBlockByNumber", ["latest"]),
    ("trace_block", ["latest"]),
    ("trace_call", [CALL, ["trace", "stateDiff", "vmTrace"], "latest"]),
    ("trace_filter", [{"fromBlock": "0x1", "count": 10}]),
    ("ots_getApiLevel", []),
    ("ots_hasCode", [SOMEBODY, "latest"]),
    ("ots_getBlockDetails", ["latest"]),
    ("ots_searchTransactionsBefore", [SOMEBODY, 0, 10]),
    ("eth_fillTransaction", [{"from": SOMEBODY, "to": SOMEBODY, "gas": "0x5208"}]),
    ("eth_sendRawTransaction", ["0x02"]),
    ("eth_getBlockByNumber", ["latest", True]),
    ("eth_getTransactionReceipt", ["0x" + "22" * 32]),
    ("eth_getLogs", [{"fromBlock": "0x1", "toBlock": "latest"}]),
    ("eth_newBlockFilter", []),
    ("eth_feeHistory", ["0x4", "latest", [50]]),
    ("txpool_status", []),
    ("dst_transactionStatus", ["0x" + "22" * 32]),
    ("dst_poolChanges", ["", "0x0", "0x0"]),
    ("dst_finality", ["0x1"]),
    ("debug_getRawBlock", ["latest"]),
    ("eth_accounts", []),
)
SUBSCRIBED: Final = ("eth_subscribe", ["newHeads"])
"""On a WebSocket of its own each time."""
REFUSED: Final = ("eth_sendRawTransaction",)
"""Of what is called: bytes that are no transaction."""


@dataclass(frozen=True, slots=True)
class Question:
    method: str
    url: str
    body: object = None
    streams: bool = False
    on_websocket: bool = False

    @property
    def name(self) -> str:
        what = self.body["method"] if isinstance(self.body, dict) and "method" in self.body else ""
        return what or f"{self.method} {self.url.partition('//')[2].partition('/')[2]}"


def called(method: str, params: list[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def questions(beacon: str, rpc: str) -> Iterator[Question]:
    """Without end, every other one to each listener."""
    to_beacon = [
        *(Question("GET", beacon + path) for path in READ),
        *(Question("POST", beacon + path, body) for path, body in POSTED),
        *(Question("GET", beacon + path, streams=True) for path in STREAMED),
        *(Question(method, beacon + path, []) for method, path in NOT_FOR_STRANGERS),
    ]
    to_rpc = [
        *(Question("GET", f"{rpc}/{path}") for path in ("livez", "healthz", "metrics")),
        *(Question("POST", rpc, called(method, params)) for method, params in CALLED),
        Question("GET", rpc, called(*SUBSCRIBED), on_websocket=True),
    ]
    return chain.from_iterable(zip(cycle(to_beacon), cycle(to_rpc), strict=True))


@dataclass
class Flood:
    session: aiohttp.ClientSession
    open: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    by_name: dict[str, Counter[str]] = field(default_factory=dict)

    async def run(self, asked: Iterator[Question], rate: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for number, question in enumerate(asked):
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
        """The status of HTTP, or that the method answered with an error."""
        if question.on_websocket:
            async with self.session.ws_connect(question.url) as socket:
                await socket.send_json(question.body)
                answer = await socket.receive_json()
                await asyncio.sleep(STREAM_S)
            return _judged(answer)
        async with self.session.request(
            question.method, question.url, json=question.body
        ) as answer:
            if question.streams and answer.status == 200:
                await asyncio.sleep(STREAM_S)
                answer.close()
            else:
                await answer.read()
            if answer.status == 200 and isinstance(question.body, dict):
                return _judged(await answer.json())
            return str(answer.status)


def _judged(answer: dict[str, Any]) -> str:
    return RULED_OUT if "error" in answer else "200"


async def main(beacon: str, rpc: str, rate: float, seconds: float) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        flood = Flood(session)
        await flood.run(questions(beacon, rpc), rate, seconds)
    print(json.dumps({"counts": flood.counts, "by_name": flood.by_name}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
