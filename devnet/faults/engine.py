from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

from devnet.faults import keys
from devnet.faults.base import Site
from devnet.faults.bent import Bent, present, waiting
from devnet.faults.rise import told_by
from devnet.faults.surface import World
from devnet.model.bend import Bend, Patched, Result, Silence, Status
from devnet.model.topology import Topology

_NEW_PAYLOAD: Final = "engine_newPayload*"
_FORKCHOICE: Final = "engine_forkchoiceUpdated*"
_GET_PAYLOAD: Final = "engine_getPayloadV*"
_REFUSED: Final = "dst_proposals_refused_total"
_OTHER_STATE_ROOT: Final = f"0x{'5a' * 32}"


class Answer(StrEnum):
    SYNCING = "syncing"
    INVALID = "invalid"
    HTTP_500 = "http-500"
    NOTHING = "nothing"
    OTHER_STATE = "other-state"
    OTHER_BUILD = "other-build"


def _status(kind: str, error: str | None = None) -> dict[str, Any]:
    return {"status": kind, "latestValidHash": None, "validationError": error}


_SYNCING: Final = _status("SYNCING")
_OTHER_BUILD: Final = Bend(
    questions=(_GET_PAYLOAD,),
    form=Patched(path=("executionPayload", "stateRoot"), value=_OTHER_STATE_ROOT),
)
_BENDS: Final[dict[Answer, tuple[Bend, ...]]] = {
    Answer.SYNCING: (
        Bend(questions=(_NEW_PAYLOAD,), form=Result(result=_SYNCING)),
        Bend(
            questions=(_FORKCHOICE,),
            form=Result(result={"payloadStatus": _SYNCING, "payloadId": None}),
        ),
    ),
    Answer.INVALID: (
        Bend(questions=(_NEW_PAYLOAD,), form=Result(result=_status("INVALID", "bent"))),
    ),
    Answer.HTTP_500: (Bend(questions=("*",), form=Status(code=500)),),
    Answer.NOTHING: (Bend(questions=("*",), form=Silence()),),
    Answer.OTHER_STATE: (
        Bend(questions=(_NEW_PAYLOAD,), form=Result(result=_status("INVALID", "state root"))),
        _OTHER_BUILD,
    ),
    Answer.OTHER_BUILD: (_OTHER_BUILD,),
}


@dataclass(frozen=True, kw_only=True)
class Engine(Bent):
    """The execution layer answers its rollup node wrongly, or not at all. Who cannot execute does
    not vote: the target stands still, as after a kill, and has to catch up afterwards; the others
    go on while they are a quorum. With `other-build` it votes on as before, but the others must
    refuse each block that it leads with."""

    name: ClassVar = "engine"
    proof: ClassVar = (
        "the bender counts bent answers, and the target's decided head stays behind the others'"
        " (`other-build`: an operator refuses a proposal)"
    )

    answer: Answer = keys.choice(
        Answer,
        "`syncing` and `invalid` as the Engine API spells them; `http-500` and `nothing` to every"
        " question; `other-state`: every block is INVALID, and one that it builds has another state"
        " root; `other-build`: the latter alone",
    )

    def bends(self) -> tuple[Bend, ...]:
        return _BENDS[self.answer]

    def links_of(self, topology: Topology, node: str) -> tuple[str, ...]:
        return present(topology, f"{node}.rollup>{node}.engine")

    async def inject(self, site: Site, world: World) -> None:
        if self.answer is Answer.OTHER_BUILD:  # one that refuses will do: who is silent may be
            site.rise.note(await told_by(world, world.topology.operator_names, _REFUSED))
        await super().inject(site, world)

    async def unfelt(self, site: Site, world: World) -> str:
        if self.answer is Answer.OTHER_BUILD:
            counts = await told_by(world, world.topology.operator_names, _REFUSED)
            return "" if site.rise.look(counts) else "no proposal was refused"
        return await self._not_behind(site, world)

    async def _not_behind(self, site: Site, world: World) -> str:
        """Where nobody else is, there is nothing to stay behind."""
        others = [node for node in world.topology.operator_names if node not in site.targets]
        heads = {node: await _decided(world, node) for node in (*site.targets, *others)}
        newest = max((heads[node] for node in others), default=None)
        if newest is None:
            return ""
        level = [node for node in site.targets if heads[node] >= newest]
        return f"{', '.join(level)} is not behind the others" if level else ""

    async def felt(self, site: Site, world: World) -> str:
        return await waiting(site, world, "its execution layer")

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return () if self.answer is Answer.OTHER_BUILD else site.targets

    def told(self, site: Site) -> str:
        return f"{', '.join(site.targets)}: {self.answer}"


async def _decided(world: World, node: str) -> float:
    """-1: it does not say."""
    told = await world.telling.metric(node, "dst_decided_height")
    return -1.0 if told is None else told
