"""Crash points lie where their names say: between what is on disk and what has left."""

from types import SimpleNamespace
from typing import Any

import pytest

from dst.middleware import consensus as consensus_module
from dst.middleware import sealing as sealing_module
from dst.middleware.consensus import Consensus
from dst.middleware.sealing import Sealing
from dst.qbft import effects as qbft_effects
from dst.sealing import effects as sealing_effects
from tests.unit.middleware.test_store import decision, partial, promises


class Steps:
    """A store and links that write down in which order they are used."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def append(self, records: object) -> None:
        self.taken.append("on disk")

    def broadcast(self, message: object) -> None:
        self.taken.append("sent")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    found = Steps()
    for module in (consensus_module, sealing_module):
        monkeypatch.setattr(module, "crash_point", found.taken.append)
    return found


def shell_of(kind: type[Any], steps: Steps) -> Any:
    """As much of it as performing takes."""
    shell = object.__new__(kind)
    shell._store = shell._network = steps
    shell._progress = SimpleNamespace(takes_part=True, is_halted=False)
    return shell


async def test_a_vote_passes_one_before_it_is_on_disk_one_before_it_is_sent_one_after(
    steps: Steps,
) -> None:
    shell, vote = shell_of(Consensus, steps), promises(1)[0]
    no_event: Any = None
    await shell._perform(qbft_effects.Persist(record=vote), no_event)
    await shell._perform(qbft_effects.Broadcast(message=vote.message), no_event)
    assert steps.taken == [
        "vote-before-persist",
        "on disk",
        "vote-after-persist",
        "sent",
        "vote-after-send",
    ]


async def test_a_decision_passes_its_own(steps: Steps) -> None:
    no_event: Any = None
    await shell_of(Consensus, steps)._perform(qbft_effects.Persist(record=decision(1)), no_event)
    assert steps.taken == ["on disk", "decision-after-persist"]


async def test_a_partial_signature_passes_one_before_it_is_sent(steps: Steps) -> None:
    shell, record = shell_of(Sealing, steps), partial(1)
    await shell._perform(sealing_effects.Persist(record=record))
    await shell._perform(sealing_effects.Broadcast(message=record.message))
    assert steps.taken == ["on disk", "partial-after-persist", "sent"]
