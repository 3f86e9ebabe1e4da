"""All links of a network: which Toxiproxy holds which proxy, and one call for a fault over many
links."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from devnet.links.standing import Standing, StandingLost
from devnet.links.toxiproxy import (
    STREAMS,
    Proxy,
    Stream,
    Toxic,
    ToxiproxyClient,
    ToxiproxyError,
    ToxiproxyUnreachable,
    after_cut,
    after_heal,
    after_shape,
    guard_toxics,
    is_cut,
    is_shaped,
)
from devnet.model.cut import CutMode
from devnet.model.shape import Shape
from devnet.model.topology import Link, LinkClass, Topology

LINK_ERRORS: Final = (StandingLost, ToxiproxyError, ToxiproxyUnreachable)
"""What a call of `Mesh` raises when links are not as asked."""
START_TIMEOUT_S: Final = 15.0
POLL_S: Final = 0.02


@dataclass
class Mesh:
    """The Toxiproxies of a running network, by pod. No call touches a probe link.

    Raises: what `LINK_ERRORS` says; KeyError for an unknown link; ValueError for a probe link.
    """

    topology: Topology
    standing: Standing
    _clients: dict[str, ToxiproxyClient] = field(init=False)

    def __post_init__(self) -> None:
        self._clients = {
            pod.name: ToxiproxyClient(f"http://127.0.0.1:{pod.admin_port}")
            for pod in self.topology.pods
        }

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self._clients.values()))

    @property
    def pods(self) -> tuple[str, ...]:
        return tuple(self._clients)

    def client(self, pod: str) -> ToxiproxyClient:
        return self._clients[pod]

    async def wait_until_up(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Raises: ToxiproxyUnreachable when one does not answer in time."""
        await asyncio.gather(
            *(_until_answers(client, timeout_s) for client in self._clients.values())
        )

    async def populate(self, listen_host: Callable[[Link], str]) -> None:
        """Create every proxy, with the toxics that cuts patch later; probe links stay bare and
        quick."""
        self.standing.clear()
        await asyncio.gather(
            *(self._populate_pod(pod.name, listen_host) for pod in self.topology.pods)
        )

    async def _populate_pod(self, pod: str, listen_host: Callable[[Link], str]) -> None:
        """Nothing passes before what stands on a link is in place. Who changes a link meanwhile has
        written it down, and may have asked the server too early: such links are set up again."""
        client, done = self._clients[pod], dict[str, Proxy]()
        while wanted := self._wanted(pod, listen_host, done):
            for name in done.keys() & wanted.keys():
                await client.delete(name)
            await client.populate([replace(proxy, enabled=False) for proxy in wanted.values()])
            for proxy in wanted.values():
                for toxic in proxy.toxics:
                    await client.add_toxic(proxy.name, toxic)
                if proxy.enabled:
                    await client.set_enabled(proxy.name, True)
            done |= wanted

    def _wanted(
        self, pod: str, listen_host: Callable[[Link], str], done: Mapping[str, Proxy]
    ) -> dict[str, Proxy]:
        """Those that are to be otherwise than they were set up."""
        standing = self.standing.read()
        wanted = (
            replace(
                standing.get(link.name, _untouched(link)),
                listen=f"{listen_host(link)}:{link.listen_port}",
            )
            for link in self.topology.links_on(pod)
        )
        return {proxy.name: proxy for proxy in wanted if done.get(proxy.name) != proxy}

    async def restore(self, pod: str, listen_host: Callable[[Link], str]) -> None:
        """Set up a server that has just been started anew, with the faults that stand now."""
        await _until_answers(self._clients[pod], START_TIMEOUT_S)
        await self._populate_pod(pod, listen_host)

    async def cut(
        self, links: Iterable[Link], mode: CutMode, streams: Iterable[Stream] = STREAMS
    ) -> None:
        """Cut all of them at once; when this returns, every server has said so."""
        chosen = tuple(streams)
        await self._each(
            links,
            lambda proxy: after_cut(proxy, mode, chosen),
            lambda client, link: client.cut(link.name, mode, chosen),
        )

    async def heal(
        self, links: Iterable[Link], mode: CutMode, streams: Iterable[Stream] = STREAMS
    ) -> None:
        """Undo a cut of the same mode; frozen processes must be resumed first."""
        chosen = tuple(streams)
        await self._each(
            links,
            lambda proxy: after_heal(proxy, mode, chosen),
            lambda client, link: client.heal(link.name, mode, chosen),
            takes_back=True,
        )

    async def shape(self, links: Iterable[Link], kind: str, shape: Shape | None) -> None:
        """Toxics of this type on every link; None takes them away."""
        await self._each(
            links,
            lambda proxy: after_shape(proxy, kind, shape),
            lambda client, link: client.shape(link.name, kind, shape),
            takes_back=shape is None,
        )

    async def not_shaped(self, links: Iterable[Link], kind: str, shape: Shape | None) -> list[str]:
        """Those of which the servers list that toxic otherwise."""
        known = await self._listed(links)
        return [name for name, proxy in known.items() if not is_shaped(proxy, kind, shape)]

    async def lead_to(self, ports: Mapping[Link, int]) -> None:
        """Each link to a port of its pod, its service or what stands before that."""
        upstreams = {link.name: _upstream(port) for link, port in ports.items()}
        await self._each(
            ports,
            lambda proxy: replace(proxy, upstream=upstreams[proxy.name]),
            lambda client, link: client.repoint(link.name, upstreams[link.name]),
            takes_back=all(port == link.service_port for link, port in ports.items()),
        )

    async def not_leading_to(self, ports: Mapping[Link, int]) -> list[str]:
        known = await self._listed(ports)
        wanted = {link.name: _upstream(port) for link, port in ports.items()}
        return [name for name, proxy in known.items() if proxy.upstream != wanted[name]]

    async def not_in_state(self, links: Iterable[Link], mode: CutMode | None) -> list[str]:
        """Those that are not as the cut, or with None the heal, leaves them."""
        known = await self._listed(links)
        return [name for name, proxy in known.items() if not is_cut(proxy, mode)]

    async def _listed(self, links: Iterable[Link]) -> dict[str, Proxy]:
        """One question a server, however many links."""
        wanted = tuple(links)
        pods = sorted({link.target for link in wanted})
        answers = await asyncio.gather(*(self._clients[pod].proxies() for pod in pods))
        known = {name: proxy for answer in answers for name, proxy in answer.items()}
        return {link.name: known[link.name] for link in wanted}

    async def unlike_written(self) -> Mapping[str, str]:
        """Link name -> what it would come back with if its Toxiproxy ended: whoever wrote that was
        killed before it asked the server, or after it had. Of servers that answer."""
        try:
            standing = self.standing.read()
        except StandingLost as error:
            return {"links": str(error)}
        found: dict[str, str] = {}
        for answer in (await self._answers()).values():
            for name, proxy in (answer or {}).items():
                wanted = standing.get(name, _untouched(self.topology.link(name)))
                written, there = describe_fault(wanted), describe_fault(proxy)
                if (written, self._bend_of(wanted)) != (there, self._bend_of(proxy)):
                    found[name] = f"written down as {written or 'healthy'}"
        return found

    async def faults(self) -> Mapping[str, str]:
        """Link name -> what is done to it now, for the board: cut mode or delay. Healthy links are
        absent."""
        found: dict[str, str] = {}
        for pod, answer in (await self._answers()).items():
            if answer is None:
                found[f"{pod}.toxiproxy"] = "does not answer"
            else:
                found |= {
                    name: fault
                    for name, proxy in answer.items()
                    if (fault := describe_fault(proxy) or self._bend_of(proxy))
                }
        return found

    async def silent(self, pods: Iterable[str]) -> list[str]:
        """Those whose server does not answer."""
        known = await self._answers()
        return [pod for pod in pods if known[pod] is None]

    async def _answers(self) -> dict[str, dict[str, Proxy] | None]:
        """Pod -> its proxies; None where its server does not answer."""

        async def ask(client: ToxiproxyClient) -> dict[str, Proxy] | None:
            try:
                return await client.proxies()
            except (ToxiproxyUnreachable, ToxiproxyError):
                return None

        answers = await asyncio.gather(*map(ask, self._clients.values()))
        return dict(zip(self._clients, answers, strict=True))

    def _bend_of(self, proxy: Proxy) -> str:
        service = _upstream(self.topology.link(proxy.name).service_port)
        return "answers bent" if proxy.upstream != service else ""

    async def _each(
        self,
        links: Iterable[Link],
        leaves: Callable[[Proxy], Proxy],
        call: Callable[[ToxiproxyClient, Link], Awaitable[None]],
        *,
        takes_back: bool = False,
    ) -> None:
        """What `call` leaves of each stands from before it is tried, also when it fails. What
        cannot be written is not done; what takes something back is, and then it raises."""
        chosen, lost = tuple(links), None
        for link in chosen:
            if link.kind is LinkClass.PROBE:
                raise ValueError(f"{link.name} is a probe link: faults never touch it")
        try:
            self._write(chosen, leaves)
        except StandingLost as error:
            if not takes_back:
                raise
            lost = error
        await asyncio.gather(*(call(self._clients[link.target], link) for link in chosen))
        if lost is not None:
            raise lost

    def _write(self, links: Iterable[Link], leaves: Callable[[Proxy], Proxy]) -> None:
        with self.standing.changing() as standing:
            for link in links:
                untouched = _untouched(link)
                standing[link.name] = leaves(standing.get(link.name, untouched))
                if standing[link.name] == untouched:
                    del standing[link.name]


def describe_fault(proxy: Proxy) -> str:
    """`refuse`, `hold`, `latency 50 ms on 25%`...; empty for a healthy proxy."""
    if not proxy.enabled:
        return "refuse"
    words = {
        _word_of(toxic) + (f" on {toxic.toxicity:.0%}" if toxic.toxicity < 1 else "")
        for toxic in proxy.toxics
        if toxic.toxicity
    }
    return ", ".join(sorted(words))


def _word_of(toxic: Toxic) -> str:
    match toxic.type:
        case "bandwidth" if toxic.attributes["rate"] == 0:
            return "hold"
        case "bandwidth":
            return f"{toxic.attributes['rate']} KB/s"
        case "timeout":
            return _TIMEOUTS.get(toxic.attributes["timeout"], "timeout")
        case "latency":
            jitter = toxic.attributes.get("jitter")
            spread = f" ± {jitter}" if jitter else ""
            return f"latency {toxic.attributes['latency']}{spread} ms"
    return toxic.type


_TIMEOUTS: Final = {0: "blackhole", 1: "drop"}
"""What the toxics of cuts have."""


def _untouched(link: Link) -> Proxy:
    return Proxy(
        name=link.name,
        listen=f"127.0.0.1:{link.listen_port}",
        upstream=_upstream(link.service_port),
        toxics=() if link.kind is LinkClass.PROBE else guard_toxics(),
    )


def _upstream(port: int) -> str:
    """On the loopback of the pod."""
    return f"127.0.0.1:{port}"


async def _until_answers(client: ToxiproxyClient, timeout_s: float) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        try:
            await client.proxies()
            return
        except ToxiproxyUnreachable:
            if asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(POLL_S)
