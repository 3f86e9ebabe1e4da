"""Tapes: recording changes no story; a failure shrinks to what it needs, and plays again."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice, product
from pathlib import Path

import msgspec
import pytest

from devnet.sim.findings import CORPUS, explain, retold
from devnet.sim.lockstep import Schedule
from devnet.sim.minority import run_minority
from devnet.sim.params import Behaviour, draw_params
from devnet.sim.replay import GENERATORS, invariant, play, record
from devnet.sim.shrink import shrink
from devnet.sim.story import Story
from devnet.sim.synchrony import HealedSchedule
from devnet.sim.tape import Tape
from devnet.sim.twins import Twins, in_overlapping_sets, in_partitions
from devnet.sim.world import run_seed, seeded
from dst.spec.errors import InvalidInput

ROOT = Path(__file__).parents[2]
KEPT = sorted(CORPUS.glob("*.json"))


# ------------------------------------------------------------------------- recording and replay


@pytest.mark.parametrize(("seed", "n"), [(1, 4), (4, 4), (5, 4), (8, 4), (3, 7), (0, 1)])
def test_recording_and_replaying_tell_the_story_of_the_seed(seed: int, n: int) -> None:
    """4: an L1 that falls silent; 5: a fuzzer, flaps, steps of clocks and losses."""
    trace = run_seed(seed, n).trace
    recorded = record("chaos", seed, n)
    again = play(recorded.tape)
    assert recorded.trace == again.trace == trace
    assert again.tape == recorded.tape, "every choice of the tape was met"


@pytest.mark.parametrize(("seed", "n"), [(6, 4), (7, 4), (0, 7)])
def test_so_do_those_of_liars_who_never_stop(seed: int, n: int) -> None:
    """7: whole phases are lost."""
    trace = run_minority(seed, n)[0].trace
    recorded = record("minority", seed, n)
    again = play(recorded.tape)
    assert recorded.trace == again.trace == trace
    assert again.tape == recorded.tape


ON_STAGE: dict[str, Callable[..., Schedule | Twins]] = {
    "lockstep": Schedule,
    "synchrony": HealedSchedule,
    "twins": in_partitions,
    "twins-overlapping": in_overlapping_sets,
}


@pytest.mark.parametrize("generator", ON_STAGE)
def test_the_tape_of_a_schedule_tells_its_story(generator: str) -> None:
    for n, seed in product((4, 7), range(3000, 3010)):
        story = Story()
        ON_STAGE[generator](seed, n, story=story).play()
        recorded = record(generator, seed, n)
        played, text = retold(recorded.tape)
        assert text.splitlines()[1:-1] == story.lines()
        assert played == recorded


def test_a_recorded_schedule_is_the_one_of_its_seed() -> None:
    for seed in range(20):
        recorded = record("lockstep", seed, 4, "quorum-2f")
        assert play(recorded.tape) == recorded
        assert recorded.tape.choices != record("lockstep", seed + 1, 4).tape.choices
    plain = Schedule(7)
    plain.play()
    choices = plain.stage.byzantine
    assert record("lockstep", 7, 4).tape.choices["Schedule.__init__ below"].get(0, 0) == choices[0]


@pytest.mark.parametrize("generator", GENERATORS)
def test_the_empty_tape_is_a_calm_run(generator: str) -> None:
    calm = Tape(generator=generator, n=4)
    played, text = retold(calm)
    assert not played.failure
    assert played.tape == calm, "nothing is drawn that is not benign"
    assert "dies" not in text
    assert "asked for another round" not in text
    assert "decided block" in text


def test_a_tape_survives_its_file() -> None:
    tape = record("chaos", 5, 4).tape
    assert tape.params
    assert Tape.read(tape.written()) == tape


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense",
        b'{"generator": "chaos"}',
        b'{"generator": "chaos", "n": 4, "speed": 3}',
        b'{"generator": "chaos", "n": 4, "params": {"speed": 3}}',
        b'{"generator": "chaos", "n": 4, "params": {"byzantine": {"0": "saint"}}}',
        b'{"generator": "dice", "n": 4}',
        b'{"generator": "chaos", "n": 4, "mutant": "x-man"}',
        b'{"generator": "twins", "n": 3}',
    ],
)
def test_what_is_no_tape_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        play(Tape.read(data))


# ----------------------------------------------------------------------------------- shrinking


@dataclass(frozen=True)
class Shrunk:
    """From the first seed that kills the mutant to a tape of at most `most` choices, whose story
    tells these."""

    mutant: str
    generator: str
    most: int
    tells: tuple[str, ...]
    liar: Behaviour | None = None
    first: int = 0
    budget: int = 200

    def seeds(self) -> Iterator[int]:
        seeds = count(self.first)
        return (each for each in seeds if self.liar is None or self.liar in _liars(each))


def _liars(seed: int) -> list[Behaviour]:
    return list(draw_params(seeded(seed, 4), 4).byzantine.values())


SHRUNK = (
    Shrunk(
        "prepared-block-lost",
        "chaos",
        3,
        ("instead of BlockReply", "with a lock on block", "the machine of op"),
        Behaviour.HOARDER,
    ),
    Shrunk("send-before-persist", "chaos", 6, ("the machine of op", "starts")),
    Shrunk("quorum-2f", "lockstep", 15, ("said COMMIT of block", "a liar", "decided block")),
    Shrunk(
        "lock-refuses-justified",
        "synchrony",
        10,
        ("with a lock on block", "everybody hears everybody", "undecided"),
        first=100,
    ),
    Shrunk("quorum-2f", "twins", 3, ("these hear each other", "decided block"), first=5002),
    Shrunk("quorum-2f", "twins-overlapping", 6, ("these hear each other", "op1' decided")),
    Shrunk(
        "round-change-rebuilt",
        "minority",
        25,
        ("all is healed", "asked for another round", "caught somebody"),
        budget=60,
    ),
)
SEEDS_TRIED = 100


@pytest.mark.parametrize("wanted", SHRUNK, ids=lambda each: f"{each.generator}-{each.mutant}")
def test_a_failing_seed_shrinks_to_what_its_failure_needs(wanted: Shrunk) -> None:
    tried = (record(wanted.generator, each, 4, wanted.mutant) for each in wanted.seeds())
    found = next(each for each in islice(tried, SEEDS_TRIED) if each.failure)
    short = shrink(found.tape, budget=wanted.budget)
    assert len(short) <= wanted.most < len(found.tape) / 5
    played, text = retold(short)
    assert invariant(played.failure) == invariant(found.failure) == short.failure
    for sentence in wanted.tells:
        assert sentence in text
    assert not play(msgspec.structs.replace(short, mutant=None)).failure


def test_shrinking_needs_no_more_replays_than_it_is_given() -> None:
    tape = record("lockstep", _first_failing("quorum-2f"), 4, "quorum-2f").tape
    replays = []
    shrink(tape, budget=7, shown=lambda shrinking: replays.append(shrinking.replays))
    assert len(replays) <= 7
    assert shrink(tape, budget=0) == tape


def test_a_tape_that_fails_otherwise_is_not_shorter_but_other() -> None:
    """A quorum of 2f breaks S1 in one schedule, S12 in none: what shrinks keeps its invariant."""
    tape = record("lockstep", _first_failing("quorum-2f"), 4, "quorum-2f").tape
    wrong = msgspec.structs.replace(tape, failure="S99 never broken")
    assert shrink(wrong, budget=20) == wrong


def _first_failing(mutant: str) -> int:
    return next(seed for seed in range(SEEDS_TRIED) if record("lockstep", seed, 4, mutant).failure)


# -------------------------------------------------------------------------------------- corpus


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.stem)
def test_corpus(file: Path) -> None:
    """What was mended stays mended, and a tape of a mutant still bites: a tape that the simulator
    outgrew (a function renamed, another order of draws) says so, and is recorded anew."""
    tape = Tape.read(file.read_bytes())
    assert tape.why, "say what it found"
    if tape.mutant:
        played = play(tape)
        assert played.tape.failure == tape.failure, "record it anew, or mend the mutant"
        assert played.tape.choices == tape.choices, "choices that are never met"
    sound = play(msgspec.structs.replace(tape, mutant=None))
    assert not sound.failure, sound.failure


def test_the_corpus_has_a_tape_of_each_generator() -> None:
    assert {Tape.read(file.read_bytes()).generator for file in KEPT} == GENERATORS.keys()


# ------------------------------------------------------------------------------------- command


def test_a_failing_seed_prints_its_steps_and_the_command_that_replays_them(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    seeds = f"--generator lockstep --seeds 0:{SEEDS_TRIED} --mutant quorum-2f --jobs 1"
    found = run("-m", "devnet.sim", *seeds.split())
    assert found.returncode == 1, found
    assert "decided block" in found.stdout
    again = found.stdout.rstrip().splitlines()[-1]
    assert again.startswith("again: python -m devnet.sim --tape runs/tapes/lockstep-n4-")
    replayed = run(*again.split()[2:])
    assert replayed.returncode == 1, replayed
    assert replayed.stdout in found.stdout, "the same story"
    assert run("-m", "devnet.sim", "--tape", "nowhere.json").returncode == 2


@pytest.mark.parametrize("generator", ON_STAGE)
def test_a_failure_of_the_real_code_goes_into_the_corpus(
    generator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("devnet.sim.findings.CORPUS", tmp_path)
    monkeypatch.setattr("dst.qbft.justification.quorum_size", lambda n: 2)
    seed = next(each for each in range(2 * SEEDS_TRIED) if ON_STAGE[generator](each, 4).play())
    assert "decided block" in explain(generator, seed, 4, budget=100)
    [file] = tmp_path.iterdir()
    tape = Tape.read(file.read_bytes())
    assert tape.failure
    assert play(tape).failure


def test_choices_of_one_stream_do_not_shift_another() -> None:
    """A loss taken off one link leaves what befell the others."""
    tape = next(
        found
        for seed in range(SEEDS_TRIED)
        if draw_params(seeded(seed, 4), 4).loss_rate
        and len(_lossy(found := record("chaos", seed, 4).tape)) > 1
    )
    first, second = _lossy(tape)[:2]
    without = {name: places for name, places in tape.choices.items() if name != first}
    played = play(msgspec.structs.replace(tape, choices=without))
    assert first not in played.tape.choices
    early = min(tape.choices[second])
    assert early in played.tape.choices[second]


def _lossy(tape: Tape) -> list[str]:
    return [name for name in tape.choices if "Network._is_lost" in name]
