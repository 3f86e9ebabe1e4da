from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from devnet.faults import keys
from devnet.faults.base import Sight, Site
from devnet.faults.bent import Bent, waiting
from devnet.faults.rise import note_each, told_by
from devnet.faults.surface import World
from devnet.faults.targets import is_follower
from devnet.model.bend import Bend, Endless, OtherBlock, OtherHeader
from devnet.model.topology import LinkClass, Topology

_HEADER: Final = "GET /eth/v1/beacon/headers/*"
_BLOCK: Final = "GET /eth/v2/beacon/blocks/*"
_LIES: Final = "dst_source_lies_total"


class Answer(StrEnum):
    OTHER_BLOCK = "other-block"
    OTHER_SIGNATURE = "other-signature"
    OTHER_SLOT = "other-slot"
    ENDLESS = "endless"


_BENDS: Final[dict[Answer, Bend]] = {
    Answer.OTHER_BLOCK: Bend(questions=(_BLOCK,), form=OtherBlock()),
    Answer.OTHER_SIGNATURE: Bend(questions=(_HEADER,), form=OtherHeader(what="signature")),
    Answer.OTHER_SLOT: Bend(questions=(_HEADER,), form=OtherHeader(what="slot")),
    Answer.ENDLESS: Bend(questions=(_HEADER, _BLOCK), form=Endless()),
}


@dataclass(frozen=True, kw_only=True)
class Sources(Bent):
    """Operators lie to a follower. It believes the group's signature and nobody, so one honest
    source is enough to stay level; without one it stands still, and keeps nothing that is wrong."""

    name: ClassVar = "sources"
    proof: ClassVar = (
        "the bender counts bent answers on each link, and the follower counts lies (of an `endless`"
        " answer it only knows that the source brings nothing)"
    )

    answer: Answer = keys.choice(
        Answer,
        "`other-block`: that of the slot before; `other-signature` on the head; `other-slot` in the"
        " head's header; `endless`: an answer without end",
    )
    honest: int = keys.integer(0, 9, "sources that are left alone, drawn", default=1)

    def misfit(self, topology: Topology) -> str:
        if not is_follower(self.target, topology):
            return f"target {self.target} is no follower, and has no sources"
        if complaint := super().misfit(topology):
            return complaint
        count = len(topology.operator_names)
        return f"honest: it has {count} sources, and one has to lie" if self.honest >= count else ""

    def bends(self) -> tuple[Bend, ...]:
        return (_BENDS[self.answer],)

    def links_of(self, topology: Topology, node: str) -> tuple[str, ...]:
        follow = (link for link in topology.links if link.kind is LinkClass.FOLLOW)
        return tuple(link.name for link in follow if link.source == node)

    def aim(self, sight: Sight) -> Site:
        site = super().aim(sight)
        liars = sight.rng.sample(site.links, len(site.links) - self.honest)
        return Site(targets=site.targets, links=tuple(sorted(liars)))

    async def inject(self, site: Site, world: World) -> None:
        if self.answer is not Answer.ENDLESS:
            await note_each(site.rise, world, site.targets, _LIES)
        await super().inject(site, world)

    async def unfelt(self, site: Site, world: World) -> str:
        if self.answer is Answer.ENDLESS:
            return ""
        seen = site.rise.look(await told_by(world, site.targets, _LIES))
        deaf = [node for node in site.targets if node not in seen]
        return f"{', '.join(deaf)} has counted no lie" if deaf else ""

    async def felt(self, site: Site, world: World) -> str:
        return await waiting(site, world, "one of its sources")

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return () if self.honest else site.targets

    def told(self, site: Site) -> str:
        return f"{', '.join(site.targets)}: {self.answer} from {len(site.links)}"
