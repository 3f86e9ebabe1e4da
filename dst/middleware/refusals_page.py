"""`docs/refusals.md`, written from the enums of reasons: `python -m dst.middleware.refusals_page`.

What the page says of a reason is the text below its name: first when, then what that says of the
sender. Nothing is kept twice.
"""

import argparse
import ast
import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from dst.middleware import inbox, refusals
from dst.p2p import refusals as links
from dst.qbft import effects as consensus
from dst.runtime.metrics import PREFIX
from dst.sealing import effects as sealing

PAGE: Final = "docs/refusals.md"

_HEAD: Final = """# Refusals

Written by `python -m dst.middleware.refusals_page` from the code; a test keeps it current, and
another says each wrong thing to a running operator and finds it counted.

What an operator gets over its links passes five doors, and each refuses for a closed list of
reasons, with a metric each. A refused message changes nothing but what is thought of the peer that
brought it. Metrics count every refusal; log lines, evidence and events are rationed
(`dst/middleware/accusations.py`, `dst/p2p/refusals.py`): evidence is kept once for each culprit,
height and reason.
"""

_INBOX: Final = f"""
## Inboxes

Each core has one queue; what does not fit is dropped and made good by retransmission.

| reason | when | what it says of the sender | metric |
|---|---|---|---|
| full | {inbox.MAX_PER_PEER} messages or {inbox.MAX_BYTES_PER_PEER >> 20} MiB of this peer wait \
already. | It sends faster than this operator works: a flood, or a backlog after a heal. Others \
keep their own share. | `{PREFIX}inbox_dropped_total{{inbox, peer}}` |
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    title: str
    what: str
    reasons: type[StrEnum]
    metric: str
    labels: str = ""


_LINKS: Final = Door(
    title="Links",
    what="Who may connect, and what is a frame. The connection ends.",
    reasons=links.Reason,
    metric="p2p_refused_total",
    labels="peer, ",
)
_MESSAGES: Final = Door(
    title="Messages",
    what="What can be read, and answers and questions of catch-up.",
    reasons=refusals.Reason,
    metric="messages_refused_total",
    labels="peer, ",
)
_CONSENSUS: Final = Door(
    title="Consensus",
    what="Proposals, votes, round-changes and certificates, judged by `dst.qbft`.",
    reasons=consensus.Reason,
    metric="consensus_refused_total",
)
_SEALING: Final = Door(
    title="Sealing",
    what="Partial and group signatures, judged by `dst.sealing`.",
    reasons=sealing.Reason,
    metric="sealing_refused_total",
)


def render() -> str:
    """The whole page."""
    before, after = (_LINKS, _MESSAGES), (_CONSENSUS, _SEALING)
    return "".join([_HEAD, *map(_section, before), _INBOX, *map(_section, after)])


def _section(door: Door) -> str:
    head = "| reason | when | what it says of the sender | metric |\n|---|---|---|---|\n"
    rows = (
        f"| {reason} | {when} | {says} | `{PREFIX}{door.metric}{{{door.labels}"
        f'reason="{reason}"}}` |\n'
        for reason, when, says in told(door.reasons)
    )
    return f"\n## {door.title}\n\n{door.what}\n\n{head}{''.join(rows)}"


def told(reasons: type[StrEnum]) -> Iterator[tuple[str, str, str]]:
    """(reason, when, what it says of the sender) of each member."""
    (definition,) = ast.parse(inspect.getsource(reasons)).body
    assert isinstance(definition, ast.ClassDef), "the source of a class"
    texts = {
        name.targets[0].id: text.value.value
        for name, text in zip(definition.body, definition.body[1:], strict=False)
        if isinstance(name, ast.Assign)
        and isinstance(name.targets[0], ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
    for member in reasons:
        paragraph = inspect.cleandoc(texts[member.name])
        when, _, says = paragraph.partition(".\n")
        assert says, f"{member}: when, then what it says"
        yield member.value, f"{' '.join(when.split())}.", " ".join(says.split())


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m dst.middleware.refusals_page")
    parser.add_argument("target", nargs="?", type=Path, default=Path(PAGE), help="file to write")
    parser.parse_args(arguments).target.write_text(render())


if __name__ == "__main__":
    main(sys.argv[1:])
