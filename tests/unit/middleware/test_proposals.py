"""How long a verdict is waited for, and when a block is asked for."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from dst.middleware import proposals as module
from dst.middleware.proposals import Proposals
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.judgement import Judgement, Verdict
from dst.spec.primitives import Height, Round


class Judge:
    """Answers one thing after another; None: the question is swallowed."""

    def __init__(self, *answers: Verdict | None) -> None:
        self.answers = list(answers)

    async def validate(self, block: bytes, **question: Any) -> Judgement:
        answer = self.answers.pop(0)
        if answer is None:
            await asyncio.Event().wait()
            raise AssertionError
        return Judgement(answer)


class AtGenesis:
    def head_entry(self) -> None:
        return None


def asking(judge: Judge, store: Any = AtGenesis()) -> Proposals:  # noqa: B008
    anything: Any = None
    return Proposals(
        chain=anything,
        store=store,
        builder=anything,
        validator=judge,
        unsealed=lambda: 0,
        imported=lambda: None,
        log=Logger("test"),
        metrics=Metrics(),
        now=lambda: 0.0,
    )


async def test_a_swallowed_question_about_a_justified_proposal_is_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "JUSTIFIED_TRY_S", 0.05)
    judge = Judge(None, Verdict.VALID)
    async with asyncio.timeout(10):
        assert await asking(judge).validate(
            b"", height=Height(1), round_=Round(1), justified=True, deadline_s=None
        )


async def test_a_held_proposal_is_kept_while_its_round_has_not_begun() -> None:
    """A slow clock: a full timeout is left, however often it is looked at."""
    loop = asyncio.get_running_loop()
    judge = Judge(*[Verdict.HOLD] * 3, Verdict.VALID)
    valid = await asking(judge).validate(
        b"",
        height=Height(1),
        round_=Round(0),
        justified=False,
        deadline_s=lambda: loop.time() + 0.01,
    )
    assert valid


async def test_a_held_proposal_is_given_up_when_its_round_ends() -> None:
    ends = asyncio.get_running_loop().time() + 0.05
    judge = Judge(*[Verdict.HOLD] * 100)
    assert not await asking(judge).validate(
        b"", height=Height(1), round_=Round(0), justified=False, deadline_s=lambda: ends
    )


@pytest.mark.parametrize(
    ("parent", "slot", "asked"),
    [(b"p" * 32, 8, True), (b"q" * 32, 8, False), (b"p" * 32, 7, False)],
)
@pytest.mark.parametrize("justified", [False, True])
async def test_only_a_block_on_the_decided_one_below_is_asked_about(
    parent: bytes, slot: int, asked: bool, justified: bool
) -> None:
    """The rollup node may not have imported that one yet, and stand where its siblings fit."""
    judge, entry = Judge(Verdict.VALID), SimpleNamespace(root=b"p" * 32, slot=7)
    store = SimpleNamespace(head_entry=lambda: entry)
    block = slot.to_bytes(8, "little") + bytes(8) + parent
    valid = await asking(judge, store).validate(
        block, height=Height(4), round_=Round(0), justified=justified, deadline_s=None
    )
    assert valid is asked
    assert len(judge.answers) == (not asked)


async def test_no_block_is_asked_for_on_a_parent_that_is_not_the_decided_one() -> None:
    """A rollup node that is still importing it would fill a block on the one below: thrown away,
    and the import waits as long as the building takes."""
    imported, asked_at, parent = [Height(2)], [], b"p" * 32
    block = (8).to_bytes(8, "little") + bytes(8) + parent

    async def produce_block(_: Any) -> bytes:
        asked_at.append(imported[0])
        return block

    entry = SimpleNamespace(root=parent, slot=7)
    proposals = Proposals(
        chain=SimpleNamespace(genesis_time=0, seconds_per_slot=1),  # type: ignore[arg-type]
        store=SimpleNamespace(head_entry=lambda: entry),
        builder=SimpleNamespace(produce_block=produce_block),
        validator=Judge(),
        unsealed=lambda: 0,
        imported=lambda: imported[0],
        log=Logger("test"),
        metrics=Metrics(),
        now=lambda: 8.0,
    )
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        building = group.create_task(proposals.build(Height(4)))
        await asyncio.sleep(0)
        imported[0] = Height(3)
    assert (building.result(), asked_at) == (block, [Height(3)])
