"""The importer against a rollup node that loses things."""

import asyncio

import pytest

from dst.apis.beacon import WireBlock
from dst.apis.dst_v1 import DecidedBlock, OutOfOrder, Status
from dst.middleware import importer
from dst.middleware.importer import SEAL_WINDOW, Importer
from dst.middleware.outcomes import NoResetSeen, Outcome, ResetSeen
from dst.qbft.messages import Certificate
from dst.spec.errors import ResetRequired, Unavailable
from dst.spec.primitives import BLSSignature, Height, Root, Round, Term


def decided_block(height: int) -> DecidedBlock:
    certificate = Certificate(
        term=Term(0), height=Height(height), round=Round(0), root=Root(bytes(32)), commits=()
    )
    return DecidedBlock(certificate=certificate, block=height.to_bytes(8, "little"))


class Chain:
    """Our side: heights 1..head decided, some sealed."""

    def __init__(self, head: int, sealed: set[int]) -> None:
        self.head, self.sealed = head, sealed

    def decided_height(self) -> Height:
        return Height(self.head)

    def decided(self, height: Height) -> DecidedBlock | None:
        return decided_block(height) if height <= self.head else None

    def group_signature(self, height: Height) -> BLSSignature | None:
        return BLSSignature(bytes(96)) if height in self.sealed else None


class Node:
    """A rollup node in memory; `down` makes it unavailable, `halted` answers an L1 reset."""

    def __init__(self, head: int = 0) -> None:
        self.head = head
        self.sealed: list[int] = []
        self.down = self.halted = False
        self.says_ready: list[bool] = []
        """One after the other; then nothing more of it."""
        self.refusals = 0

    def _gate(self) -> None:
        if self.down:
            self.refusals += 1
            raise Unavailable("down")
        if self.halted:
            raise ResetRequired(3, "test")

    async def status(self) -> Status:
        self._gate()
        return Status(
            ready=self.says_ready.pop(0) if self.says_ready else None,
            decided_height=self.head,
            decided_slot=0,
            decided_root="0x",
            sealed_height=max(self.sealed, default=0),
            lowest_unsealed_height=next(
                height for height in range(1, self.head + 2) if height not in self.sealed
            ),
            unsafe=0,
            safe=0,
            finalized=0,
            l1_head=None,
        )

    async def decided(self, decided: DecidedBlock) -> Height:
        self._gate()
        if decided.certificate.height != self.head + 1:
            raise OutOfOrder(Height(self.head))
        self.head += 1
        return Height(self.head)

    async def publish_block(self, block: WireBlock) -> None:
        self._gate()
        height = int.from_bytes(block.message[:8], "little")
        if height not in self.sealed:
            self.sealed.append(height)


class Bench:
    def __init__(self, chain: Chain, node: Node) -> None:
        self.chain, self.node = chain, node
        self.outcomes: list[Outcome] = []
        self.importer = Importer(chain, node, node, self)

    def put(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    async def until(self, **wanted: object) -> None:
        """Run the importer until the node has the wanted head and seals."""
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            task = group.create_task(self.importer.run())
            while not all(getattr(self, name)() == value for name, value in wanted.items()):
                await asyncio.sleep(0)
            task.cancel()

    def head(self) -> int:
        return self.node.head

    def ready(self) -> bool:
        return self.importer.is_ready

    def sealed(self) -> list[int]:
        return sorted(self.node.sealed)


async def test_sends_decided_blocks_in_order_and_signatures_as_they_come() -> None:
    bench = Bench(Chain(5, {1, 2, 4}), Node())
    await bench.until(head=5, sealed=[1, 2, 4])


async def test_a_late_signature_below_the_sealed_head_is_published() -> None:
    bench = Bench(Chain(5, {1, 2, 4, 5}), Node())
    await bench.until(head=5, sealed=[1, 2, 4, 5])
    bench.chain.sealed.add(3)
    await bench.until(sealed=[1, 2, 3, 4, 5])


async def test_refills_a_node_that_lost_its_head() -> None:
    size = 2 * SEAL_WINDOW
    bench = Bench(Chain(size, set(range(1, size + 1))), Node())
    await bench.until(head=size, sealed=list(range(1, size + 1)))
    bench.node.head, bench.node.sealed = 0, []
    await bench.until(head=size, sealed=list(range(1, size + 1)))


async def test_after_a_restart_old_seals_are_delivered_to_a_node_that_lacks_them() -> None:
    """Seals arrive newest first: 300 and some more were delivered, then this middleware died."""
    chain, node = Chain(300, {300}), Node(head=300)
    node.sealed = [300]
    bench = Bench(chain, node)
    await bench.until(head=300, sealed=[300])
    chain.sealed = set(range(1, 301))
    again = Bench(chain, node)
    await again.until(sealed=list(range(1, 301)))
    assert node.sealed[1] > 300 - SEAL_WINDOW, "the newest go first"


async def test_only_what_is_missing_is_looked_at_after_a_restart() -> None:
    chain, node = Chain(300, set(range(1, 301))), Node(head=300)
    node.sealed = [*range(1, 299), 300]
    await Bench(chain, node).until(sealed=list(range(1, 301)))
    assert node.sealed[298:] == [300, 299]


async def test_goes_on_from_where_the_node_stands() -> None:
    bench = Bench(Chain(9, {9}), Node(head=7))
    await bench.until(head=9, sealed=[9])


async def test_waits_for_a_node_that_is_down() -> None:
    bench = Bench(Chain(2, set()), Node())
    bench.node.down = True

    async def recover() -> None:
        while bench.node.refusals < 3:
            await asyncio.sleep(0)
        bench.node.down = False

    async with asyncio.TaskGroup() as group:
        group.create_task(recover())
        await bench.until(head=2)


async def test_reports_an_l1_reset() -> None:
    bench = Bench(Chain(2, set()), Node())
    bench.node.halted = True
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(bench.importer.run())
        while not bench.outcomes:
            await asyncio.sleep(0)
        task.cancel()
    (seen,) = bench.outcomes
    assert isinstance(seen, ResetSeen)
    assert seen.error.first_affected_height == 3
    assert bench.node.head == 0


async def test_looks_again_at_a_node_that_was_halted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "REFUSED_DELAY_S", 0.0)
    bench = Bench(Chain(2, set()), Node())
    bench.node.halted = True
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(bench.importer.run())
        while not bench.outcomes:
            await asyncio.sleep(0)
        bench.node.halted = False
        while bench.node.head < 2:
            await asyncio.sleep(0)
        task.cancel()
    assert bench.outcomes[-1] == NoResetSeen()


@pytest.mark.parametrize("ahead", [1, 5])
async def test_a_node_ahead_of_us_is_left_alone(ahead: int) -> None:
    bench = Bench(Chain(3, set()), Node(head=3 + ahead))
    await bench.until(head=3 + ahead)
    assert bench.node.head == 3 + ahead


async def test_a_swallowed_call_is_repeated_soon_after_the_link_healed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importer, "TRY_S", 0.05)
    bench = Bench(Chain(2, {2}), Node())
    answer, swallowed = bench.node.decided, [1]

    async def swallowing(decided: DecidedBlock) -> Height:
        if swallowed:
            swallowed.pop()
            await asyncio.Event().wait()
        return await answer(decided)

    bench.node.decided = swallowing  # type: ignore[method-assign]
    await bench.until(head=2, sealed=[2])
    assert importer.TRY_S < 2 * importer.CHECK_EVERY_S


async def test_the_node_is_ready_when_it_says_so_and_is_asked_often_until_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importer, "CHECK_UNREADY_S", 0.0)
    bench = Bench(Chain(0, set()), Node())
    assert not bench.ready(), "before it has answered"
    bench.node.says_ready = [False] * 5
    await bench.until(ready=True)
    assert bench.node.says_ready == []


async def test_a_node_that_does_not_tell_whether_it_is_ready_is_believed_to_be() -> None:
    bench = Bench(Chain(0, set()), Node())
    await bench.until(ready=True)
