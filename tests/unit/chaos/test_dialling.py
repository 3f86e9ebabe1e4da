"""What the harness reads of links in the metrics of the programs that dial them."""

from collections.abc import Mapping

import aiohttp
import pytest

from devnet.faults.surface import Said
from devnet.model.topology import Topology, compute_topology
from devnet.probes.health import probe_url
from devnet.runner import dialling
from dst.runtime.calls import Calls
from dst.runtime.metrics import Metrics

FOUR = compute_topology(operators=4, followers=1)


def url_of(link: str, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{FOUR.link(link).listen_port}"


async def told(
    monkeypatch: pytest.MonkeyPatch, texts: Mapping[str, str], *links: str, of: Topology = FOUR
) -> Mapping[str, Said]:
    """texts: program -> its metrics; the others do not answer."""
    known = {f"{probe_url(of, program)}/metrics": text for program, text in texts.items()}

    async def read(_: object, url: str) -> str | None:
        return known.get(url)

    monkeypatch.setattr(dialling, "read_metrics", read)
    async with aiohttp.ClientSession() as session:
        return await dialling.told_of([of.link(link) for link in links], of, session)


async def test_a_middleware_tells_of_its_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    for peer, dials in (("op2", 3), ("op3", 1)):
        metrics.inc("p2p_dials_total", dials, peer=peer)
    metrics.inc("p2p_pongs_total", 40, peer="op3")
    metrics.inc("p2p_sent_bytes_total", 999, peer="op3")
    metrics.set("p2p_round_trip_seconds", 0.1, peer="op3")
    links = [f"op1>op{i}.consensus" for i in (2, 3, 4)]
    found = await told(monkeypatch, {"op1.middleware": metrics.render()}, *links)
    assert found == {
        "op1>op2.consensus": Said(answers=0, failures=3),
        "op1>op3.consensus": Said(answers=40, failures=1, trip_s=0.1, sent=999),
    }


@pytest.mark.parametrize(
    ("link", "program"),
    [
        ("op1.rollup>op1.engine", "op1.rollup"),
        ("op1.middleware>op1.rollup", "op1.middleware"),
        ("op1>l1.rpc", "op1.rollup"),
        ("f1>op1.beacon", "f1.rollup"),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "op1"])
async def test_a_program_tells_of_its_calls(
    monkeypatch: pytest.MonkeyPatch, link: str, program: str, host: str
) -> None:
    """Under the port that it dials, in whatever pod."""
    metrics = Metrics()
    calls, other = Calls(url_of(link, host)), Calls("http://127.0.0.1:1")
    for each in (calls, other):
        each.count_in(metrics)
    with calls.timed():
        pass
    for each in (calls, other):
        with pytest.raises(TimeoutError), each.timed():
            raise TimeoutError
    found = (await told(monkeypatch, {program: metrics.render()}, link))[link]
    assert (found.answers, found.failures) == (1, 1)
    assert found.trip_s is not None
    assert 0 <= found.trip_s < 1


async def test_of_calls_that_may_wait_no_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    calls = Calls(url_of("op1>op2.rpc"))
    calls.count_in(metrics)
    with calls.timed():
        pass
    texts = {"op1.execution": metrics.render()}
    found = await told(monkeypatch, texts, "op1>op2.rpc")
    assert found == {"op1>op2.rpc": Said(answers=1, failures=0)}


async def test_who_does_not_answer_or_count_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    links = ["op1>op2.consensus", "op1>l1.rpc", "client>op1.rpc", "op1.validator>op1.middleware"]
    assert await told(monkeypatch, {}, *links) == {}
    silent = dict.fromkeys(("op1.middleware", "op1.rollup"), "dst_decided_height 7\n")
    assert await told(monkeypatch, silent, *links) == {}
