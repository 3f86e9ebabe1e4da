"""Which hosts and which web pages a listener answers: a browser on the same machine can reach every
listener of ours, and whatever page it shows would like to.

Three attacks, three checks:

1. A page posts to us directly (`text/plain` and forms need no preflight). It cannot hide where it
   comes from: an Origin that is not allowed is answered 403, and those content types 415.
2. A page makes its own name point at us (DNS rebinding), and asks as if we were its server. It
   cannot hide the name: a Host that is neither an address, nor local, nor configured is answered
   403.
3. A page of an allowed origin asks first (preflight) and gets what it needs, no other does.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from dst.runtime.log import Logger
from dst.spec.errors import BadConfig

log = Logger("http")

LOCAL_ORIGINS: Final = "local"
"""In a list of origins: any page served from this machine, whatever its port."""
ANY_ORIGIN: Final = "*"
ANY_HOST: Final = "*"

PREFLIGHT_SECONDS: Final = "600"
"""How long a browser may remember a preflight's answer."""
_FORM_TYPES: Final = frozenset(
    {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"}
)
"""What a page may post to a foreign host without a preflight (Fetch, CORS-safelisted)."""
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_HEADER: Final = 256
"""An origin or host is short; what is longer is nobody's."""
_NAMES_TOLD: Final = 16
"""So many refused names a listener logs, each once: a forgotten one is found, a log is not
flooded."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserPolicy:
    """The default lets no web page in, and answers to addresses and local names."""

    origins: frozenset[str] = frozenset()
    """`https://wallet.example`, `local` or `*`."""
    hosts: frozenset[str] = frozenset()
    """Names beyond the ones that are always good, or `*`."""

    @classmethod
    def of(cls, origins: Iterable[str], hosts: Iterable[str], *, what: str) -> "BrowserPolicy":
        """Raises: BadConfig naming `what` is wrong."""
        for origin in origins:
            if origin not in (LOCAL_ORIGINS, ANY_ORIGIN) and not _is_origin(origin):
                raise BadConfig(
                    f"{what}: {origin!r} is no origin: expected scheme://host[:port], "
                    f"{LOCAL_ORIGINS!r} or {ANY_ORIGIN!r}"
                )
        hosts = tuple(hosts)
        for host in hosts:
            if host != ANY_HOST and _name_of(host) != host.lower():
                raise BadConfig(
                    f"{what}: hosts: {host!r} is no name: expected one without scheme and port, "
                    f"such as 'op1.rollup.example', or {ANY_HOST!r}"
                )
        return cls(
            origins=frozenset(each.lower() for each in origins),
            hosts=frozenset(each.lower() for each in hosts),
        )

    def allows_origin(self, origin: str) -> bool:
        origin = origin.lower()
        if ANY_ORIGIN in self.origins or origin in self.origins:
            return True
        if LOCAL_ORIGINS not in self.origins or not _is_origin(origin):
            return False
        name = urlsplit(origin).hostname or ""
        return name in _LOCAL_NAMES or name.endswith(".localhost")

    def allows_host(self, host: str | None) -> bool:
        """No page can own an address, `localhost`, a name without a dot or one below `.internal`:
        those need no configuration (containers call each other so)."""
        name = _name_of(host or "")
        if name is None:
            return False
        if ANY_HOST in self.hosts or name in self.hosts:
            return True
        if "." not in name or name.endswith((".localhost", ".internal")) or _is_address(name):
            return name != ""
        return False


DEFAULT_POLICY: Final = BrowserPolicy()


def guard(policy: BrowserPolicy) -> Middleware:
    """The middleware that applies a policy before anything else looks at a request."""
    told: set[str] = set()

    def refuse_host(host: str | None) -> web.Response:
        name = _name_of(host or "")
        if name is None:
            return _refuse(403, "invalid host specified")
        if name not in told and len(told) < _NAMES_TOLD:
            told.add(name)
            log.warning("host_refused", host=name, remedy="if it is this node's: add it to `hosts`")
        return _refuse(403, f"invalid host specified: {name} is not in `hosts` of this node")

    @web.middleware
    async def checked(request: web.Request, handler: _Handler) -> web.StreamResponse:
        host = request.headers.get("Host")
        if not policy.allows_host(host):
            return refuse_host(host)
        origin = request.headers.get("Origin")
        if origin is not None and not policy.allows_origin(origin):
            return _refuse(403, "this origin is not allowed")
        if origin is not None and _is_preflight(request):
            return _preflight_answer(request)
        if request.method != "GET" and request.content_type in _FORM_TYPES:
            return _refuse(415, "invalid content type: a form or plain text is not taken")
        return await handler(request)

    return checked


def naming_origins(
    policy: BrowserPolicy,
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Signal `on_response_prepare`: a page that was let in may read the answer."""

    async def name_origin(request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get("Origin")
        if origin is not None and policy.allows_origin(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"

    return name_origin


def _is_preflight(request: web.Request) -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def _preflight_answer(request: web.Request) -> web.Response:
    asked = request.headers
    answer = {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": asked.get("Access-Control-Request-Headers", "Content-Type"),
        "Access-Control-Max-Age": PREFLIGHT_SECONDS,
    }
    if asked.get("Access-Control-Request-Private-Network") == "true":
        answer["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=answer)


def _refuse(status: int, reason: str) -> web.Response:
    """The Beacon API's form of an error."""
    return web.json_response({"code": status, "message": reason}, status=status)


def _is_origin(text: str) -> bool:
    """scheme://host[:port] and nothing more."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    bare = not (parts.path or parts.query or parts.fragment or parts.username)
    return len(text) <= _MAX_HEADER and bool(parts.scheme and parts.hostname) and bare


def _name_of(host: str) -> str | None:
    """The name in a Host header without its port, lower case; None for nonsense."""
    if not host or len(host) > _MAX_HEADER:
        return None
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in host:
        return None
    return (parts.hostname or "").rstrip(".") or None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
