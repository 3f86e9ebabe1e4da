"""What plays a seed against a mutant, and what shows that one is equivalent."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final
from unittest.mock import patch

import dst.qbft
from devnet.sim import core_scenes, shell_scenes
from devnet.sim.loop import VirtualLoop, play
from devnet.sim.mutants import mutated
from devnet.sim.params import Behaviour, Params, draw_params
from devnet.sim.world import World, run_seed, seeded
from dst.middleware.catch_up import CatchUp
from dst.middleware.consensus import Consensus
from dst.qbft import effects as fx
from dst.qbft import inputs
from dst.qbft.records import ProposalRecord, Record
from tests.simulation import rollup_scenes


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """play: one seed; what broke, None when nothing did. walk: seeds played before a mutant counts
    as a survivor. tapes: that one of `devnet.sim.replay` which plays the same seeds, if one does.
    """

    name: str
    what: str
    play: Callable[[int], str | None]
    walk: int
    tapes: str | None = None


def _chaos(seed: int) -> str | None:
    return run_seed(seed, 4).failure or None


def _hoarder(seed: int) -> str | None:
    return _chaos(seed) if _has_hoarder(seed) else None


def _repeater(seed: int) -> str | None:
    params = Params(
        n=4,
        byzantine={3: Behaviour.REPEATER},
        chaos_us=12_000_000,
        validate_us=250_000 if seed % 2 else 1_000,
    )
    return play(lambda loop: World(loop, seed, 4, params=params).run()).failure or None


def _passer(seed: int) -> str | None:
    params = replace(draw_params(seeded(seed, 4), 4), byzantine={seed % 4: Behaviour.PASSER})
    return run_seed(seed, 4, params=params).failure or None


def _has_hoarder(seed: int) -> bool:
    return Behaviour.HOARDER in draw_params(Random(f"{seed} 4"), 4).byzantine.values()


CHAOS: Final = Generator(
    name="chaos",
    what="the swarm campaign: shells in virtual time, random trouble, then a heal",
    play=_chaos,
    walk=120,
    tapes="chaos",
)
HOARDER: Final = Generator(
    name="chaos, hoarder",
    what="the seeds of chaos that draw that liar; others are passed over",
    play=_hoarder,
    walk=400,
    tapes="chaos",
)
REPEATER: Final = Generator(
    name="chaos, repeater",
    what="chaos with slow rollup nodes and that liar, who is drawn for nothing else",
    play=_repeater,
    walk=12,
)
PASSER: Final = Generator(
    name="chaos, passer",
    what="chaos with the liar who passes on leads, his own and others', drawn for nothing else",
    play=_passer,
    walk=40,
)
LOCKSTEP: Final = Generator(
    name="lock-step",
    what="one height of the pure core, phase by phase, against a puppet",
    play=core_scenes.lockstep,
    walk=1500,
    tapes="lockstep",
)
HEALED: Final = Generator(
    name="lock-step, healed",
    what="such a schedule, then a perfect network: a few timers, and everybody has decided",
    play=core_scenes.healed_lockstep,
    walk=1500,
)
CONTRARY: Final = Generator(
    name="lock-step, contrary",
    what="such a schedule, whose puppet commits a block that nobody prepared",
    play=core_scenes.contrary_commits,
    walk=500,
)
CALM: Final = Generator(
    name="calm drill", what="nothing is wrong: no round changes", play=shell_scenes.calm, walk=5
)
SPLIT: Final = Generator(
    name="split drill",
    what=f"two and two for {shell_scenes.SPLIT_S} s, one silent: recovery within a bound",
    play=shell_scenes.split,
    walk=12,
)
OUT_OF_STEP: Final = Generator(
    name="out of step",
    what="nobody hears anybody for 40 s, one is silent, two are down for half of it",
    play=shell_scenes.out_of_step,
    walk=5,
)
HURRIED: Final = Generator(
    name="hurried",
    what="one proposes nothing and asks for rounds that are far away",
    play=shell_scenes.hurried,
    walk=5,
)
FORWARDED: Final = Generator(
    name="forwarded",
    what="one passes on what leaders signed, with another body",
    play=shell_scenes.forwarded,
    walk=5,
)
OLD_COPY: Final = Generator(
    name="old copy",
    what="one restarts from a disk that forgot two heights while a round changes; one is silent",
    play=shell_scenes.old_copy,
    walk=5,
)
HALT_ENDS: Final = Generator(
    name="halt that ends",
    what="a rollup node reports a reset, and takes it back",
    play=shell_scenes.halt_ends,
    walk=5,
)
PROPOSAL_MISSED: Final = Generator(
    name="missed proposal",
    what="one hears the votes of a height and not its proposal",
    play=shell_scenes.proposal_missed,
    walk=5,
)
VOTE_LOST: Final = Generator(
    name="lost vote",
    what="a connection ends with a vote that everybody needs",
    play=shell_scenes.vote_lost,
    walk=12,
)
TWO_SIGNATURES: Final = Generator(
    name="two signatures",
    what="the four rounds of ADR 3",
    play=core_scenes.two_signatures_played,
    walk=1,
)
TWO_LOCKS: Final = Generator(
    name="two locks",
    what="a leader sees a claim of the decided block and one of an older round",
    play=core_scenes.two_locks,
    walk=1,
)
STREAM: Final = Generator(
    name="hostile stream",
    what="frames in pieces, then a length that no frame has",
    play=shell_scenes.hostile_stream,
    walk=3,
)
BAD_SEALS: Final = Generator(
    name="bad seals", what="256 group signatures of one liar", play=core_scenes.bad_seals, walk=3
)
BAD_PARTIAL: Final = Generator(
    name="bad partial", what="one of four does not verify", play=core_scenes.bad_partial, walk=3
)
BAD_PARTIALS: Final = Generator(
    name="bad partials",
    what="32 heights, and at each the first partial signature does not verify",
    play=core_scenes.bad_partials,
    walk=3,
)
STRANGER: Final = Generator(
    name="stranger",
    what="a rollup node's public listener is asked for a block while it judges one",
    play=rollup_scenes.a_stranger_asks,
    walk=1,
)
L1_FORGOT: Final = Generator(
    name="forgotten origin",
    what="L1 dropped the origin of a locked block and does not know it any more",
    play=rollup_scenes.l1_forgot,
    walk=1,
)
L1_CAME_BACK: Final = Generator(
    name="minority fork",
    what="the own L1 node leaves such a fork",
    play=rollup_scenes.l1_came_back,
    walk=1,
)
HIDDEN: Final = Generator(
    name="hidden block",
    what="a follower's source hides a block that another one brings",
    play=rollup_scenes.a_block_is_hidden,
    walk=1,
)


# --------------------------------------------------------------------- what an equivalent one does


@contextmanager
def calls_of(owner: Any, attribute: str) -> Iterator[list[int]]:
    """How often it is called meanwhile, as it is now."""
    called, found = [0], getattr(owner, attribute)

    def counted(*arguments: Any, **named: Any) -> Any:
        called[0] += 1
        return found(*arguments, **named)

    setattr(owner, attribute, counted)
    try:
        yield called
    finally:
        setattr(owner, attribute, found)


def timers_tell_nothing_new(name: str) -> None:
    """Timers fire that the shipped shell cancels; none of them changes a state or has an effect."""
    left: dict[int, inputs.Input] = {}
    fired = 0

    def step(
        state: dst.qbft.State, event: inputs.Input, config: dst.qbft.Config
    ) -> dst.qbft.Transition:
        nonlocal fired
        transition = core(state, event, config)
        if left.get(id(event)) is event:
            fired += 1
            assert (transition.state, transition.effects) == (state, ())
        return transition

    def set_timer(shell: Consensus, effect: fx.SetTimer) -> None:
        running = shell._timers.get(effect.kind)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        if running is not None and running.when() > loop.seconds:
            left[id(running._args[0])] = running._args[0]
        patched(shell, effect)

    with mutated(name):
        core, patched = dst.qbft.step, Consensus._set_timer
        with (
            patch.object(dst.qbft, "step", step),
            patch.object(Consensus, "_set_timer", set_timer),
        ):
            assert [run_seed(seed, 4).failure for seed in range(40)] == [""] * 40
    assert fired > 100


def young_locks_change_nothing(name: str) -> None:
    """They are counted where the shipped check refuses them; nothing breaks, and all decide."""
    for switched_on in (None, name):
        taken = 0
        with mutated(switched_on):
            for seed in range(1000):
                schedule = core_scenes.YoungLocks(seed)
                assert core_scenes.heal(schedule) is None
                taken += schedule.taken
        assert (taken > 0) == (switched_on is not None)


def own_proposals_name_no_new_round(name: str) -> None:
    """Logs with a proposal of a later round are read with it and without, after crashes at any
    moment: the states are equal."""
    restore, read = dst.qbft.restore, 0

    def compared(
        config: dst.qbft.Config, decided: dst.qbft.DecidedHead | None, records: Iterable[Record]
    ) -> dst.qbft.State:
        nonlocal read
        log = tuple(records)
        state = restore(config, decided, log)
        with mutated(name):
            assert restore(config, decided, log) == state
        read += any(isinstance(each, ProposalRecord) for each in log) and state.round > 0
        return state

    with patch.object(dst.qbft, "restore", compared):
        assert [run_seed(seed, 4).failure for seed in range(40)] == [""] * 40
    assert read > 100


def laggards_are_helped_otherwise(name: str) -> None:
    """Help is wanted and not given, and everybody recovers all the same."""
    with mutated(name), calls_of(CatchUp, "help_laggard") as wanted:
        assert [run_seed(seed, 4).failure for seed in range(40)] == [""] * 40
    assert wanted[0] > 100
