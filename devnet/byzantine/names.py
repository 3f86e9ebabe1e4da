"""Strategies by name: what each does, what it is called in the simulator, and what its victims
count when they notice. For the harness, to which `dst` is a black box."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Strategy(StrEnum):
    EQUIVOCATE = "equivocate"
    WITHHOLD_BLOCK = "withhold-block"
    CLAIM_LOCK = "claim-lock"
    SILENT_AFTER_PREPARE = "silent-after-prepare"
    FORGE_ROUND_CHANGES = "forge-round-changes"
    BAD_PARTIALS = "bad-partials"
    FALSE_STATUS = "false-status"
    FLOOD = "flood"
    CENSOR = "censor"
    INVALID_BLOCK = "invalid-block"
    STALE_RESEND = "stale-resend"
    PASS_AND_PROPOSE = "pass-and-propose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A counter of honest middlewares (without its prefix), and the labels that single it out;
    the label value `LIAR` stands for the liar's name."""

    name: str
    labels: Mapping[str, str]

    def told(self) -> str:
        shown = ", ".join(f"{key}={value}" for key, value in self.labels.items())
        return f"{self.name}{{{shown}}}"


PREFIX: Final = "dst_"
"""Of every metric's name, where it is read."""
LIAR: Final = "(liar)"
LIES: Final = "byzantine_lies_total"
"""The liar's own count; label `strategy`."""
IS_LIAR: Final = "byzantine"
"""1 while the liar runs; label `strategy`. The honest program has no such metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    does: str
    noticed: Counted | None = None
    """None: nothing that only this lie makes them count."""
    simulated: str = ""
    """`Behaviour` of the simulator that lies so, or nearly so."""
    beyond: str
    """What f + 1 of them do to the honest, or why they do nothing."""
    breaks: str = ""
    """Number of the invariant that f + 1 of them break, as a scenario shows; empty: none."""


def _refused(core: str, reason: str) -> Counted:
    return Counted(name=f"{core}_refused_total", labels={"reason": reason})


KNOWN: Final[Mapping[Strategy, Known]] = {
    Strategy.EQUIVOCATE: Known(
        does="as leader shows one block to half of the others and a sibling of it to the rest, "
        "votes for each with those who saw it, then shows everybody the other one; liars together "
        "vote for both",
        noticed=_refused("consensus", "second_proposal"),
        simulated="twin",
        breaks="S1",
        beyond="two quorums meet in liars alone, and two blocks are decided at a height",
    ),
    Strategy.WITHHOLD_BLOCK: Known(
        does="shows its proposals to as few as can decide, and gives no block and no certificate "
        "to anybody who asks",
        simulated="withholding",
        beyond="what a quorum decided, an honest operator of it has, and gives to all who ask",
    ),
    Strategy.CLAIM_LOCK: Known(
        does="lets nobody but itself see the prepare quorum for its proposals, and claims that "
        "lock in every round-change from then on, without ever giving the block",
        simulated="hoarder",
        breaks="L9",
        beyond="they commit nothing, and the honest alone are no quorum",
    ),
    Strategy.SILENT_AFTER_PREPARE: Known(
        does="proposes and prepares, and says no COMMIT, no certificate, no round-change and no "
        "signature",
        breaks="L9",
        beyond="the honest alone are no quorum",
    ),
    Strategy.FORGE_ROUND_CHANGES: Known(
        does="claims at every height a lock that nobody has, with no proof or one vote as often "
        "as a quorum takes",
        noticed=_refused("consensus", "unjustified_round_change"),
        simulated="fuzzer",
        breaks="L9",
        beyond="where a round has to change, those who change it truly are no quorum",
    ),
    Strategy.BAD_PARTIALS: Known(
        does="sends some of the others, drawn for each height, partial signatures that do not "
        "verify",
        noticed=_refused("sealing", "bad_partial"),
        simulated="bad_partial",
        beyond="its own one is good: each liar combines it with those of the honest, as any of "
        "them would, and hands on the group signature, if seconds late",
    ),
    Strategy.FALSE_STATUS: Known(
        does="says once a second that it has decided a million heights, or none",
        simulated="false_answers",
        breaks="L9",
        beyond="a height that f + 1 claim counts as decided: the honest wait for it, and sign "
        "nothing",
    ),
    Strategy.FLOOD: Known(
        does="sends everybody four times what an inbox takes, each second: votes of rounds and "
        "heights to come, questions, answers that nobody asked for; what its own links cannot take "
        "is dropped there",
        noticed=Counted(
            name="messages_refused_total", labels={"peer": LIAR, "reason": "too_often"}
        ),
        simulated="flooder",
        beyond="everybody has a share of its own of an inbox; rounds may end early, as f + 1 can "
        "ask for that, and the leader of the next one proposes",
    ),
    Strategy.CENSOR: Known(
        does="proposes an empty block where its own would hold a transaction of `address`",
        beyond="an honest operator's turn comes within n heights, however many censor",
    ),
    Strategy.INVALID_BLOCK: Known(
        does="proposes blocks with one field of the payload wrong, and votes for them",
        noticed=_refused("consensus", "invalid_block"),
        simulated="fuzzer",
        beyond="a quorum holds an honest operator, and none votes for such a block; each turn of "
        "theirs costs a round",
    ),
    Strategy.STALE_RESEND: Known(
        does="says again, five times a second, what it and others said at heights long decided",
        simulated="fuzzer",
        beyond="it was true, and of heights that are over",
    ),
    Strategy.PASS_AND_PROPOSE: Known(
        does="as leader passes its lead on and proposes all the same: to some the one, to others "
        "the other or both; and passes on what others lead",
        noticed=_refused("consensus", "not_the_leader"),
        simulated="passer",
        beyond="a pass says of its sender's own turns alone that others need not wait: each of "
        "them costs a round",
    ),
}


def table() -> str:
    """Markdown."""
    rows = [
        f"| `{name}` | {known.does} | {_noticed(known)} | {_simulated(known)} | {_beyond(known)} |"
        for name, known in KNOWN.items()
    ]
    head = (
        "| `strategy` | such an operator | its victims count | in the simulator | f + 1 of them |",
        "|---|---|---|---|---|",
    )
    return "\n".join((*head, *rows))


def _noticed(known: Known) -> str:
    return "-" if known.noticed is None else f"`{PREFIX}{known.noticed.told()}`"


def _beyond(known: Known) -> str:
    return f"{f'break {known.breaks}' if known.breaks else 'break nothing'}: {known.beyond}"


def _simulated(known: Known) -> str:
    return f"`{known.simulated}`" if known.simulated else "-"
