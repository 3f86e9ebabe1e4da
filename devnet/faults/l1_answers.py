from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from devnet.faults import keys
from devnet.faults.base import Site
from devnet.faults.bent import Bent, lacking, present, waiting
from devnet.faults.surface import World
from devnet.faults.targets import is_follower
from devnet.model.bend import (
    Bend,
    Form,
    OldHead,
    OtherBlock,
    OtherFork,
    Silence,
    Status,
    Torn,
)
from devnet.model.topology import Topology


class Answer(StrEnum):
    HTTP_503 = "http-503"
    NOTHING = "nothing"
    HALF = "half"
    SHORT = "short"
    OLD_HEAD = "old-head"
    OTHER_BLOCK = "other-block"
    OTHER_FORK = "other-fork"


_FORMS: Final[Mapping[Answer, Form]] = {
    Answer.HTTP_503: Status(code=503),
    Answer.NOTHING: Silence(),
    Answer.HALF: Torn(where="half"),
    Answer.SHORT: Torn(where="length"),
    Answer.OLD_HEAD: OldHead(),
    Answer.OTHER_BLOCK: OtherBlock(),
}
_BLOCKS: Final = ("eth_getBlockBy*",)
_BEHIND: Final = 2
"""Blocks of L1 that a head may be behind the newest for a moment: a poll takes 0.3 s."""


@dataclass(frozen=True, kw_only=True)
class L1Answers(Bent):
    """An operator's L1 is out of order, or lies, to that operator alone. Without an L1 that goes on
    it votes for no newer origins, and follows what the others decide; once those are newer than all
    it has seen, it cannot lead either, and each of its turns costs a round. One whose L1 is on
    another fork sees the origins of signed blocks gone, halts (which is right), and comes back by
    itself when its L1 does. Where all stop at the same head, blocks go on upon its origins."""

    name: ClassVar = "l1-answers"
    proof: ClassVar = (
        "the bender counts bent answers, and the target says that it waits for L1, stays at an"
        " older head of L1 (`old-head`, `other-block`), or halts (`other-fork`)"
    )

    answer: Answer = keys.choice(
        Answer,
        "`http-503`; `nothing`; `half` of a body, then the end; `short`: half of a body, and"
        " Content-Length says it is all; `old-head`: L1 stands still; `other-block`: the block"
        " below the one asked for; `other-fork`: blocks have other hashes",
    )
    depth: int = keys.integer(
        1,
        64,
        "`other-fork`: blocks below the head that it differs from; more than `l1_confirmations`"
        " (4), or no origin is among them",
        default=8,
    )

    def misfit(self, topology: Topology) -> str:
        if is_follower(self.target, topology):
            return "a follower goes on without L1: aim at operators"
        return super().misfit(topology)

    def bends(self) -> tuple[Bend, ...]:
        if self.answer is Answer.OTHER_FORK:
            return (Bend(questions=_BLOCKS, form=OtherFork(depth=self.depth)),)
        questions = _BLOCKS if self.answer is Answer.OTHER_BLOCK else ("*",)
        return (Bend(questions=questions, form=_FORMS[self.answer]),)

    def links_of(self, topology: Topology, node: str) -> tuple[str, ...]:
        return present(topology, f"{node}>l1.rpc")

    async def unfelt(self, site: Site, world: World) -> str:
        match self.answer:
            case Answer.OLD_HEAD | Answer.OTHER_BLOCK:
                needed = 1 if self.answer is Answer.OTHER_BLOCK else _BEHIND
                return await _not_behind(site, world, needed)
            case Answer.OTHER_FORK:
                return await lacking(site, world, "origins of our blocks")
        return await lacking(site, world, "L1: ")

    async def felt(self, site: Site, world: World) -> str:
        waits = await waiting(site, world, "L1")
        return waits or await _behind(site, world, _BEHIND)

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return site.targets if self.answer is Answer.OTHER_FORK else ()

    def told(self, site: Site) -> str:
        return f"{', '.join(site.targets)}: {self.answer}"


async def _lags(site: Site, world: World) -> dict[str, float | None]:
    """Blocks that each target's view is behind L1; None: it does not tell."""
    head = await world.l1.head()
    seen = {node: await world.telling.metric(node, "dst_l1_head") for node in site.targets}
    return {node: None if number is None else head - number for node, number in seen.items()}


async def _not_behind(site: Site, world: World, blocks: int) -> str:
    """None is behind that says nothing: no proof."""
    lags = await _lags(site, world)
    level = [node for node, lag in lags.items() if lag is None or lag < blocks]
    return f"{', '.join(level)} is not behind L1" if level else ""


async def _behind(site: Site, world: World, blocks: int) -> str:
    """None is level that says nothing."""
    lags = await _lags(site, world)
    late = [f"{node} by {lag:g}" for node, lag in lags.items() if lag is not None and lag > blocks]
    silent = [node for node, lag in lags.items() if lag is None]
    told = [f"behind L1: {', '.join(late)}"] if late else []
    told += [f"no answer from {', '.join(silent)}"] if silent else []
    return "; ".join(told)
