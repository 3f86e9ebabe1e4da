"""One network from start to stop: live checkers and the board fed from every node's events, until
asked to stop.

Exit codes: 0 asked to stop, 1 a checker fired, 3 could not start.
"""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live

from devnet.checkers import LiveChecker, live_checkers
from devnet.model.command import DEFAULT_DIR, Exit
from devnet.model.history import Event, FaultReceipt, Record, Setup
from devnet.network.bring_up import Network, NetworkOptions, running
from devnet.network.claim import what_stays
from devnet.network.control import serve_control
from devnet.probes.events import EventTail
from devnet.views.dashboard import endpoints_of, line_of, suggestion, table_of
from devnet.views.liveness import waits_text
from devnet.views.look import look_at, state_for
from devnet.views.state import Look, NetworkState
from dst.runtime.service import until
from dst.spec.errors import DstError

LOOK_SECONDS: Final = 1.0
"""Between looks at peers, faults and program states."""
REFRESH_PER_SECOND: Final = 4


@dataclass
class Watch:
    """Feeds events to checkers and board, and says when to stop."""

    network: Network
    board: NetworkState
    stop: asyncio.Event
    keep_on: bool
    """A detached network outlives a breach, so that it can be looked at; others end with it."""
    live: Live | None = None
    violated: bool = False
    born: float = field(default_factory=time.monotonic)
    checkers: list[LiveChecker] = field(default_factory=live_checkers)
    _known_to_lie: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        topology, descriptor = self.network.topology, self.network.descriptor
        self._feed(
            Setup(
                operators=topology.operator_names,
                followers=topology.follower_names,
                slot_seconds=descriptor.slot_seconds,
                chain_id=descriptor.chain_id,
                seed=descriptor.seed,
                cluster=topology.cluster,
                backend=descriptor.backend,
            )
        )

    def record(self, record: Record) -> None:
        """One event of one node."""
        for program in sorted(self.network.backend.stood_in - self._known_to_lie):
            self._known_to_lie.add(program)
            self._feed(_liar(program))
        self._feed(record)
        if not isinstance(record, Event):
            return
        block = self.board.take(record)
        if block is not None and self.live is None:
            print(line_of(block), flush=True)

    def _feed(self, record: Record) -> None:
        for checker in self.checkers:
            for violation in checker.feed(record):
                self.violated = True
                self.say(f"VIOLATION of {violation.checker}: {violation.summary}")
                if not self.keep_on:
                    self.stop.set()

    def say(self, text: str) -> None:
        self.board.note(text)
        print(text, file=sys.stderr, flush=True)

    async def look_around(self) -> None:
        """What no event tells, once a second."""
        while True:
            self._learn(await look_at(self.network))
            await asyncio.sleep(LOOK_SECONDS)

    def _learn(self, look: Look) -> None:
        """Without a terminal, said once: each program that begins to wait, and the beginning and
        the end of a trouble of the cluster."""
        waited, before = self.board.waits, _kind(self.board)
        newest = self.board.newest_decided
        decided_at = self.born if newest is None else newest.monotonic
        self.board.looked(look, decided_at=decided_at, now=time.monotonic())
        if self.live is not None:
            return
        new = {name: texts for name, texts in look.waits.items() if name not in waited}
        lines = waits_text(new)
        if _kind(self.board) != before:
            assert self.board.cluster is not None, "it was looked at"
            lines.append(self.board.cluster.trouble or "the cluster decides again")
        for line in lines:
            print(line, file=sys.stderr, flush=True)

    async def draw(self, heading: str) -> None:
        """Redraw the board on the terminal."""
        while True:
            if self.live is not None:
                # Events are stamped with CLOCK_MONOTONIC, so the age of a block is against it.
                self.live.update(table_of(self.board, heading, time.monotonic()), refresh=True)
            await asyncio.sleep(1 / REFRESH_PER_SECOND)


def _kind(state: NetworkState) -> str:
    """`NO QUORUM`, `STANDSTILL` or nothing."""
    return "" if state.cluster is None else state.cluster.trouble.partition(":")[0]


def _liar(program: str) -> FaultReceipt:
    """What a scenario that uses this network makes of a program, as far as checkers are concerned:
    it was told to lie, and nothing that its operator says of itself counts from then on."""
    node, moment = program.partition(".")[0], time.monotonic()
    return FaultReceipt(
        id=f"{program} as another", kind="byzantine", targets=(node,), lying=(node,),
        requested=moment,
    )  # fmt: skip


def supervise(options: NetworkOptions, *, detached: bool) -> int:
    """Run a network until SIGINT or SIGTERM and return the exit code. Says what happens on
    stderr."""
    try:
        return asyncio.run(_supervise(options, detached))
    except DstError as error:
        _say(f"error: {error}")
        return Exit.HARNESS
    except _Interrupted:
        _say("==> stopped before the network was up")
        return Exit.OK


class _Interrupted(Exception):
    """A signal came while the network was starting."""


async def _supervise(options: NetworkOptions, detached: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    watches: list[Watch] = []

    def on_crash(name: str, detail: str) -> None:
        text = f"CRASH: {name} ended on its own ({detail}); see logs/{name}.log"
        for watch in watches:
            watch.say(text)

    async with _interruptible(running(options, _say, on_crash), stop) as network:
        watch = Watch(network, state_for(network), stop, keep_on=detached)
        watches.append(watch)
        print(network.directory / "network.json", flush=True)
        if not detached:  # `up --detach` says it itself, once this one is up
            _say(f"==> {endpoints_of(network.descriptor)}")
        for line in network.proven:
            _say(f"==> {line}")
        await _watch(watch)
        watches.clear()
        _say("==> stopping")
    stays = what_stays(options.directory, network.descriptor.backend)
    _say(f"==> everything is stopped and removed; {stays}")
    return Exit.FAILED if watch.violated else Exit.OK


@asynccontextmanager
async def _interruptible(
    context: AbstractAsyncContextManager[Network], stop: asyncio.Event
) -> AsyncIterator[Network]:
    """Enter a context unless `stop` comes first; its clean-up runs in either case."""
    entering = asyncio.get_running_loop().create_task(context.__aenter__())
    stopping = asyncio.get_running_loop().create_task(stop.wait())
    await asyncio.wait({entering, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not entering.done():
        entering.cancel()
        with suppress(asyncio.CancelledError):
            await entering
        raise _Interrupted
    network = entering.result()
    try:
        yield network
    finally:
        await context.__aexit__(None, None, None)


async def _watch(watch: Watch) -> None:
    network = watch.network
    tails = [EventTail(node, network.probe_url(node), watch.record).run() for node in network.nodes]
    console = Console()
    async with serve_control(network.directory, network.backend):
        if not console.is_terminal:
            await until(watch.stop, *tails, watch.look_around())
            return
        with Live(console=console, auto_refresh=False) as live:
            watch.live = live
            await until(watch.stop, *tails, watch.look_around(), watch.draw(_heading(network)))


def _heading(network: Network) -> str:
    descriptor = network.descriptor
    return (
        f"devnet {descriptor.id}  {descriptor.backend}  {network.directory / 'network.json'}\n"
        f"{endpoints_of(descriptor)}\n"
        f"{suggestion(network.directory, Path(DEFAULT_DIR))} (in another terminal)   Ctrl-C stops"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
