"""What the shells can lack: patches of the middleware, its store, the links and the rollup node.

Where a patch changes nothing that anybody could see, its docstring argues why.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

import devnet.sim.rollup
import dst.qbft
import dst.qbft.proposing
import dst.rollup.halting
import dst.rollup.main
import dst.rollup.operator
from devnet.sim.core_mutants import Swap, all_or_nothing, anything_goes, not_done
from devnet.sim.disk import Disk
from dst.apis.beacon import BeaconClient, HeaderView, beacon_routes
from dst.apis.dst_v1 import dst_v1_routes
from dst.middleware.catch_up import CatchUp
from dst.middleware.consensus import Consensus
from dst.middleware.progress import Progress
from dst.middleware.proposals import Proposals
from dst.middleware.sealing import Sealing
from dst.p2p.framing import LENGTH_BYTES, FrameReader
from dst.qbft import effects as fx
from dst.qbft.inputs import Input
from dst.qbft.records import CommitRecord, PrepareRecord, ProposalRecord, Record
from dst.rollup.follower import Follower
from dst.rollup.halting import Halting
from dst.rollup.importer import Candidate
from dst.rollup.origins import judge_deterministic
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Root

_append: Final = Disk.append
_step: Final = dst.qbft.step
_set_timer: Final = Consensus._set_timer
_perform: Final = Consensus._perform


# ------------------------------------------------------------------------------ what is durable


def _forget_votes(disk: Disk, record: Record) -> None:
    if not isinstance(record, PrepareRecord | CommitRecord):
        _append(disk, record)


def _forget_proposals(disk: Disk, record: Record) -> None:
    if not isinstance(record, ProposalRecord):
        _append(disk, record)


def _no_sync(disk: Disk) -> None:
    """The write is called durable; what only lay in memory goes with the power."""


def _said_first(
    state: dst.qbft.State, event: Input, config: dst.qbft.Config
) -> dst.qbft.Transition:
    """Effects in another order: what is said first, what it is said on after it."""
    transition = _step(state, event, config)
    said = [each for each in transition.effects if isinstance(each, fx.Broadcast)]
    rest = [each for each in transition.effects if not isinstance(each, fx.Broadcast)]
    return dst.qbft.Transition(state=transition.state, effects=(*said, *rest))


# ---------------------------------------------------------------------------- timers and waiting


async def _held_for_ever(*_: object, **__: object) -> bool:
    """A proposal that cannot be judged now is never asked about again."""
    await asyncio.get_running_loop().create_future()
    return False


def _left_running(shell: Consensus, effect: fx.SetTimer) -> None:
    """A timer is never cancelled: neither by a decision, nor by the one that takes its place.

    Equivalent. What a timer says names the height and the round that it guarded, and the core
    drops what names another than the open one (`stale-timer-counts` takes this out, and dies). So a
    decision ends the timers of its height by opening the next, and a round change those of its
    round. Within one round a timer follows another of its kind only when that one has fired: the
    round's is set once, and again by its own expiry for what is left of the round; a repetition is
    set by the one before it.
    """
    shell._timers.pop(effect.kind, None)
    _set_timer(shell, effect)


async def _never_resumed(progress: Progress) -> None:
    """A reset halts for ever, also when it was a fork of the operator's own L1 node."""


# ----------------------------------------------------------------------- asked for and not given


def _serve_decided_alone(catch_up: CatchUp, root: Root) -> bytes | None:
    """Prepared blocks are forgotten."""
    decided = catch_up._store.decided_by_root(root)
    return None if decided is None else decided.block


def _help_nobody(*_: object) -> None:
    """Whoever repeats what is decided long since is not sent the certificate.

    Equivalent, but for the time it takes. A laggard has two more ways to the certificate, and each
    is enough: a message of a height above its own makes it ask the sender (`FetchDecided`), and
    everybody says once a second how far he is, which makes whoever is behind ask one after
    another, four times a second, until it is not (`CatchUp.poll`). `certificates-ignored` closes
    all three, and dies.
    """


# ------------------------------------------------------------------------ what peers make us hold


def _any_length(reader: FrameReader, position: int) -> int | None:
    """The length field is believed."""
    if len(reader._buffer) - position < LENGTH_BYTES:
        return None
    length = int.from_bytes(reader._buffer[position : position + LENGTH_BYTES], "big")
    end = position + LENGTH_BYTES + length
    return end if len(reader._buffer) >= end else None


# ------------------------------------------------------------------------------- the rollup node


async def _expose_what_we_hold(follower: Follower, source: BeaconClient, view: HeaderView) -> None:
    """Whatever was not on our chain when the source was asked is another branch."""
    branch: list[Candidate] = []
    wanted = view.root
    while follower._chain.store.by_root(wanted) is None:
        signature = None if branch else view.signature
        branch.insert(0, await follower._fetch_root(source, wanted, signature))
        wanted = branch[0].block.parent_root
    follower._importer.report_double(branch[0].height, branch, source.url)
    raise InvalidInput("its branch leaves our chain")


def _origin_must_be_known(
    lock: Any, l1: Any, parent: Any, block: Any, **_: object
) -> Awaitable[Any]:
    """Also for a justified block, whose origin f+1 honest operators have seen."""
    return judge_deterministic(lock, l1, parent, block)


async def _ask_about_a_missed_height(self: Consensus, decided: fx.Decided) -> None:
    """A new store that was late, or left out, takes itself for one that lost its votes."""
    if decided.imported and not decided.took_part and decided.certificate.height == 1:
        await self._progress.vote_forgotten()
        if self._started:
            self._pause()


async def _said_all_the_same(shell: Consensus, effect: fx.Effect, event: Input) -> None:
    """A halt, or a vote that was forgotten, stops the next step and not what this one says."""
    match effect:
        case fx.Broadcast(message=message):
            shell._network.broadcast(message)
        case fx.Send(to=to, message=message):
            shell._network.send(to, message)
        case _:
            await _perform(shell, effect, event)


SHELL_MUTANTS: Final[dict[str, tuple[Swap, ...]]] = {
    "votes-not-persisted": ((Disk, "append", _forget_votes),),
    "proposals-not-persisted": ((Disk, "append", _forget_proposals),),
    "not-synced": ((Disk, "sync", _no_sync),),
    "send-before-persist": ((dst.qbft, "step", _said_first),),
    "any-height-will-do": (
        (Proposals, "_extends_head", anything_goes),
        (devnet.sim.rollup, "is_of_height", anything_goes),
    ),
    "hold-for-ever": ((Proposals, "validate", _held_for_ever),),
    "timer-not-cancelled": ((Consensus, "_set_timer", _left_running),),
    "no-resend-on-reconnect": (
        (Consensus, "peer_connected", not_done),
        (Sealing, "peer_connected", not_done),
    ),
    "block-not-served": ((CatchUp, "_block_with", not_done),),
    "certificates-ignored": ((Consensus, "certificate_received", not_done),),
    "no-help-for-laggards": ((CatchUp, "help_laggard", _help_nobody),),
    "frame-length-unchecked": ((FrameReader, "_frame_end", _any_length),),
    "prepared-block-lost": (
        (dst.qbft.proposing, "quorums", all_or_nothing),
        (CatchUp, "_block_with", _serve_decided_alone),
    ),
    "own-api-is-public": (
        (dst.rollup.main, "reading_routes", beacon_routes),
        (dst.rollup.main, "telling_routes", dst_v1_routes),
    ),
    "own-chain-is-a-branch": (
        (Follower, "_expose", _expose_what_we_hold),
        (dst.rollup.halting, "conflict", anything_goes),
    ),
    "forgotten-origin-holds": (
        (dst.rollup.operator, "judge_deterministic", _origin_must_be_known),
    ),
    "missed-height-asks": ((Consensus, "_judge_store", _ask_about_a_missed_height),),
    "sends-while-halted": ((Consensus, "_perform", _said_all_the_same),),
    "halt-for-ever": ((Progress, "resume", _never_resumed),),
    "reset-for-ever": ((Halting, "reset_ended", not_done),),
}
"""name -> what is replaced. `prepared-block-lost` takes two: serving prepared blocks, and passing
over a claim whose block is not to be had, each keep the chain going without the other. So does
`own-chain-is-a-branch`: claims that do not conflict stop nobody."""
