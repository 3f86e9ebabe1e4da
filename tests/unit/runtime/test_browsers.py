"""Which hosts and web pages a listener answers, over a real one."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from dst.runtime.browsers import DEFAULT_POLICY, LOCAL_ORIGINS, BrowserPolicy
from dst.runtime.http import make_app
from dst.runtime.metrics import Metrics
from dst.spec.errors import BadConfig
from tests.unit.execution.rpc.bench import listening

LOCAL = BrowserPolicy(origins=frozenset({LOCAL_ORIGINS}))
WALLET = "https://wallet.example"


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("localhost:8545", True),
        ("LOCALHOST", True),
        ("127.0.0.1:8545", True),
        ("[::1]:8545", True),
        ("10.1.2.3", True),
        ("op2:18545", True),
        ("app.localhost:3", True),
        ("host.docker.internal:8545", True),
        ("evil.example", False),
        ("evil.example:8545", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:80", False),
        ("", False),
        (None, False),
        ("a" * 300, False),
        ("evil.example.", False),
        ("x@127.0.0.1", False),
        ("127.0.0.1/evil.example", False),
        ("[::1", False),
        ("127.0.0.1:99999999", False),
    ],
)
def test_hosts(host: str | None, good: bool) -> None:
    assert DEFAULT_POLICY.allows_host(host) is good


def test_a_configured_host_is_good() -> None:
    policy = BrowserPolicy.of((), ["RPC.example"], what="test")
    assert policy.allows_host("rpc.EXAMPLE:443")
    assert not policy.allows_host("other.example")
    assert BrowserPolicy.of((), ["*"], what="test").allows_host("other.example")


@pytest.mark.parametrize(
    "host", ["https://op1.example", "op1.example:8545", "op1.example/", "", "op1.example."]
)
def test_what_is_no_name_is_a_bad_configuration(host: str) -> None:
    with pytest.raises(BadConfig, match=r"rollup config: hosts: .* is no name"):
        BrowserPolicy.of((), [host], what="rollup config")


@pytest.mark.parametrize(
    ("origin", "local"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1:5173", True),
        ("http://[::1]:80", True),
        ("https://app.localhost", True),
        ("null", False),
        ("", False),
        ("http://evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://localhost@evil.example", False),
        ("http://localhost/evil", False),
        ("http://localhost:bad", False),
        ("http://" + "a" * 300 + ".localhost", False),
    ],
)
def test_origins(origin: str, local: bool) -> None:
    assert LOCAL.allows_origin(origin) is local
    assert not DEFAULT_POLICY.allows_origin(origin)
    assert BrowserPolicy(origins=frozenset({"*"})).allows_origin(origin)


def test_a_configured_origin_is_exact() -> None:
    policy = BrowserPolicy.of([WALLET], [], what="test")
    assert policy.allows_origin("HTTPS://wallet.example")
    assert not policy.allows_origin("http://wallet.example")
    assert not policy.allows_origin("https://wallet.example:8443")


@pytest.mark.parametrize(
    "origin", ["wallet.example", "https://", "https://a/b", "null", "http://a:x"]
)
def test_what_is_no_origin_is_a_bad_configuration(origin: str) -> None:
    with pytest.raises(BadConfig, match="no origin"):
        BrowserPolicy.of([origin], [], what="execution config")


async def echo(request: web.Request) -> web.StreamResponse:
    return web.json_response({"got": len(await request.read())})


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"data")
    return response


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = make_app(Metrics(), [web.post("/", echo), web.get("/events", stream)], policy=LOCAL)
    async with listening(app) as address:
        yield f"http://{address}"


async def ask(method: str, url: str, **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session:
        body = b"{}" if method == "POST" else None
        async with session.request(method, url, data=body, headers=headers) as response:
            return response.status, response.headers


JSON = {"Content-Type": "application/json"}
PAGE = {"Origin": "http://localhost:3000"}


async def test_a_program_without_an_origin_is_served(url: str) -> None:
    status, headers = await ask("POST", url, **JSON)
    assert status == 200
    assert "Access-Control-Allow-Origin" not in headers


async def test_an_allowed_page_reads_the_answer(url: str) -> None:
    for method, path in (("POST", "/"), ("GET", "/events"), ("GET", "/missing")):
        _, headers = await ask(method, url + path, **JSON, **PAGE)
        assert headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
        assert headers["Vary"] == "Origin"


async def test_a_foreign_page_gets_nothing(url: str) -> None:
    for origin in ("https://evil.example", "null"):
        for method, path in (("POST", "/"), ("GET", "/metrics"), ("OPTIONS", "/")):
            status, headers = await ask(method, url + path, **JSON, Origin=origin)
            assert status == 403
            assert "Access-Control-Allow-Origin" not in headers


async def test_a_rebound_name_gets_nothing(url: str) -> None:
    for path in ("/metrics", "/healthz", "/livez"):
        assert (await ask("GET", url + path, Host="evil.example"))[0] == 403
    assert (await ask("POST", url, **JSON, Host="evil.example:8545"))[0] == 403


async def test_a_refused_name_is_told_to_both_sides(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The one who calls learns why, the log of the one who is called has each name once."""
    async with aiohttp.ClientSession() as session:
        for host in (
            "op1.example:8545",
            "OP1.example",
            "a@b",
            *(f"x{i}.example" for i in range(99)),
        ):
            async with session.get(f"{url}/livez", headers={"Host": host}) as response:
                told = (await response.json())["message"]
                assert told.startswith("invalid host specified")
                assert ("op1.example is not in `hosts`" in told) is ("op1" in host.lower())
    lines = [line for line in caplog.text.splitlines() if "host_refused" in line]
    assert len(lines) == 16
    assert sum("host=op1.example " in line for line in lines) == 1


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded"],
)
async def test_what_a_page_can_post_unasked_is_not_taken(url: str, content_type: str) -> None:
    for headers in ({}, PAGE):
        status, _ = await ask("POST", url, **headers, **{"Content-Type": content_type})
        assert status == 415


async def test_preflight(url: str) -> None:
    asked = {
        **PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, x-custom",
        "Access-Control-Request-Private-Network": "true",
    }
    status, headers = await ask("OPTIONS", url, **asked)
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert headers["Access-Control-Allow-Headers"] == "content-type, x-custom"
    assert headers["Access-Control-Allow-Private-Network"] == "true"


async def test_health_lists_what_is_waited_for_also_where_the_node_may_be_used() -> None:
    waits: list[str] = []
    reasons: list[str | None] = [None]
    app = make_app(Metrics(), [], health=lambda: reasons[0], waits_for=lambda: waits)
    async with listening(app) as address, aiohttp.ClientSession() as session:

        async def told() -> tuple[int, object]:
            async with session.get(f"http://{address}/healthz") as response:
                return response.status, await response.json()

        assert await told() == (200, {"ok": True})
        waits.append("L1: away")
        assert await told() == (200, {"ok": True, "waits_for": ["L1: away"]})
        reasons[0] = "it lags"
        lags = {"ok": False, "reason": "it lags", "waits_for": ["L1: away"]}
        assert await told() == (503, lags)


async def test_health_says_why() -> None:
    reasons: list[str | None] = ["too old"]
    app = make_app(Metrics(), [], health=lambda: reasons[0])
    async with listening(app) as address, aiohttp.ClientSession() as session:
        async with session.get(f"http://{address}/healthz") as response:
            assert response.status == 503
            assert await response.json() == {"ok": False, "reason": "too old"}
        async with session.get(f"http://{address}/livez") as response:
            assert response.status == 200
        reasons[0] = None
        async with session.get(f"http://{address}/healthz") as response:
            assert (response.status, await response.json()) == (200, {"ok": True})
