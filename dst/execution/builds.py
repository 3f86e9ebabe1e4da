"""Blocks in the making, by payload id: started by forkchoiceUpdated, topped up with what arrives,
finished when getPayload asks. One that fails (our fault, or the disk's) is told to whoever waits
and forgotten: its id is unknown from then on, and the same attributes build again.

A build runs in steps on the one thread that executes; between them the thread is free. A block of
another node that comes while one runs stops it: it keeps what it has. What a build found out about
transactions (invalid, too heavy) goes to the pool when it is finished, and what became of our
proposals goes to the allowance.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final, TypeVar

from dst.apis.engine import PayloadAttributes
from dst.execution.block.allowance import Allowance
from dst.execution.block.builder import BlockBuilder, Build, BuilderLimits
from dst.execution.block.executed import ExecutedBlock
from dst.execution.chain import Chain
from dst.execution.header import Header, next_base_fee
from dst.execution.pool.candidates import Candidates
from dst.execution.pool.service import TransactionPool
from dst.execution.state.nodes import EMPTY_ROOT
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.primitives import Hash32
from dst.transactions.transaction import Transaction

MAX_BUILDS: Final = 8
"""Payload ids remembered; a build is asked for once, within its slot."""
MAX_ARRIVALS: Final = 1_024
"""Waiting for the next step of one build, two blocks of transfers; the rest waits in the pool."""
MAX_DELIVERED: Final = 64
"""Proposals of ours whose outcome is awaited."""
HEAVY_PART: Final = 8
"""A block with one transaction of an eighth of the gas limit was one's alone, as far as others can
tell; below that no code of ours needs more than its share."""
SERVING_BLOCKS: Final = 2
"""After a block that may have been a try."""
PAYLOAD_VERSION: Final = b"\x03"
"""First byte of a payload id, as other clients do: the version of its attributes."""

T = TypeVar("T")
log = Logger("builds")


@dataclass(slots=True, kw_only=True, eq=False)
class _Building:
    builder: BlockBuilder
    takes_arrivals: bool
    steps: "asyncio.Task[None]"
    arrivals: list[Transaction] = field(default_factory=list)
    result: "asyncio.Task[Build] | None" = None

    @property
    def has_failed(self) -> bool:
        return any(_is_failed(each) for each in (self.steps, self.result))


class Builds:
    def __init__(
        self,
        chain: Chain,
        pool: TransactionPool,
        worker: Executor,
        limits: BuilderLimits,
        metrics: Metrics,
        allowance: Allowance | None = None,
    ) -> None:
        """Without an allowance every build has the time of `limits`."""
        self._chain, self._pool, self._worker = chain, pool, worker
        self._limits, self._metrics, self._allowance = limits, metrics, allowance
        self._builds: OrderedDict[bytes, _Building] = OrderedDict()
        self._built: OrderedDict[bytes, ExecutedBlock] = OrderedDict()
        self._delivered: OrderedDict[int, dict[Hash32, Build]] = OrderedDict()
        self._newest: _Building | None = None
        pool.on_added.append(self._arrived)
        metrics.function("builder_time_seconds", self._seconds)

    def start(self, parent_hash: Hash32, attributes: PayloadAttributes) -> bytes:
        """Start a build on the head; the same attributes join the one they started."""
        payload_id = _payload_id(parent_hash, attributes)
        known = self._builds.get(payload_id)
        if known is None or known.has_failed:
            self._builds[payload_id] = self._newest = self._start(parent_hash, attributes)
            self._builds.move_to_end(payload_id)
            _bound(self._builds, MAX_BUILDS)
        return payload_id

    async def get(self, payload_id: bytes) -> Build | None:
        """The finished block; None for an unknown id. Waits for what was there when it is called,
        within the time of the build. Raises: what the build failed of, once."""
        building = self._builds.get(payload_id)
        if building is None:
            return None
        building.builder.clock.ask()
        if building.result is None:
            building.result = asyncio.get_running_loop().create_task(self._finish(building))
        try:
            return await asyncio.shield(building.result)
        finally:
            if building.has_failed:
                self._forget(payload_id, building)

    def _forget(self, payload_id: bytes, failed: _Building) -> None:
        """Unless the same attributes build again already."""
        if self._builds.get(payload_id) is failed:
            self._metrics.inc("engine_builds_failed_total")
            del self._builds[payload_id]

    def built(self, block_hash: bytes) -> ExecutedBlock | None:
        """A block made here: nobody needs to execute it again. Any thread."""
        return self._built.get(block_hash)

    def make_way(self) -> None:
        """A block of another node wants the thread: what runs ends with what it has."""
        for each in self._builds.values():
            if not each.steps.done():
                each.builder.clock.stop()

    def note_head(self, added: Iterable[tuple[int, Hash32]]) -> None:
        """Blocks (number, hash) that became canonical: what became of our proposals."""
        for number, block_hash in added:
            ours = self._delivered.pop(number, None)
            if ours is None or self._allowance is None:
                continue
            if block_hash in ours:
                self._allowance.note_decided()
            else:
                self._note_lost(ours.values())

    # --- steps ---

    def _start(self, parent_hash: Hash32, attributes: PayloadAttributes) -> _Building:
        limits = replace(self._limits, builder_time_s=self._seconds())
        builder = BlockBuilder(self._chain, parent_hash, attributes, limits)
        offered = Candidates() if attributes.no_tx_pool else self._candidates()
        steps = asyncio.get_running_loop().create_task(
            self._on_worker(builder.begin, offered.light, offered.heavy)
        )
        return _Building(builder=builder, takes_arrivals=not attributes.no_tx_pool, steps=steps)

    def _candidates(self) -> Candidates:
        """A heavy transaction gets a block to try it in, but while others wait not more than one in
        three, whoever builds them: a period that has no divisor in common with n = 3f+1, so that
        each operator comes to try."""
        head = self._chain.heads.head
        offered = self._pool.candidates(next_base_fee(head), head.gas_limit)
        if offered.heavy is None and len(offered.light) == 1:
            return Candidates(heavy=offered.light[0])  # nobody else needs the time
        if offered.light and self._were_tries_lately(head):
            return Candidates(light=offered.small_first(head.gas_limit // HEAVY_PART))
        return offered

    def _were_tries_lately(self, head: Header) -> bool:
        block: Header | None = head
        block_hash = self._chain.heads.head_hash
        for _ in range(SERVING_BLOCKS):
            if block is None or block.number == 0:
                return False
            if block.transactions_root == EMPTY_ROOT:
                return True
            if block.gas_used * HEAVY_PART >= block.gas_limit and (
                len(self._chain.body(block_hash).transactions) == 1
            ):
                return True
            block_hash = block.parent_hash
            block = self._chain.header(block_hash)
        return False

    def _arrived(self, transaction: Transaction) -> None:
        """The pool took a transaction: top up the newest build, as long as nobody asked for it."""
        building = self._newest
        if building is None or building.result is not None or not building.takes_arrivals:
            return
        if building.has_failed:
            return
        if len(building.arrivals) < MAX_ARRIVALS:
            building.arrivals.append(transaction)
        if building.steps.done():
            building.steps = asyncio.get_running_loop().create_task(self._top_up(building))

    async def _top_up(self, building: _Building) -> None:
        while building.arrivals and not building.builder.clock.is_over:
            arrivals, building.arrivals = building.arrivals, []
            await self._on_worker(building.builder.add, arrivals)

    async def _finish(self, building: _Building) -> Build:
        await building.steps
        await self._top_up(building)
        build = await self._on_worker(building.builder.finish)
        self._built[build.block.hash] = build.block
        _bound(self._built, MAX_BUILDS)
        ours = self._delivered.setdefault(build.block.header.number, {})
        ours[build.block.hash] = build
        _bound(self._delivered, MAX_DELIVERED)
        self._report(build)
        return build

    def _report(self, build: Build) -> None:
        self._metrics.observe("engine_build", build.seconds)
        if build.out_of_time:
            self._metrics.inc("engine_build_out_of_time_total")
        for transaction_hash, error in build.invalid:
            self._pool.drop_invalid(transaction_hash, error)
        undiminished = self._allowance is None or self._allowance.factor == 1
        for slow in build.too_slow:
            proves = slow.alone and undiminished and slow.seconds >= build.whole_seconds
            self._pool.note_heavy(slow.hash, seconds=slow.seconds, alone=slow.alone, proves=proves)

    def _note_lost(self, ours: Iterable[Build]) -> None:
        assert self._allowance is not None
        heaviest = max(ours, key=lambda build: build.cpu_seconds)
        self._allowance.note_lost(heaviest.cpu_seconds)
        self._metrics.inc("engine_proposals_lost_total")
        if heaviest.alone is not None:
            self._pool.note_heavy(heaviest.alone, seconds=heaviest.cpu_seconds, alone=True)

    def _seconds(self) -> float:
        if self._allowance is None:
            return self._limits.builder_time_s
        return self._allowance.seconds

    async def _on_worker(self, run: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, run, *args)


def _is_failed(task: "asyncio.Task[Any] | None") -> bool:
    if task is None or not task.done():
        return False
    return task.cancelled() or task.exception() is not None


def _payload_id(parent_hash: Hash32, attributes: PayloadAttributes) -> bytes:
    digest = sha256(parent_hash + repr(attributes).encode()).digest()
    return PAYLOAD_VERSION + digest[:7]


def _bound(table: "OrderedDict[Any, Any]", limit: int) -> None:
    while len(table) > limit:
        table.popitem(last=False)
