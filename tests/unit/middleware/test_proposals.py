"""How long a verdict is waited for."""

import asyncio
from typing import Any

import pytest

from dst.middleware import proposals as module
from dst.middleware.proposals import Proposals
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.judgement import Judgement, Verdict
from dst.spec.primitives import Round


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


def asking(judge: Judge) -> Proposals:
    anything: Any = None
    return Proposals(
        chain=anything,
        store=anything,
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
        assert await asking(judge).validate(b"", round_=Round(1), justified=True, deadline_s=None)


async def test_a_held_proposal_is_kept_while_its_round_has_not_begun() -> None:
    """A slow clock: a full timeout is left, however often it is looked at."""
    loop = asyncio.get_running_loop()
    judge = Judge(*[Verdict.HOLD] * 3, Verdict.VALID)
    valid = await asking(judge).validate(
        b"", round_=Round(0), justified=False, deadline_s=lambda: loop.time() + 0.01
    )
    assert valid


async def test_a_held_proposal_is_given_up_when_its_round_ends() -> None:
    ends = asyncio.get_running_loop().time() + 0.05
    judge = Judge(*[Verdict.HOLD] * 100)
    assert not await asking(judge).validate(
        b"", round_=Round(0), justified=False, deadline_s=lambda: ends
    )
