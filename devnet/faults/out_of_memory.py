from dataclasses import dataclass
from typing import ClassVar

from devnet.faults.base import Site
from devnet.faults.stopped import Stopped
from devnet.faults.surface import World
from devnet.model.means import Means


@dataclass(frozen=True, kw_only=True)
class OutOfMemory(Stopped):
    """The programs get a limit of memory a little above what they use, something beside each takes
    what is left, and the kernel ends the program: no warning, and nothing is flushed. An end that
    is asked for is no crash. Taken back by starting them again, without a limit. On processes where
    the kernel has control groups that we may write, which mostly takes root; there the program is
    named to the kernel as the first to end."""

    name: ClassVar = "out-of-memory"
    needs: ClassVar = frozenset({Means.MEMORY_LIMIT})
    weight: ClassVar = 0
    """Not every machine can, and a schedule is one for all."""
    proof: ClassVar = (
        "the kernel counts that it ended each program for want of memory (on docker `OOMKilled`),"
        " and none of them answers"
    )

    async def inject(self, site: Site, world: World) -> None:
        await world.programs.use_up_memory(site.programs)

    async def missing(self, site: Site, world: World) -> str:
        otherwise = await world.programs.not_out_of_memory(site.programs)
        return otherwise or await super().missing(site, world)

    async def take_back(self, site: Site, world: World) -> None:
        await world.programs.start(site.programs)
