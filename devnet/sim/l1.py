"""L1: what becomes of it at large, and the node of it that an operator asks.

A node has one chain, by number and hash. What a reorg drops it forgets, as anvil does; it may sit
on a minority fork without knowing it, and it may fall silent. It hears late of what happens at
large, each node as late as its operator's `lag`, so that views differ between voters
(tests/unit/sim/test_l1_contract.py holds it to anvil).

A block's hash is (number, branch): a reorg gives the blocks that it replaces another branch.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Final

from dst.l1.rpc import L1Block, L1BlockRef, L1Client
from dst.spec.errors import Unavailable
from dst.spec.primitives import Hash32

CHAIN_ID: Final = 1
BLOCK_US: Final = 1_500_000
"""Time between L1 blocks; short, so that origins move within a run of seconds."""
CONFIRMATIONS: Final = 2
"""Blocks above a usable origin. Less than the devnet's 4, so that reorgs reach used origins."""
MINORITY: Final = 1 << 20
"""Branches from here on are those of a node alone."""
_BRANCH: Final = slice(8, 16)


@dataclass
class L1:
    """At large. reorgs: (time, first replaced number) in order of time."""

    reorgs: list[tuple[int, int]] = field(default_factory=list)


def draw_l1(rng: Random, *, reorg_count: int, until_us: int) -> L1:
    """A chain with `reorg_count` reorgs before `until_us`, each 1 to 5 blocks deep."""
    times = sorted(rng.randrange(1, until_us) for _ in range(reorg_count))
    return L1([(at, max(1, at // BLOCK_US - rng.randrange(5))) for at in times])


def branch_of(block_hash: Hash32) -> int:
    return int.from_bytes(block_hash[_BRANCH])


def _child(parent: L1BlockRef | None, branch: int) -> L1BlockRef:
    number = 0 if parent is None else parent.number + 1
    return L1BlockRef(
        number=number,
        hash=Hash32(number.to_bytes(8) + branch.to_bytes(8) + bytes(16)),
        parent_hash=Hash32(bytes(32)) if parent is None else parent.hash,
        timestamp=number * BLOCK_US // 1_000_000,
    )


class L1Node(L1Client):
    """is_silent: every call fails."""

    def __init__(self) -> None:
        super().__init__("sim://l1")
        self.is_silent = False
        self._at_large = [_child(None, 0)]
        self._replaced: list[int] = []
        self._fork: list[L1BlockRef] | None = None
        self._forks = 0

    # ------------------------------------------------------------------- what happens

    def mine(self, count: int = 1) -> None:
        for _ in range(count):
            number = len(self._at_large)
            branch = sum(first <= number for first in self._replaced)
            self._at_large.append(_child(self._at_large[-1], branch))
            if self._fork is not None:
                self._fork.append(_child(self._fork[-1], MINORITY + self._forks))

    def reorg(self, depth: int) -> None:
        """Replace the newest `depth` blocks by as many others, and forget them."""
        self._replace(len(self._at_large) - depth)

    def _replace(self, first: int) -> None:
        """A minority fork is left where it is."""
        fork, self._fork = self._fork, None
        depth = len(self._at_large) - first
        self._replaced.append(first)
        del self._at_large[first:]
        self.mine(depth)
        self._fork = fork

    def follow(self, l1: L1, moment_us: int) -> None:
        """Hear of all that has happened at large up to a moment, no earlier than the last one."""
        for at, first in l1.reorgs[len(self._replaced) :]:
            if at <= moment_us:
                self._mine_up_to(at)
                self._replace(first)
        self._mine_up_to(moment_us)

    def _mine_up_to(self, moment_us: int) -> None:
        self.mine(max(0, moment_us // BLOCK_US + 1 - len(self._at_large)))

    def leave(self, first: int) -> None:
        """From that number on the node's chain is one that nobody else has."""
        height = len(self._at_large)
        self._forks += 1
        self._fork = self._at_large[: max(1, first)]
        while len(self._fork) < height:
            self._fork.append(_child(self._fork[-1], MINORITY + self._forks))

    def come_back(self) -> None:
        self._fork = None

    def is_at_large(self, number: int, branch: int) -> bool:
        """What the node itself cannot tell: whether L1 has that block, as far as it has heard."""
        known = self._at_large
        return number < len(known) and branch_of(known[number].hash) == branch

    # ---------------------------------------------------------------- what it answers

    async def chain_id(self) -> int:
        self._speak()
        return CHAIN_ID

    async def head(self, tag: str = "latest") -> L1BlockRef | None:
        return self._speak()[-1 if tag == "latest" else 0]

    async def ref_by_number(self, number: int) -> L1BlockRef | None:
        chain = self._speak()
        return chain[number] if number < len(chain) else None

    async def ref_by_hash(self, block_hash: Hash32) -> L1BlockRef | None:
        return next((each for each in self._speak() if each.hash == block_hash), None)

    async def block(self, number: int) -> L1Block | None:
        ref = await self.ref_by_number(number)
        return None if ref is None else L1Block(ref=ref, transactions=())

    def _speak(self) -> list[L1BlockRef]:
        if self.is_silent:
            raise Unavailable("L1 is silent")
        return self._at_large if self._fork is None else self._fork
