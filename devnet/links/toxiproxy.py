"""Async client of one Toxiproxy 2.12 server: time-outs, checked attributes, and cuts that never
remove a toxic.

What the server does was measured, and this file is shaped by it: changing or removing a toxic on a
stream whose sink is frozen and full hangs for 25 s holding the proxy's lock; some attribute values
crash the whole server on the first data, and so does a rate that rises while a chunk waits for it
(it is read again after the wait, and slices past the chunk's end); `GET /version` answers even
while the rest hangs. So every call has a time-out, every attribute is checked before it is sent, no
rate changes under traffic, and the four cut modes switch toxics on and off that are installed while
the link is idle (`guard_toxics`). Order in a heal: resume frozen processes, then touch toxics.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from devnet.model.cut import CutMode
from devnet.model.shape import Shape, Streams
from dst.spec.errors import DstError, InvalidInput

CALL_TIMEOUT_S: Final = 2.0
"""Calls take 0.4 to 3 ms; what takes longer hangs for 25 s."""
MAX_MS: Final = 1_000_000_000
MAX_RATE_KBPS: Final = 1_000_000_000

Stream = Literal["upstream", "downstream"]
"""`upstream` flows from the dialling side to the service."""
STREAMS: Final[tuple[Stream, Stream]] = ("upstream", "downstream")


class ToxiproxyError(DstError):
    """The server refused; `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ToxiproxyUnreachable(DstError):
    """No answer in time or no connection: the server is gone, or a call hangs on a frozen, full
    sink."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """A toxic to add, with the server's names; checked on construction of the request, not by the
    server."""

    name: str
    type: str
    stream: Stream
    attributes: Mapping[str, int]
    toxicity: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy as the server describes it, with its names."""

    name: str
    listen: str
    upstream: str
    enabled: bool = True
    toxics: tuple[Toxic, ...] = ()


_Range = tuple[int, int]
_ATTRIBUTES: Final[Mapping[str, Mapping[str, _Range]]] = {
    "latency": {"latency": (0, MAX_MS), "jitter": (0, MAX_MS)},
    "bandwidth": {"rate": (0, MAX_RATE_KBPS)},
    "timeout": {"timeout": (0, MAX_MS)},
    "reset_peer": {"timeout": (0, MAX_MS)},
    "slow_close": {"delay": (0, MAX_MS)},
    "slicer": {"average_size": (1, MAX_MS), "size_variation": (0, MAX_MS), "delay": (0, MAX_MS)},
    "limit_data": {"bytes": (0, 2**62)},
}
"""Allowed attributes and their inclusive ranges. A negative rate, a slicer of size 0 or a huge
jitter crash the server; overflowing delays silently mean none; unknown names are silently ignored.
None of it leaves this process."""
_REQUIRED: Final = {
    "bandwidth": "rate",
    "slicer": "average_size",
    "latency": "latency",
    "timeout": "timeout",
}
"""What the server would take as 0 when missing, with a meaning that nobody wants by accident."""


def check_attributes(kind: str, attributes: Mapping[str, int], *, partial: bool = False) -> None:
    """Refuse what the server would accept and then misunderstand or crash on.

    Args:
        partial: a PATCH, which may leave attributes out.
    Raises: InvalidInput naming attribute, value and range.
    """
    ranges = _ATTRIBUTES.get(kind)
    if ranges is None:
        raise InvalidInput(f"toxic type {kind!r}: one of {', '.join(_ATTRIBUTES)}")
    for name, value in attributes.items():
        if name not in ranges:
            raise InvalidInput(f"{kind}: unknown attribute {name!r}; it has {', '.join(ranges)}")
        low, high = ranges[name]
        if type(value) is not int or not low <= value <= high:
            raise InvalidInput(f"{kind}.{name} = {value!r}: a whole number in {low}..{high}")
    needed = _REQUIRED.get(kind)
    if needed is not None and needed not in attributes and not partial:
        raise InvalidInput(f"{kind}: attribute {needed!r} is missing")
    _check_slicer(kind, attributes, partial)


def _check_slicer(kind: str, attributes: Mapping[str, int], partial: bool) -> None:
    """A variation at or above the average slices out of bounds, in the server's own goroutine."""
    if kind != "slicer" or "size_variation" not in attributes:
        return
    if partial and "average_size" not in attributes:
        raise InvalidInput("slicer: change size_variation together with average_size")
    if attributes["size_variation"] >= attributes["average_size"]:
        raise InvalidInput("slicer: size_variation must be below average_size")


def _check_toxicity(toxicity: float) -> None:
    if isinstance(toxicity, bool) or not 0 <= toxicity <= 1:
        raise InvalidInput(f"toxicity {toxicity!r}: a number in 0..1")


_KEPT: Final = frozenset({"latency", "bandwidth"})
"""Switched off at a heal, and left in place: taking a toxic out of a stream can hang or lose data.
The others act on closes and resets even while they are off, and are taken out."""


def _hold_toxic(stream: Stream) -> str:
    return f"hold_{stream}"


def shaping_toxic(kind: str, stream: Stream) -> str:
    return f"{kind}_{stream}"


def _shaping(kind: str, shape: Shape | None) -> dict[str, Toxic]:
    """Name -> toxic that makes it."""
    if shape is None:
        return {}
    return {
        name: Toxic(
            name=name,
            type=kind,
            stream=stream,
            toxicity=shape.toxicity,
            attributes=shape.attributes,
        )
        for stream in STREAMS
        if shape.streams in (Streams.BOTH, stream)
        for name in (shaping_toxic(kind, stream),)
    }


def is_shaped(proxy: Proxy, kind: str, shape: Shape | None) -> bool:
    """Whether it is as `shape` leaves it, on either stream."""
    toxics = {toxic.name: toxic for toxic in proxy.toxics}
    wanted = _shaping(kind, shape)
    for name in (shaping_toxic(kind, stream) for stream in STREAMS):
        there, asked = toxics.get(name), wanted.get(name)
        if asked is None:
            if there is not None and (kind not in _KEPT or there.toxicity != 0):
                return False
        elif there is None or not _is_as(there, asked):
            return False
    return True


def is_cut(proxy: Proxy, mode: CutMode | None, streams: Iterable[Stream] = STREAMS) -> bool:
    """Whether it is as a cut of this mode (or, with None, a heal of everything) leaves it."""
    toxics = {toxic.name: toxic for toxic in proxy.toxics}
    if mode is None:
        return proxy.enabled and not any(_is_cutting(toxic) for toxic in proxy.toxics)
    if mode is CutMode.REFUSE:
        return not proxy.enabled
    names = [_CUTTING[mode](stream) for stream in streams]
    return proxy.enabled and all(name in toxics and _is_cutting(toxics[name]) for name in names)


def after_cut(proxy: Proxy, mode: CutMode, streams: Iterable[Stream] = STREAMS) -> Proxy:
    """What `ToxiproxyClient.cut` leaves of a guarded proxy."""
    if mode is CutMode.REFUSE:
        return replace(proxy, enabled=False)
    cut = _switched(proxy, mode, streams, toxicity=1.0)
    return replace(cut, enabled=True) if mode is CutMode.DROP else cut


def after_heal(proxy: Proxy, mode: CutMode, streams: Iterable[Stream] = STREAMS) -> Proxy:
    """What `ToxiproxyClient.heal` leaves of it."""
    if mode is CutMode.REFUSE:
        return replace(proxy, enabled=True)
    return _switched(proxy, mode, streams, toxicity=0.0)


def after_shape(proxy: Proxy, kind: str, shape: Shape | None) -> Proxy:
    """What `ToxiproxyClient.shape` leaves of it, but for toxics that are off and not the guard's:
    a link whose faults are all over is as it was."""
    ours = {shaping_toxic(kind, stream) for stream in STREAMS}
    others = (toxic for toxic in proxy.toxics if toxic.name not in ours)
    return replace(proxy, toxics=(*others, *_shaping(kind, shape).values()))


def _switched(proxy: Proxy, mode: CutMode, streams: Iterable[Stream], *, toxicity: float) -> Proxy:
    names = {_CUTTING[mode](stream) for stream in streams}
    return replace(
        proxy,
        toxics=tuple(
            replace(toxic, toxicity=toxicity) if toxic.name in names else toxic
            for toxic in proxy.toxics
        ),
    )


def _is_as(toxic: Toxic, asked: Toxic) -> bool:
    """The server keeps a toxicity in single precision, and writes it as it was read."""
    return toxic.toxicity == asked.toxicity and all(
        toxic.attributes.get(name) == value for name, value in asked.attributes.items()
    )


def _blackhole_toxic(stream: Stream) -> str:
    return f"blackhole_{stream}"


def _drop_toxic(stream: Stream) -> str:
    return f"drop_{stream}"


_CUTTING: Final[Mapping[CutMode, Callable[[Stream], str]]] = {
    CutMode.HOLD: _hold_toxic,
    CutMode.BLACKHOLE: _blackhole_toxic,
    CutMode.DROP: _drop_toxic,
}
"""Mode -> the toxic of a stream that makes it. `refuse` has none: the proxy is off."""


def guard_toxics() -> tuple[Toxic, ...]:
    """The toxics that a later `cut` only patches: put in while the link is idle, never taken out.

    All with toxicity 0, so off.
    """
    return tuple(
        Toxic(name=name, type=kind, stream=stream, toxicity=0.0, attributes=attributes)
        for stream in STREAMS
        for name, kind, attributes in (
            (_hold_toxic(stream), "bandwidth", {"rate": 0}),
            (_blackhole_toxic(stream), "timeout", {"timeout": 0}),
            (_drop_toxic(stream), "timeout", {"timeout": 1}),
        )
    )


@dataclass
class ToxiproxyClient:
    """One server's control API. Use as an async context manager, or call `close`.

    Raises (every call): ToxiproxyUnreachable; ToxiproxyError with the server's words; InvalidInput
    before sending.
    """

    url: str
    timeout_s: float = CALL_TIMEOUT_S
    _session: aiohttp.ClientSession | None = field(default=None, init=False, repr=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def version(self) -> str:
        """The server's version. It answers even when the rest hangs: ask `proxies` to know whether
        it is well."""
        answer = await self._call("GET", "/version")
        return str(answer["version"])

    async def proxies(self) -> dict[str, Proxy]:
        answer = await self._call("GET", "/proxies")
        return {name: proxy_from(entry) for name, entry in answer.items()}

    async def proxy(self, name: str) -> Proxy:
        return proxy_from(await self._call("GET", _path(name)))

    async def create(self, proxy: Proxy) -> Proxy:
        return proxy_from(await self._call("POST", "/proxies", _proxy_body(proxy)))

    async def populate(self, proxies: Sequence[Proxy]) -> None:
        """Create many at once and check that exactly these answer as asked: the server's call is
        not atomic.

        Raises: ToxiproxyError naming the port that is taken.
        """
        await self._call("POST", "/populate", [_proxy_body(proxy) for proxy in proxies])
        there = await self.proxies()
        for proxy in proxies:
            found = there.get(proxy.name)
            if found is None or found.upstream != proxy.upstream or found.enabled != proxy.enabled:
                raise ToxiproxyError(f"proxy {proxy.name} was not set up as asked: {found}", 500)

    async def delete(self, name: str) -> None:
        await self._call("DELETE", _path(name))

    async def set_enabled(self, name: str, enabled: bool) -> None:
        """Off: established connections end and new ones are refused. Safe while a sink is
        frozen."""
        answer = await self._call("PATCH", _path(name), {"enabled": enabled})
        if answer.get("enabled") is not enabled:
            raise ToxiproxyError(
                f"proxy {name}: enabled is {answer.get('enabled')} after asking for {enabled}", 500
            )

    async def repoint(self, name: str, upstream: str) -> None:
        """Lead to another service: established connections end, new ones go there; toxics stay."""
        answer = await self._call("PATCH", _path(name), {"upstream": upstream})
        if answer.get("upstream") != upstream:
            raise ToxiproxyError(
                f"proxy {name}: it leads to {answer.get('upstream')} after asking for {upstream}",
                500,
            )

    async def add_toxic(self, proxy: str, toxic: Toxic) -> None:
        check_attributes(toxic.type, toxic.attributes)
        _check_toxicity(toxic.toxicity)
        if toxic.stream not in STREAMS:
            raise InvalidInput(f"stream {toxic.stream!r}: upstream or downstream")
        await self._call("POST", _path(proxy, "toxics"), asdict(toxic))

    async def patch_toxic(
        self,
        proxy: str,
        name: str,
        kind: str = "",
        attributes: Mapping[str, int] | None = None,
        *,
        toxicity: float | None = None,
    ) -> None:
        """Change a toxic in place. `kind` is its type: attributes cannot be checked without it."""
        body: dict[str, Any] = {}
        if attributes:
            check_attributes(kind, attributes, partial=True)
            body["attributes"] = dict(attributes)
        if toxicity is not None:
            _check_toxicity(toxicity)
            body["toxicity"] = toxicity
        await self._call("PATCH", _path(proxy, "toxics", name), body)

    async def delete_toxic(self, proxy: str, name: str) -> None:
        """Remove a toxic. Hangs when the stream's sink is frozen and full: resume it first. Cuts
        never need this."""
        await self._call("DELETE", _path(proxy, "toxics", name))

    async def cut(self, proxy: str, mode: CutMode, streams: Iterable[Stream] = STREAMS) -> None:
        """Cut a guarded link. One direction alone is possible for `hold` and `blackhole`.

        Raises: InvalidInput for one direction of `drop` or `refuse`, which close whole connections.
        """
        chosen = tuple(streams)
        if mode in (CutMode.DROP, CutMode.REFUSE) and set(chosen) != set(STREAMS):
            raise InvalidInput(f"{mode} closes connections: it has no single direction")
        if mode is CutMode.REFUSE:
            await self.set_enabled(proxy, False)
            return
        await self._switch_all(proxy, mode, chosen, on=True)
        if mode is CutMode.DROP:
            await self.set_enabled(proxy, False)  # ends idle connections too
            await self.set_enabled(proxy, True)

    async def heal(self, proxy: str, mode: CutMode, streams: Iterable[Stream] = STREAMS) -> None:
        """Undo `cut` of the same mode and streams. Frozen processes behind the link must be resumed
        first."""
        if mode is CutMode.REFUSE:
            await self.set_enabled(proxy, True)
        else:
            await self._switch_all(proxy, mode, streams, on=False)

    async def verify(
        self, proxy: str, mode: CutMode | None, streams: Iterable[Stream] = STREAMS
    ) -> bool:
        """Does the server hold the state that a cut (or, with None, a heal of everything)
        leaves?"""
        return is_cut(await self.proxy(proxy), mode, streams)

    async def shape(self, proxy: str, kind: str, shape: Shape | None) -> None:
        """Toxics of this type on a guarded link, of its stream or streams; None: as if there were
        none. All attributes are to be named: one that is kept from before has others.

        A toxic that acts now is switched off before its attributes change.
        """
        check_attributes(kind, shape.attributes if shape else {}, partial=shape is None)
        wanted = _shaping(kind, shape)
        present = {toxic.name: toxic for toxic in (await self.proxy(proxy)).toxics}
        for name in (shaping_toxic(kind, stream) for stream in STREAMS):
            if name in present and kind not in _KEPT:
                await self.delete_toxic(proxy, name)
                del present[name]
            elif name in present and present[name].toxicity:
                await self._switch(proxy, name, on=False)
            if (toxic := wanted.get(name)) is None:
                continue
            if name in present:
                await self.patch_toxic(proxy, name, kind, toxic.attributes, toxicity=toxic.toxicity)
            else:
                await self.add_toxic(proxy, toxic)

    async def _switch_all(
        self, proxy: str, mode: CutMode, streams: Iterable[Stream], *, on: bool
    ) -> None:
        await asyncio.gather(*(self._switch(proxy, _CUTTING[mode](s), on=on) for s in streams))

    async def _switch(self, proxy: str, toxic: str, *, on: bool) -> None:
        await self.patch_toxic(proxy, toxic, toxicity=1.0 if on else 0.0)

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers={"User-Agent": "devnet"})
        try:
            async with asyncio.timeout(self.timeout_s):
                async with self._session.request(
                    method, URL(self.url + path, encoded=True), json=body
                ) as response:
                    status, answer = response.status, await _body_of(response)
        except TimeoutError:
            raise ToxiproxyUnreachable(
                f"Toxiproxy {self.url}: {method} {path} took more than {self.timeout_s} s "
                "(a frozen, full sink makes it hang: resume the process behind the link first)"
            ) from None
        except aiohttp.ClientError as error:
            raise ToxiproxyUnreachable(f"Toxiproxy {self.url}: {method} {path}: {error}") from error
        if status >= 400:
            raise ToxiproxyError(
                f"Toxiproxy {method} {path}: {answer.get('error', answer)}", status
            )
        return answer


async def _body_of(response: aiohttp.ClientResponse) -> Any:
    """JSON when it is JSON; the 25 s time-out of the server answers in HTML."""
    if response.status == 204:
        return {}
    try:
        return await response.json(content_type=None)
    except ValueError:
        return {"error": (await response.text())[:200]}


def _path(proxy: str, *rest: str) -> str:
    """Names hold `>` and dots: quoted, or the server would look elsewhere. Its router unquotes
    before it splits, so a name with a slash could be made but never be addressed again.

    Raises: InvalidInput.
    """
    if "/" in proxy:
        raise InvalidInput(f"proxy name {proxy!r}: no slash, the server could not find it again")
    return "/".join(("/proxies", *(quote(part, safe="") for part in (proxy, *rest))))


def proxy_from(entry: Mapping[str, Any]) -> Proxy:
    """Raises: KeyError for what is none."""
    return Proxy(
        name=entry["name"],
        listen=entry["listen"],
        upstream=entry["upstream"],
        enabled=entry["enabled"],
        toxics=tuple(_toxic_from(toxic) for toxic in entry.get("toxics") or ()),
    )


def _proxy_body(proxy: Proxy) -> dict[str, Any]:
    _path(proxy.name)
    return {
        "name": proxy.name,
        "listen": proxy.listen,
        "upstream": proxy.upstream,
        "enabled": proxy.enabled,
    }


def _toxic_from(entry: Mapping[str, Any]) -> Toxic:
    return Toxic(
        name=entry["name"],
        type=entry["type"],
        stream=entry["stream"],
        toxicity=entry["toxicity"],
        attributes=entry["attributes"],
    )


def _is_cutting(toxic: Toxic) -> bool:
    """Does this toxic stop traffic now?"""
    if toxic.toxicity == 0:
        return False
    return toxic.type == "timeout" or (
        toxic.type == "bandwidth" and toxic.attributes.get("rate") == 0
    )
