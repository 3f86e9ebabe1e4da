"""What kills each mutant: the table that the tests play and that `docs/mutants.md` shows.

    python -m tests.simulation.kill_table              play it and print what dies of what
    python -m tests.simulation.kill_table --write      write the page
    python -m tests.simulation.kill_table --search M   the first seed that kills M, from 0 on

A row pins the first seed that kills. A change of what seeds draw moves it: then the walk from there
finds another, or `--search` does.
"""

import argparse
import inspect
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from devnet.sim.mutants import MUTANTS, mutated
from tests.simulation.kill_generators import (
    BAD_PARTIAL,
    BAD_PARTIALS,
    BAD_SEALS,
    CALM,
    CHAOS,
    CONTRARY,
    FORWARDED,
    HALT_ENDS,
    HEALED,
    HIDDEN,
    HOARDER,
    HURRIED,
    L1_CAME_BACK,
    L1_FORGOT,
    LOCKSTEP,
    OLD_COPY,
    OUT_OF_STEP,
    PASSER,
    PROPOSAL_MISSED,
    REPEATER,
    SPLIT,
    STRANGER,
    STREAM,
    TWO_LOCKS,
    TWO_SIGNATURES,
    VOTE_LOST,
    Generator,
    laggards_are_helped_otherwise,
    own_proposals_name_no_new_round,
    timers_tell_nothing_new,
    young_locks_change_nothing,
)

PAGE: Final = Path(__file__).parents[2] / "docs/mutants.md"

# ------------------------------------------------------------------------------------------- table


@dataclass(frozen=True, slots=True)
class Kill:
    """missing: in the code. breaks: the invariants that it may be found to break. seed: the first
    that kills. relative: reports of the same mistake elsewhere; B1 to B6 were ours."""

    missing: str
    generator: Generator
    breaks: str
    seed: int = 0
    relative: str = ""


@dataclass(frozen=True, slots=True)
class Equivalent:
    """Nobody could tell. The argument is where the mutant is; `shows` is a bounded run in which
    what it changes happens, and nothing differs."""

    missing: str
    shows: Callable[[str], None]
    relative: str = ""


Fate: TypeAlias = Kill | Equivalent

FATES: Final[dict[str, Fate]] = {
    # Quorums and votes.
    "quorum-2f": Kill(
        "the third vote of four: quorums of 2f", LOCKSTEP, "S1, S2", seed=23, relative="Celo #253"
    ),
    "duplicate-votes-counted": Kill(
        "one vote for each sender", LOCKSTEP, "S1, S2", seed=1, relative="Besu #2459 (kin)"
    ),
    "value-from-first-vote": Kill(
        "a decided root that all votes of the quorum name",
        CONTRARY,
        "S1, S2",
        relative="Charon #4622",
    ),
    "prepares-of-mixed-rounds": Kill("the round, where PREPAREs are counted", HEALED, "L4", seed=8),
    "early-votes-dropped": Kill(
        "votes that come before their proposal",
        PROPOSAL_MISSED,
        "L4",
        relative="Anchor #551, #615",
    ),
    "two-prepares-in-a-round": Kill(
        "one accepted proposal a round", LOCKSTEP, "S12", seed=20, relative="Charon #4624"
    ),
    "forwarder-blames-leader": Kill(
        "the link that brought a false body, in who is blamed", FORWARDED, "S15"
    ),
    "signatures-unchecked": Kill("signatures of votes", LOCKSTEP, "S1, S2"),
    "certificate-unchecked": Kill("the check of a certificate", LOCKSTEP, "S1, S2", seed=1),
    # Justifications and locks.
    "proposal-without-justification": Kill(
        "the justification of a proposal", LOCKSTEP, "S1, S2", seed=122
    ),
    "round-change-without-proof": Kill(
        "the prepare quorum behind a claimed lock",
        LOCKSTEP,
        "S1, S2",
        seed=87,
        relative="Anchor #549",
    ),
    "lowest-lock-wins": Kill("the highest of the claimed locks", TWO_LOCKS, "S1, S2"),
    "lock-of-any-age": Equivalent(
        "a claimed lock older than the round", young_locks_change_nothing, relative="Anchor #599"
    ),
    "lock-dropped-by-timer": Kill(
        "the lock, once the round's timer ran out",
        LOCKSTEP,
        "S1, S2",
        seed=196,
        relative="Besu #1734, IBFT 1",
    ),
    "lock-refuses-justified": Kill(
        "the way from a lock to a justified other block",
        HEALED,
        "L4",
        seed=429,
        relative="IBFT 1: GoQuorum #305, #1133",
    ),
    "proofs-pruned": Kill(
        "the PREPAREs behind the own lock", HEALED, "L4", seed=3, relative="Charon #504"
    ),
    "leader-ignores-lock": Kill(
        "the locked block, where the leader proposes", HEALED, "L4", seed=3, relative="Anchor #592"
    ),
    "view-rules-for-locked-blocks": Kill(
        "the other rules for blocks that a lock forces", CHAOS, "L4", seed=2
    ),
    # Rounds and timers.
    "leader-not-rotated": Kill("the round, in who leads", HEALED, "L4", seed=3),
    "no-round-change": Kill("the end of a round", HEALED, "L4", seed=3),
    "independent-capped-timers": Kill(
        "the quorum that starts a round's timer",
        OUT_OF_STEP,
        "L4",
        relative="Charon #2092 (kin)",
    ),
    "independent-doubling-timers": Kill(
        "that quorum, and the cap", SPLIT, "L4", seed=3, relative="Besu #7642"
    ),
    "round-change-rebuilt": Kill("a ROUND-CHANGE that is repeated unchanged", CHAOS, "S15"),
    "jump-to-the-furthest": Kill("an honest operator where f+1 are followed to", HURRIED, "L12"),
    "no-jump": Kill("following f+1", HEALED, "L4", seed=63),
    "stale-timer-counts": Kill("height and round, where a timer fires", CALM, "L10"),
    "timer-before-due": Kill("the wait until a block is due", CALM, "L10", relative="Besu #2095"),
    "timer-not-cancelled": Equivalent(
        "the end of a timer, on a decision and otherwise", timers_tell_nothing_new
    ),
    # What is on disk.
    "votes-not-persisted": Kill(
        "votes on disk", LOCKSTEP, "S12", seed=50, relative="Tendermint #10108, CometBFT #6031"
    ),
    "proposals-not-persisted": Kill("own proposals on disk", CHAOS, "S12", seed=19),
    "send-before-persist": Kill("the order of the two", CHAOS, "S12", seed=11),
    "not-synced": Kill("fsync", CHAOS, "S12", seed=7),
    "log-not-read": Kill("own promises after a restart", LOCKSTEP, "S12", seed=16),
    "proposals-name-no-round": Equivalent(
        "own proposals, in the round of a restart", own_proposals_name_no_new_round
    ),
    "lost-store-votes": Kill("the wait of an operator that lost its store", CHAOS, "S12", seed=126),
    "missed-height-asks": Kill("trust in a store that was called new", CHAOS, "L4", seed=13),
    # What is said again, asked for and given.
    "no-resend-on-reconnect": Kill("what a broken link lost, said again", VOTE_LOST, "L4", seed=1),
    "partials-not-resent": Kill("partial signatures, said again", CHAOS, "L4"),
    "block-not-served": Kill("an answer to who asks for a block", PROPOSAL_MISSED, "L4"),
    "prepared-block-lost": Kill(
        "prepared blocks, and passing over a claim", HOARDER, "L4", seed=153, relative="B1"
    ),
    "certificates-ignored": Kill("the import of decisions", CHAOS, "L4", seed=8),
    "no-help-for-laggards": Equivalent(
        "certificates for who repeats what is decided", laggards_are_helped_otherwise
    ),
    "pass-of-anybody": Kill("the leader, who alone passes on its round", PASSER, "L12", seed=3),
    "any-height-will-do": Kill("the height that a block is judged for", REPEATER, "S10, S17"),
    "hold-for-ever": Kill("asking again about a held proposal", CHAOS, "L4"),
    # Sealing.
    "partial-with-commit": Kill(
        "the decision before the signature",
        TWO_SIGNATURES,
        "S2, S12",
        relative="the other choice of Celo #1782",
    ),
    "bad-partials-kept": Kill("who sent a bad partial, left out", BAD_PARTIAL, "L4"),
    "suspects-combined": Kill("the look at a partial of who sent a bad one", BAD_PARTIALS, "S17"),
    "bad-seals-verified-again": Kill(
        "the memory of who sent a bad group signature", BAD_SEALS, "S17", relative="B6"
    ),
    # Links and rollup node.
    "frame-length-unchecked": Kill("the bound of a frame", STREAM, "S17"),
    "own-api-is-public": Kill(
        "a listener of its own for the middleware", STRANGER, "S17", relative="B2"
    ),
    "own-chain-is-a-branch": Kill(
        "the look at the own chain before an accusation", HIDDEN, "S15", relative="B3"
    ),
    "forgotten-origin-holds": Kill(
        "trust in the quorum that saw an origin", L1_FORGOT, "L4", relative="B4"
    ),
    "reset-for-ever": Kill(
        "the end of a reset that was a fork of the own L1", L1_CAME_BACK, "L4", relative="B5"
    ),
    "sends-while-halted": Kill(
        "the look at what a step has found out before it speaks", OLD_COPY, "S15"
    ),
    "halt-for-ever": Kill(
        "the end of a halt when the rollup node's is over", HALT_ENDS, "L5", relative="B5"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    seed: int
    failure: str

    @property
    def invariant(self) -> str:
        """Its number."""
        return self.failure.split(maxsplit=1)[0]


def hunt(name: str, generator: Generator, seeds: range) -> Death | None:
    """The first of `seeds` that kills the mutant; None when it survives them."""
    logging.disable(logging.CRITICAL)
    try:
        with mutated(name):
            for seed in seeds:
                if failure := generator.play(seed):
                    return Death(seed=seed, failure=failure)
        return None
    finally:
        logging.disable(logging.NOTSET)


def execute(name: str, kill: Kill) -> Death | None:
    return hunt(name, kill.generator, range(kill.seed, kill.seed + kill.generator.walk))


def line_of(name: str, death: Death | None) -> str:
    """For the terminal."""
    match FATES[name]:
        case Kill() as kill if death is not None:
            moved = "" if death.seed == kill.seed else f" (pinned: {kill.seed})"
            how = f"{kill.generator.name}, seed {death.seed}{moved}"
            return f"{name:32} {death.invariant:4} {how}"
        case Kill():
            return f"{name:32} SURVIVES"
        case Equivalent():
            return f"{name:32} =    equivalent, argued"


# -------------------------------------------------------------------------------------------- page

_HEAD: Final = """# Mutants

Written by `python -m tests.simulation.kill_table --write` from the table that the tests play; a
test keeps it current.

A mutant is the shipped code with one rule taken out (`devnet/sim/core_mutants.py`,
`devnet/sim/shell_mutants.py`). Each must die: a generator breaks an invariant with it, and finds
nothing wrong with the shipped code on the same seed. Whoever survives must be *equivalent*: argued
in words, and shown by a run in which what it changes happens and nothing differs. `make sim`, the
gate and `make sim-long` print what died of what, and fail where one survives.

*Relative*: reports of the same mistake in other implementations; B1 to B6 are faults that this one
had, put back.

| mutant | what is missing | relative | generator | seed | breaks |
|---|---|---|---|---|---|
"""


def render() -> str:
    kills = [(name, fate) for name, fate in FATES.items() if isinstance(fate, Kill)]
    used = dict.fromkeys(kill.generator.name for _, kill in kills)
    described = {kill.generator.name: kill.generator.what for _, kill in kills}
    parts = [_HEAD]
    parts += [
        f"| `{name}` | {kill.missing} | {kill.relative} | {kill.generator.name} | {kill.seed} "
        f"| {kill.breaks} |\n"
        for name, kill in kills
    ]
    parts.append("\n## Generators\n\n| generator | what a seed is |\n|---|---|\n")
    parts += [f"| {name} | {described[name]} |\n" for name in used]
    parts.append("\n## Equivalent mutants\n")
    parts += [_argued(name, fate) for name, fate in FATES.items() if isinstance(fate, Equivalent)]
    return "".join(parts)


def _argued(name: str, fate: Equivalent) -> str:
    relative = f" ({fate.relative})" if fate.relative else ""
    shows = inspect.getdoc(fate.shows) or ""
    return (
        f"\n### `{name}`\n\nMissing: {fate.missing}{relative}.\n\n{argument_of(name)}\n\n"
        f"*The run* (`{fate.shows.__name__}`): {shows}\n"
    )


def argument_of(name: str) -> str:
    """Why it is equivalent, as written where the mutant stands; empty when that does not say so."""
    said = inspect.getdoc(MUTANTS[name][0][2]) or ""
    _, mark, argument = said.partition("Equivalent")
    return mark + argument


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.simulation.kill_table", description=__doc__)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--search", choices=[n for n, f in FATES.items() if isinstance(f, Kill)])
    parsed = parser.parse_args(arguments)
    if parsed.write:
        PAGE.write_text(render())
        return 0
    wanted = [parsed.search] if parsed.search else list(FATES)
    survivors = 0
    for name in wanted:
        death, fate = None, FATES[name]
        if isinstance(fate, Kill):
            death = (
                hunt(name, fate.generator, range(sys.maxsize))
                if parsed.search
                else execute(name, fate)
            )
            survivors += death is None
        print(line_of(name, death), flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
