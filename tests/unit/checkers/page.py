"""`docs/checkers.md`: which checker says what, what it reads of the record, and what it must fail.

    python -m tests.unit.checkers.page --write

What a checker says is the first sentence of its file; what it reads is seen while it judges a sound
history; the forged histories are those of the tests. Only which invariant of the field has which
checker, and why some have none, is written down here.
"""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast, get_args, get_type_hints

from devnet import checkers
from devnet.checkers import must_fail, steady_state, votes_again
from devnet.model.history import History
from tests.unit.checkers import test_forged_histories as forged

PAGE: Final = Path(__file__).parents[3] / "docs/checkers.md"
FOLDER: Final = Path(checkers.__file__).parent

WORDS: Final = """# Checkers

Written by `python -m tests.unit.checkers.page --write`; a test compares.

A checker is a pure function of the record of a run, `history.ndjson`: `devnet chaos judge RUN` says
the same again from the folder alone. Each names the first breach with its moment and the records
that prove it; where an amount has a bound, the worst that was measured stands beside what is
allowed. Each has histories that it must fail: sound ones with one forged change. `expect: {fails:
NAME}` in a [scenario](scenarios.md) asks for one of them to fail.

The numbers are stable. S is safety, which no fault excuses; L is liveness, which says nothing where
this machine stood still or a part of the harness ended.

## Every invariant, and who checks it
"""

CHECKERS: Final = """
## Every checker

| checker | says | reads | must fail |
|---|---|---|---|"""

EXPERIMENT: Final = """
## What judges the experiment

These accuse nobody: a run in which they find something has shown nothing.

| checker | says |
|---|---|"""

INVARIANTS: Final[dict[str, tuple[str, ...] | str]] = {
    "S1 agreement": ("agreement",),
    "S2 one group signature": ("one_group_signature",),
    "S3 certificate validity": ("valid_certificates",),
    "S4 soft confirmations stay": ("stable_receipts", "agreement"),
    "S5 nothing is lost": ("stable_receipts",),
    "S6 exactly once": ("exactly_once", "linearizable"),
    "S7 order stays": ("stable_order",),
    "S8 execution equality": ("equal_states", "agreement"),
    "S9 derivation equality": ("derived_chain",),
    "S10 well-formed chain": ("linked_chain",),
    "S11 deposits": "this chain has none: an L2 block names an L1 origin and takes nothing from it",
    "S12 sign-once": ("sign_once",),
    "S13 no unjustified vote": ("justified_votes",),
    "S14 no progress without a quorum": ("no_quorum_no_progress", "standstill"),
    "S15 evidence is true": ("true_evidence",),
    "S16 terms are apart": ("valid_certificates",),
    "S17 isolation of harm": ("no_crash", "readable", "notices"),
    "S18 linearizable objects": ("linearizable",),
    "L1 normal gap": ("normal_gap",),
    "L2 failover gap": ("gap",),
    "L3 gap after several dead leaders": ("gap",),
    "L4 heal bound": ("recovery",),
    "L5 catch-up": ("rejoin", "votes_again"),
    "L6 inclusion": ("inclusion",),
    "L7 safe head": ("safe_head",),
    "L8 steady state": ("steady_state",),
    "L9 permanent minority": ("progress_under_fault", "gap", "goes_on"),
    "L10 rounds in synchrony": ("rounds_as_promised", "no_round_change"),
    "L11 known fate": ("known_fate",),
}
"""Invariant -> files that check it, or why nobody does."""

NOTES: Final = """
What a checker does not see, and what stands in for it:

- **S8** compares state roots and, with S1, block hashes, which commit to receipts, gas and logs.
  Nodes with other restart histories and followers execute every block; nothing is executed again
  from genesis at the end of a run.
- **S9** derives again from L1 with code of the harness, from the batch that holds the first height
  judged. Executing what L1 holds from nothing is what a follower of `devnet up --l1-follower` does.
- **S10** asks that L1 origins do not go back. That they are within drift and lag is asked by every
  voter before it votes ([rules](consensus-rules.md)), and of no record: it would need L1's times.
- **S13**: links are TLS, so no tap sees the messages of a running network. Operators tell when they
  take a proposal, lock, enter a round and decide, which is when they prepare, commit and ask for a
  round; that is judged. Each justification itself is judged where messages are seen, in the
  [simulator](simulation.md) and by [the rules' tests](consensus-rules.md).
- **S16**: the cluster's keys change with no term here, so there are no old shares to verify.
- **L10** on a running network is what the scenario promises; `L10 no round change` is asked of the
  simulator's calm links.
- **L2, L3, L9**: the scenario says how long (`expect.gap`) and how many (`expect.progress`). No
  bound of L2 follows from the configuration alone. Rounds last T0, 2 T0, 4 T0, to a cap; how many a
  fault can cost is known of operators that are gone (f of them lead in turn), and not of links that
  are slow, deaf one way or flapping, of clocks, disks and liars: a receipt says whom they disturb,
  not by how much. Where nothing at all comes while it is waited for, `the chain goes on` has a
  bound that no number of lost leaders reaches, 10 s + 5 slots.
- **L8** needs 30 slots in which nothing is done: `steady` has them.
- **L7** judges a backlog only in runs that go on long enough after the heal: `l1-unreachable` does.
"""


LIVE: Final = (
    "agreement",
    "one_group_signature",
    "sign_once",
    "no_quorum_no_progress",
    "true_evidence",
    "no_crash",
)
"""Told at once, too, when a run goes on."""


_ON_LONGER_ONES: Final = {"steady_state": steady_state.check, "votes_again": votes_again.check}
"""What the sound history is too short for."""


def page() -> str:
    rows = [f"| {name} | {_by(by)} |" for name, by in INVARIANTS.items()]
    parts = [WORDS, "| invariant | checked by |", "|---|---|", *rows, CHECKERS]
    parts += [
        f"| {_link(module)} | {says(module)}{'; live, too' if name in LIVE else ''} "
        f"| {reads(module)} | {'; '.join(forgeries(name))} |"
        for name, module in modules(must_fail.CHECKERS)
    ]
    others = [
        (name, module)
        for name, module in modules()
        if module.NAME not in must_fail.CHECKERS and name not in ("must_fail", "no_round_change")
    ]
    parts += [EXPERIMENT]
    parts += [f"| {_link(module)} | {says(module)} |" for _, module in others]
    return "\n".join([*parts, NOTES])


def modules(named: tuple[str, ...] = ()) -> list[tuple[str, ModuleType]]:
    """Of every checker, or of those of these names and in their order."""
    files = (path.stem for path in sorted(FOLDER.glob("[a-z]*.py")))
    every = {name: importlib.import_module(f"devnet.checkers.{name}") for name in files}
    found = [(name, module) for name, module in every.items() if hasattr(module, "NAME")]
    if not named:
        return found
    place = {name: at for at, name in enumerate(named)}
    chosen = [each for each in found if each[1].NAME in place]
    return sorted(chosen, key=lambda each: place[each[1].NAME])


def says(module: ModuleType) -> str:
    """The first sentence of its file, without the number."""
    text = " ".join((module.__doc__ or "").split("\n\n")[0].split())
    return re.sub(r"^[SL]\d+ [^:]*: ", "", text).rstrip(".")


class Watched:
    """A history that knows which of its records were looked at."""

    def __init__(self, history: History) -> None:
        self._history, self.looked_at = history, set[str]()

    def __getattr__(self, name: str) -> Any:
        self.looked_at.add(name)
        return getattr(self._history, name)


def reads(module: ModuleType) -> str:
    """The records that it looks at. Whoever is fed all of them, one by one, names those that it
    takes."""
    fields = {get_args(hint)[0].__name__: name for name, hint in kinds().items()}
    source = Path(module.__file__ or "").read_text()
    found = {fields[word] for word in re.findall(r"\w+", source) if word in fields}
    if "replay" not in source:
        watched = Watched(forged.sound().history())
        judged = forged.CHECKERS | forged.PROMISES | _ON_LONGER_ONES
        judged[module.__name__.rpartition(".")[2]](cast(History, watched))
        found = watched.looked_at
    return ", ".join(name.replace("_", " ") for name in kinds() if name in found)


def kinds() -> dict[str, Any]:
    """Records of a history by their name there."""
    hints = get_type_hints(History)
    return {name: hint for name, hint in hints.items() if name != "setup"}


def forgeries(name: str) -> list[str]:
    """What it must fail."""
    every = {**forged.FORGED, **forged.BROKEN}
    return [what for what, (checker, _) in every.items() if checker == name] or [ELSEWHERE[name]]


ELSEWHERE: Final = {
    "votes_again": "an operator that votes no more after the last heal",
    "steady_state": "two of 30 slots without a block",
}


def _by(checked_by: tuple[str, ...] | str) -> str:
    if isinstance(checked_by, str):
        return f"nobody: {checked_by}"
    return ", ".join(
        f"`{importlib.import_module(f'devnet.checkers.{e}').NAME}`" for e in checked_by
    )


def _link(module: ModuleType) -> str:
    file = Path(module.__file__ or "").name
    return f"[{module.NAME}](../devnet/checkers/{file})"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"usage: python -m tests.unit.checkers.page --write  ({PAGE})")
    PAGE.write_text(page())
