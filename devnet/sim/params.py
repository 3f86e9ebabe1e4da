"""What a seed draws: swarm testing, so that each run has some kinds of trouble and not others.

Uniform "a bit of everything" finds less: a fault that hides another is then always there.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final

from dst.spec.primitives import faults_tolerated

SLOT_US: Final = 1_000_000
ROUND_TIMEOUT_MS: Final = 500
ROUND_TIMEOUT_CAP_MS: Final = 4000


class Behaviour(StrEnum):
    """Byzantine operators of a chaos run."""

    SILENT = "silent"
    """Never speaks, before and after the heal."""
    TWIN = "twin"
    """Two instances with one key: it equivocates with correct code."""
    BAD_PARTIAL = "bad_partial"
    SELECTIVE = "selective"
    WITHHOLDING = "withholding"
    FALSE_ANSWERS = "false_answers"
    HOARDER = "hoarder"
    FUZZER = "fuzzer"
    """These are described in `liars`."""
    ROLLED_BACK = "rolled_back"
    """Honest code, whose disk comes back after a crash as it was some time before."""
    CLOSER = "closer"
    """Described in `liars`."""
    FLOODER = "flooder"
    """Described in `liars`; never drawn, as he costs as much as twenty others."""
    REPEATER = "repeater"
    """Described in `liars`; never drawn, as his lie needs a rollup node that is slow."""
    PASSER = "passer"
    """Described in `strategies`; never drawn, so that seeds stay what they are."""


_NEVER_DRAWN: Final = (Behaviour.FLOODER, Behaviour.REPEATER, Behaviour.PASSER)
DRAWN: Final = tuple(each for each in Behaviour if each not in _NEVER_DRAWN)


class Loss(StrEnum):
    """What an operator does about a disk that is gone."""

    REJOIN = "rejoin"
    NEW = "new"
    """He should have said rejoin."""


class CutMode(StrEnum):
    HOLD = "hold"
    """What was sent arrives late, all at once."""
    DROP = "drop"
    """What was sent is gone; the connection comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Times in microseconds, `*_rate` as probabilities. The defaults are the benign values.

    chaos_us: length of the troubled part; everything is healed then.
    latency_us: (least, most) one-way delay, drawn per message. ordered: links keep their order.
    loss_rate, duplicate_rate: per message. crash_rate: per batch of effects. freeze_rate: per
    input.
    cut_every_us: mean time between partitions (0: none); cut_for_us: their greatest length.
    crash_every_us: mean time between crashes outside the loop (0: none).
    down_us: greatest time a crashed operator stays down.
    full_every_us, full_for_us: mean time between full disks, and their greatest length.
    clock_steps_us: mean time between steps of somebody's clock, within skew_us.
    rollup_loss_us: mean time between losses of a rollup node's newest blocks.
    l1_fork_us: mean time between spells of somebody's own L1 node on a minority fork.
    slow_links: share of the directed links that take slow_us more.
    loss: one honest operator loses its disk (the fault budget counts it).
    flap_every_us: mean time between connections that end and are dialled anew (0: none).
    watches: operators are told who is lost; without it timers alone change rounds.
    phases: whole phases of a round are lost to some (`phases`).
    drift_ppm: by how many millionths the clocks of an operator run too fast, also after the heal.
    genesis: the cluster starts for the first time: stores are new, and operators begin together.
    late_us: how much later than the others an operator starts.
    l1_silence_us: mean time between spells in which somebody's L1 node does not answer.
    drain_every_us: mean time between words to somebody to leave, or to stay after all; never drawn.
    """

    n: int
    byzantine: dict[int, Behaviour] = field(default_factory=dict)
    chaos_us: int = 1_000_000
    latency_us: tuple[int, int] = (200, 2_000)
    ordered: bool = True
    loss_rate: float = 0.0
    duplicate_rate: float = 0.0
    cut_every_us: int = 0
    cut_for_us: int = 200_000
    cut_mode: CutMode = CutMode.HOLD
    one_way: bool = False
    crash_rate: float = 0.0
    crash_every_us: int = 0
    down_us: int = 50_000
    freeze_rate: float = 0.0
    validate_us: int = 1_000
    engine_fails: float = 0.0
    signing_us: int = 1_000
    l1_lag_us: int = 0
    l1_reorgs: int = 0
    skew_us: int = 0
    full_every_us: int = 0
    full_for_us: int = 300_000
    clock_steps_us: int = 0
    rollup_loss_us: int = 0
    l1_fork_us: int = 0
    slow_links: float = 0.0
    slow_us: int = 100_000
    loss: Loss | None = None
    flap_every_us: int = 0
    watches: bool = True
    phases: bool = False
    drift_ppm: dict[int, int] = field(default_factory=dict)
    genesis: bool = False
    late_us: dict[int, int] = field(default_factory=dict)
    l1_silence_us: int = 0
    drain_every_us: int = 0


def draw_params(rng: Random, n: int) -> Params:
    """The configuration of one seed."""
    drift_ppm = _draw_drift(apart(rng, "clock rates"), n)
    first = apart(rng, "genesis")
    genesis = first.random() < 0.2
    late_us = _draw_late(first, n) if genesis else {}
    l1_silence_us = apart(rng, "l1 silence").choice((0, 0, 0, 2_000_000))
    byzantine = _draw_byzantine(rng, n)
    has_spare_fault = len(byzantine) < faults_tolerated(n)
    return Params(
        n=n,
        byzantine=byzantine,
        chaos_us=rng.choice((5_000_000, 10_000_000, 20_000_000)),
        latency_us=rng.choice(((200, 2_000), (1_000, 20_000), (5_000, 60_000), (1_000, 200_000))),
        ordered=rng.random() < 0.5,
        loss_rate=rng.choice((0.0, 0.0, 0.02, 0.1, 0.25)),
        duplicate_rate=rng.choice((0.0, 0.0, 0.02, 0.2)),
        cut_every_us=rng.choice((0, 0, 700_000, 2_000_000)),
        cut_for_us=rng.choice((200_000, 1_000_000, 4_000_000)),
        cut_mode=rng.choice((CutMode.HOLD, CutMode.DROP)),
        one_way=rng.random() < 0.3,
        crash_rate=rng.choice((0.0, 0.0, 0.005, 0.03)),
        crash_every_us=rng.choice((0, 0, 1_000_000, 3_000_000)),
        down_us=rng.choice((50_000, 600_000, 3_000_000)),
        freeze_rate=rng.choice((0.0, 0.0, 0.003)),
        validate_us=rng.choice((1_000, 20_000, 250_000, 2_000_000)),
        engine_fails=rng.choice((0.0, 0.0, 0.1)),
        signing_us=rng.choice((1_000, 30_000, 1_500_000)),
        l1_lag_us=rng.choice((0, 0, 2_000_000, 6_000_000)),
        l1_reorgs=rng.choice((0, 0, 1, 3)),
        skew_us=rng.choice((0, 0, 100_000, 400_000)),
        full_every_us=rng.choice((0, 0, 0, 2_000_000)),
        full_for_us=rng.choice((300_000, 3_000_000)),
        clock_steps_us=rng.choice((0, 0, 0, 1_500_000)),
        rollup_loss_us=rng.choice((0, 0, 0, 2_000_000)),
        l1_fork_us=rng.choice((0, 0, 0, 3_000_000)),
        slow_links=rng.choice((0.0, 0.0, 0.2)),
        slow_us=rng.choice((100_000, 1_500_000)),
        loss=rng.choice((None, None, *Loss)) if has_spare_fault else None,
        flap_every_us=rng.choice((0, 0, 0, 100_000, 600_000)),
        drift_ppm=drift_ppm,
        genesis=genesis,
        late_us=late_us,
        l1_silence_us=l1_silence_us,
    )


def _draw_late(rng: Random, n: int) -> dict[int, int]:
    """In half of the runs one operator is late: a moment, or until the others have decided."""
    if rng.random() < 0.5:
        return {}
    return {rng.randrange(n): rng.choice((1_500_000, 6_000_000))}


def apart(rng: Random, name: str) -> Random:
    """Randomness of its own that takes nothing from `rng`: what is drawn from it shifts no seed."""
    copy = Random()
    copy.setstate(rng.getstate())
    return Random(f"{name} {copy.random()}")


def _draw_drift(rng: Random, n: int) -> dict[int, int]:
    """Crystals are off by up to 200 ppm, and a bad one in a virtual machine by 1 %."""
    most = rng.choice((0,) * 4 + (200,) * 5 + (10_000,))
    drawn = {index: rng.randint(-most, most) for index in range(n)}
    return {index: ppm for index, ppm in drawn.items() if ppm}


def _draw_byzantine(rng: Random, n: int) -> dict[int, Behaviour]:
    """At most f operators; two runs in five have none at all."""
    count = 0 if rng.random() < 0.4 else rng.randint(1, max(1, faults_tolerated(n)))
    chosen = rng.sample(range(n), min(count, faults_tolerated(n)))
    return {index: rng.choice(DRAWN) for index in sorted(chosen)}
