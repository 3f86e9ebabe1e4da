"""Follows operators from outside the cluster, by the standard endpoints alone.

Each source has its own loop, so that a dead, slow or lying one stops nobody: it says which block is
its head, the follower verifies the group's signature on it, fetches what lies between by slot, and
hands runs that end in a sealed block to the importer. Nothing unsealed is ever kept by itself.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from dst.apis.beacon import BeaconClient, HeaderView, WireBlock
from dst.derivation.frame import MAX_UNSEALED_RUN
from dst.rollup.chain import Chain, Head
from dst.rollup.halting import Halting
from dst.rollup.importer import Candidate, Importer
from dst.rollup.trust import VerifySeal
from dst.rollup.wrapping import decode_bounded
from dst.runtime.backoff import Backoff
from dst.runtime.log import Logger, Ration
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.errors import DstError, InvalidInput, StoreDamaged
from dst.spec.primitives import BLSSignature, Root, Slot

FETCH_WINDOW: Final = 16
"""Slots asked for at once: catch-up at some thousand blocks a second without holding more than 16
blocks (8 MiB) beyond the run in hand."""
MAX_WALK_BACK: Final = 256
"""Blocks followed down a conflicting branch to find where it leaves ours."""
DISTRUST_SECONDS: Final = 5.0
"""A source that served something wrong is left alone this long."""
LOOKS_AT_ONCE: Final = 4
LOOK_EVERY_S: Final = 0.1
"""Looks at one source: so many with nothing between, after that one in this time. The head event
and the poll of a slot (1 s at least) are followed at once even when they come together; a source
that floods us with events buys no more looks."""


class Lying(InvalidInput):
    """The source served what no honest node would: skip it for a while."""


class Follower:
    """One loop per source, one importer for all."""

    def __init__(
        self,
        *,
        sources: Sequence[BeaconClient],
        importer: Importer,
        chain: Chain,
        verify_seal: VerifySeal,
        halting: Halting,
        poll_seconds: float,
        log: Logger,
        metrics: Metrics,
    ) -> None:
        """poll_seconds: how often a source is asked although its event stream is silent."""
        self._sources, self._importer, self._chain = sources, importer, chain
        self._verify_seal, self._halting = verify_seal, halting
        self._poll_seconds, self._log, self._metrics = poll_seconds, log, metrics
        self._failing: dict[str, str] = {}
        """Source -> why it brought nothing when it was looked at last."""

    def waits_for(self) -> str | None:
        """For a person; None while any source brings what it has."""
        if not self._sources or len(self._failing) < len(self._sources):
            return None
        reasons = ", ".join(f"{url} ({why})" for url, why in self._failing.items())
        return f"one of its sources: {reasons}"

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                news = asyncio.Event()
                group.create_task(self._listen(source, news))
                group.create_task(self._follow(source, news))

    async def _listen(self, source: BeaconClient, news: asyncio.Event) -> None:
        """Head events make the loop look at once; while there are none, it polls."""
        backoff = Backoff()
        while True:
            try:
                async for _ in source.events(frozenset({"head"})):
                    backoff.reset()
                    news.set()
            except DstError:
                pass  # `_follow` tells what is wrong with it
            await asyncio.sleep(backoff.next_delay())

    async def _follow(self, source: BeaconClient, news: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        backoff, ration, is_told = Backoff(), Ration(loop.time), False
        may_look_at = loop.time() - LOOKS_AT_ONCE * LOOK_EVERY_S
        while True:
            await asyncio.sleep(may_look_at - loop.time())
            saved_up = loop.time() - (LOOKS_AT_ONCE - 1) * LOOK_EVERY_S
            may_look_at = max(may_look_at, saved_up) + LOOK_EVERY_S
            news.clear()
            try:
                await self.catch_up(source)
            except Lying as error:
                self._metrics.inc("source_lies_total", source=source.url)
                if ration.may_say():
                    self._log.warning("source_refused", source=source.url, reason=str(error))
                self._failing[source.url] = str(error)
                await asyncio.sleep(DISTRUST_SECONDS)
                continue
            except StoreDamaged:
                raise
            except DstError as error:
                if not is_told and ration.may_say():
                    self._log.warning("source_failing", source=source.url, error=str(error))
                    is_told = True
                self._failing[source.url] = str(error)
                await asyncio.sleep(backoff.next_delay())
                continue
            if is_told:
                self._log.info("source_back", source=source.url)
                is_told = False
            self._failing.pop(source.url, None)
            backoff.reset()
            await self._wait(news)

    async def _wait(self, news: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await news.wait()
        except TimeoutError:
            pass

    # --- one look at one source ---

    async def catch_up(self, source: BeaconClient) -> None:
        """Import what this source has sealed beyond our head.

        Raises: Lying; Unavailable; InvalidInput when its blocks break a rule or conflict with ours.
        """
        self._halting.require_moving()
        view = await source.header("head")
        if view is None or view.header.slot == 0:
            return
        self._check_head(view)
        known = self._chain.store.by_root(view.root)
        if known is not None:
            if known.signature is None:
                self._chain.seal(known, view.signature)
            return
        if view.header.slot <= self._chain.head.block.slot:
            await self._expose(source, view)
        await self._fetch_runs(source, view)

    def _check_head(self, view: HeaderView) -> None:
        root = ssz.hash_tree_root(view.header)
        if root != view.root:
            raise Lying("its head header does not have the root it names")
        if not self._verify_seal(root, view.signature):
            raise Lying("the group key did not sign its head")

    async def _fetch_runs(self, source: BeaconClient, view: HeaderView) -> None:
        base = self._chain.head
        run = _Run(base, self._verify_seal)
        slot = base.block.slot + 1
        while slot <= view.header.slot:
            last = min(slot + FETCH_WINDOW - 1, view.header.slot)
            for at, wire in await _fetch(source, Slot(slot), Slot(last)):
                try:
                    run.add(at, wire)
                except _Forked:
                    if self._chain.head.root == base.root:
                        await self._expose(source, view)
                    return  # another source was faster; look again
                # One source's blocks are hashed between those of others, not before them.
                await asyncio.sleep(0)
                if run.is_sealed:
                    await self._importer.import_run(run.take(), source.url)
            slot = last + 1
        if run.length:
            raise Lying(f"it has no sealed block in slot {view.header.slot}, where its head is")

    async def _expose(self, source: BeaconClient, view: HeaderView) -> None:
        """The source's sealed head was not on our chain: find where its branch leaves ours.

        Our chain grows meanwhile, by other sources: what it holds by now is no branch.
        Raises: InvalidInput with evidence written; Lying when it hides what it has.
        """
        branch: list[Candidate] = []
        wanted, signature = view.root, view.signature
        while self._chain.store.by_root(wanted) is None:
            if len(branch) == MAX_WALK_BACK:
                raise Lying(f"its head does not meet our chain within {MAX_WALK_BACK} blocks")
            candidate = await self._fetch_root(source, wanted, signature if not branch else None)
            branch.insert(0, candidate)
            wanted = candidate.block.parent_root
        while branch and self._chain.store.by_root(branch[0].root) is not None:
            del branch[0]
        if not branch:
            return
        height = branch[0].height
        if height > self._chain.head.height:
            raise Lying("its blocks by slot are not the ancestors of its head")
        self._importer.report_double(height, branch, source.url)
        raise InvalidInput(f"its branch leaves our chain at height {height}")

    async def _fetch_root(
        self, source: BeaconClient, root: Root, signature: BLSSignature | None
    ) -> Candidate:
        wire = await source.block(root)
        if wire is None:
            raise Lying("it does not have an ancestor of its own head")
        try:
            block = decode_bounded(wire.message)
        except InvalidInput as error:
            raise Lying(f"0x{root.hex()}: {error}") from error
        if ssz.hash_tree_root(block) != root:
            raise Lying("it serves another block for a root")
        return Candidate(block=block, root=root, message=wire.message, signature=signature)


class _Forked(Exception):
    """A block does not extend the run."""


class _Run:
    """Blocks gathered on a base until one of them is sealed. Raises Lying on what no honest node
    serves."""

    def __init__(self, base: Head, verify_seal: VerifySeal) -> None:
        self._tip, self._verify_seal = base.root, verify_seal
        self._blocks: list[Candidate] = []

    @property
    def length(self) -> int:
        return len(self._blocks)

    @property
    def is_sealed(self) -> bool:
        return bool(self._blocks) and self._blocks[-1].signature is not None

    def add(self, slot: Slot, wire: WireBlock) -> None:
        try:
            block = decode_bounded(wire.message)
        except InvalidInput as error:
            raise Lying(f"slot {slot}: {error}") from error
        if block.slot != slot:
            raise Lying(f"it serves a block of slot {block.slot} for slot {slot}")
        if block.parent_root != self._tip:
            raise _Forked
        if not wire.is_sealed and len(self._blocks) == MAX_UNSEALED_RUN:
            raise Lying(f"more than {MAX_UNSEALED_RUN} blocks up to slot {slot} without a seal")
        # Last, because it is what costs: tens of milliseconds for a full block.
        root = ssz.hash_tree_root(block)
        if wire.is_sealed and not self._verify_seal(root, wire.signature):
            raise Lying(f"slot {slot}: the group key did not sign this block")
        signature = wire.signature if wire.is_sealed else None
        self._blocks.append(
            Candidate(block=block, root=root, message=wire.message, signature=signature)
        )
        self._tip = root

    def take(self) -> list[Candidate]:
        taken, self._blocks = self._blocks, []
        return taken


async def _fetch(source: BeaconClient, first: Slot, last: Slot) -> list[tuple[Slot, WireBlock]]:
    """The blocks of a bounded range of slots, in order; slots without a block are left out."""
    async with asyncio.TaskGroup() as group:
        slots = [Slot(slot) for slot in range(first, last + 1)]
        tasks = [group.create_task(_settled(source, slot)) for slot in slots]
    found: list[tuple[Slot, WireBlock]] = []
    for slot, task in zip(slots, tasks, strict=True):
        outcome = task.result()
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None:
            found.append((slot, outcome))
    return found


async def _settled(source: BeaconClient, slot: Slot) -> WireBlock | Exception | None:
    try:
        return await source.block(slot)
    except DstError as error:
        return error
