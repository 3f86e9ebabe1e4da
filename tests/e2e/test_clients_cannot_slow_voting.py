"""Whoever reaches an operator's public ports can neither stop nor slow its voting.

One of four operators is down, so every block needs the vote of the one that is asked: 500 times a
second at each of its two public ports, by turns: every path of the Beacon API and `/dst/v1`, a
method of each family of the JSON-RPC, and a subscription on a WebSocket. Judged against a calm
window of the same run: no round ends by its timer, and blocks come as regularly.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from dst.apis.beacon import reading_routes
from dst.apis.dst_v1 import telling_routes
from dst.execution.rpc.dev_accounts import DevAccounts
from dst.execution.rpc.dev_tools import DevTools
from dst.execution.rpc.dispatch import entries
from dst.execution.rpc.families import FAMILIES
from tests.e2e.by_hand import Hands
from tests.e2e.clients import flooding
from tests.e2e.conftest import REPOSITORY, NetworkFactory, RunningNetwork

pytestmark = pytest.mark.xdist_group("flooded-network")

OFFSET = "3000"
RATE = 1000
"""Half of it to each port."""
LEAST_ANSWERED = 0.5
"""Of it: a slow machine may hold some back, but then it is no flood."""
WINDOW_S = 10.0
ROUND_0_S = 0.5
"""Half a slot: what a round that ends by its timer costs."""
POLL_S = 0.01


@pytest.fixture(scope="module")
def network(network_factory: NetworkFactory) -> Iterator[RunningNetwork]:
    made = network_factory("--backend", "process", "--port-offset", OFFSET, "--slot-seconds", "1")
    hands = Hands(made)
    hands.end("op4.middleware")
    yield made
    hands.close()


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def timers_run_out(network: RunningNetwork) -> int:
    """Rounds that a timer ended, at anybody: the leader was there, and something came too late."""
    logs = (network.directory / "logs").glob("op*.middleware.log")
    lines = [line for log in logs for line in log.read_text().splitlines()]
    return sum(" round_change " in line and "cause=timer" in line for line in lines)


def gaps(network: RunningNetwork, seconds: float) -> list[float]:
    """Between newly sealed heights at op3, which nobody floods, for so long."""
    url = network.descriptor["operators"][2]["beacon"] + "/dst/v1/status"
    seen: list[float] = []
    height, end = get(url)["sealed_height"], time.monotonic() + seconds
    while time.monotonic() < end:
        now_at = get(url)["sealed_height"]
        if now_at > height:
            seen += [time.monotonic()] * (now_at - height)
            height = now_at
        time.sleep(POLL_S)
    return [after - before for before, after in pairwise(seen)]


def test_every_public_endpoint_is_asked() -> None:
    nobody: Any = None
    served = {(r.method, r.path) for r in (*reading_routes(nobody), *telling_routes(nobody))}
    asked = {
        *(("GET", path.partition("?")[0]) for path in (*flooding.READ, *flooding.STREAMED)),
        *(("POST", path) for path, _ in flooding.POSTED),
    }
    missed = {
        (method, path)
        for method, path in served
        if not any(method == m and _fits(path, p) for m, p in asked)
    }
    assert missed == set()


def test_a_method_of_every_family_is_asked() -> None:
    """Those of dev networks excepted: nobody else serves them."""
    asked = {method for method, _ in (*flooding.CALLED, flooding.SUBSCRIBED)}
    table = entries(FAMILIES)
    assert asked <= table.keys()
    families = {entry.family for name, entry in table.items() if name in asked}
    assert set(FAMILIES) - families == {DevAccounts, DevTools}


def _fits(pattern: str, path: str) -> bool:
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(
        want.startswith("{") or part == want for part, want in zip(parts, wanted, strict=True)
    )


def test_five_hundred_requests_a_second_at_each_port_cost_no_round(network: RunningNetwork) -> None:
    gaps(network, 3.0)  # the one that ended has been passed over
    before = timers_run_out(network)
    calm = gaps(network, WINDOW_S)
    between = timers_run_out(network)
    op1 = network.descriptor["operators"][0]
    words = [op1["beacon"], op1["rpc"], str(RATE), str(WINDOW_S + 2)]
    with subprocess.Popen(
        [sys.executable, "-m", flooding.__name__, *words],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        # Its own work is to take no processor from those it asks.
        preexec_fn=lambda: os.nice(19),
    ) as flood:
        time.sleep(1.0)
        loaded = gaps(network, WINDOW_S)
        out, _ = flood.communicate(timeout=60)
    after = timers_run_out(network)
    told = json.loads(out)
    is_answer = (*map(str, range(200, 600)), flooding.RULED_OUT)
    answered = sum(n for outcome, n in told["counts"].items() if outcome in is_answer)
    report = (
        f"calm: {len(calm)} gaps, longest {max(calm):.2f} s, {between - before} timers; "
        f"loaded: {len(loaded)} gaps, longest {max(loaded):.2f} s, {after - between} timers; "
        f"{answered / (WINDOW_S + 2):.0f} answers a second; {told}"
    )
    print(report)
    assert answered >= LEAST_ANSWERED * RATE * WINDOW_S, report
    assert after - between <= between - before, report
    assert max(loaded) <= max(calm) + ROUND_0_S / 2, report
    assert len(loaded) >= len(calm) - 1, report
    refused = {f"{method} {path[1:]}" for method, path in flooding.NOT_FOR_STRANGERS}
    for name in told["by_name"].keys() - refused - {*flooding.REFUSED}:
        outcomes = told["by_name"][name]
        assert "200" in outcomes or "206" in outcomes, (name, outcomes)
