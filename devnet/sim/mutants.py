"""Bugs switched on by name, to prove that the simulator would notice them. None of them touches
`dst`.

A mutant replaces a function of a core, of a shell or of the simulated disk while its context is
open. Each is a mistake that a real implementation has made (`quorum-2f`: Celo #253;
`votes-not-persisted`: Tendermint #10108, CometBFT #6031; `round-change-without-proof`: Anchor
#549), or that this one has (`prepared-block-lost`).
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, TypeAlias

import dst.qbft
import dst.qbft.justification
import dst.qbft.proposing
import dst.qbft.restoring
import dst.rejoin
import dst.sealing
from devnet.sim.disk import Disk
from dst.middleware.catch_up import CatchUp
from dst.middleware.consensus import Consensus
from dst.middleware.proposals import Proposals
from dst.qbft.effects import Broadcast as QbftBroadcast
from dst.qbft.inputs import Input
from dst.qbft.messages import RoundChange, RoundChangeMessage
from dst.qbft.records import CommitRecord, PrepareRecord, Record
from dst.qbft.state import Proposing
from dst.sealing import inputs as sealing_inputs
from dst.sealing.effects import Broadcast, Send
from dst.sealing.messages import PartialSignature
from dst.spec.primitives import Root, faults_tolerated

_append: Final = Disk.append
_seal: Final = dst.sealing.step
_begin: Final = dst.rejoin.begin
_step: Final = dst.qbft.step
_quorums: Final = dst.qbft.proposing.quorums
_AGAIN: Final = (
    sealing_inputs.Start,
    sealing_inputs.PeerConnected,
    sealing_inputs.PartialRequested,
    sealing_inputs.RetransmitDue,
    sealing_inputs.PartialReceived,
)
"""Inputs at which partials are said again."""


def _two_f(n: int) -> int:
    return max(1, 2 * faults_tolerated(n))


def _anything_goes(*_: object) -> bool:
    return True


def _nothing_goes(*_: object) -> bool:
    return False


def _lowest_prepared(claims: Iterable[RoundChange]) -> RoundChange | None:
    locked = [each for each in claims if each.prepared_round is not None]
    return min(locked, key=lambda each: each.prepared_round or 0, default=None)


def _forget_votes(disk: Disk, record: Record) -> None:
    if not isinstance(record, PrepareRecord | CommitRecord):
        _append(disk, record)


def _no_promises(*_: object) -> tuple[Record, ...]:
    return ()


def _say_partials_once(
    state: dst.sealing.State, event: sealing_inputs.Input, config: dst.sealing.Config
) -> dst.sealing.Transition:
    transition = _seal(state, event, config)
    if not isinstance(event, _AGAIN):
        return transition
    kept = tuple(effect for effect in transition.effects if not _is_partial(effect))
    return dst.sealing.Transition(state=transition.state, effects=kept)


def _is_partial(effect: object) -> bool:
    return isinstance(effect, Broadcast | Send) and isinstance(effect.message, PartialSignature)


def _all_or_nothing(
    round_changes: tuple[RoundChangeMessage, ...], quorum: int
) -> Iterator[Proposing]:
    """The leader is held by any claim, whether or not its block can be had."""
    return islice(_quorums(round_changes, quorum), 1)


def _serve_decided_alone(catch_up: CatchUp, root: Root) -> bytes | None:
    """Prepared blocks are forgotten."""
    decided = catch_up._store.decided_by_root(root)
    return None if decided is None else decided.block


def _said_first(
    state: dst.qbft.State, event: Input, config: dst.qbft.Config
) -> dst.qbft.Transition:
    """Effects in another order: what is said first, what it is said on after it."""
    transition = _step(state, event, config)
    said = [each for each in transition.effects if isinstance(each, QbftBroadcast)]
    rest = [each for each in transition.effects if not isinstance(each, QbftBroadcast)]
    return dst.qbft.Transition(state=transition.state, effects=(*said, *rest))


def _no_sync(disk: Disk) -> None:
    """The write is called durable; what only lay in memory goes with the power."""


async def _held_for_ever(*_: object, **__: object) -> bool:
    """A proposal that cannot be judged now is never asked about again."""
    await asyncio.get_running_loop().create_future()
    return False


def _never_imported(*_: object) -> None:
    """Decisions that others bring are thrown away."""


def _lost_store_votes(n: int, *, is_new: bool, rejoin: object) -> dst.rejoin.State:
    """Whoever lost his votes goes on as if he had never voted."""
    return _begin(n, is_new=False, rejoin=None)


Swap: TypeAlias = tuple[Any, str, Callable[..., Any]]
"""(where, attribute, replacement)"""

MUTANTS: Final[dict[str, tuple[Swap, ...]]] = {
    "quorum-2f": ((dst.qbft.justification, "quorum_size", _two_f),),
    "votes-not-persisted": ((Disk, "append", _forget_votes),),
    "proposal-without-justification": (
        (dst.qbft.justification, "is_justified_proposal", _anything_goes),
    ),
    "round-change-without-proof": ((dst.qbft.justification, "is_proven_claim", _anything_goes),),
    "partials-not-resent": ((dst.sealing, "step", _say_partials_once),),
    "certificate-unchecked": ((dst.qbft.justification, "is_valid_certificate", _anything_goes),),
    "signatures-unchecked": ((dst.qbft.justification, "is_authentic", _anything_goes),),
    "lowest-lock-wins": ((dst.qbft.justification, "highest_prepared", _lowest_prepared),),
    "view-rules-for-locked-blocks": ((dst.qbft.justification, "is_forced", _nothing_goes),),
    "prepared-block-lost": (
        (dst.qbft.proposing, "quorums", _all_or_nothing),
        (CatchUp, "_block_with", _serve_decided_alone),
    ),
    "send-before-persist": ((dst.qbft, "step", _said_first),),
    "not-synced": ((Disk, "sync", _no_sync),),
    "hold-for-ever": ((Proposals, "validate", _held_for_ever),),
    "certificates-ignored": ((Consensus, "certificate_received", _never_imported),),
    "lost-store-votes": ((dst.rejoin, "begin", _lost_store_votes),),
    "log-not-read": ((dst.qbft.restoring, "remembered", _no_promises),),
}
"""name -> what is replaced. `prepared-block-lost` takes two: serving prepared blocks, and passing
over a claim whose block is not to be had, each keep the chain going without the other."""


@contextmanager
def mutated(name: str | None) -> Iterator[None]:
    """Run with the mutant `name` switched on (None: with the real thing).

    Raises: KeyError for a name that is not in MUTANTS.
    """
    swaps = () if name is None else MUTANTS[name]
    originals = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in swaps]
    for owner, attribute, replacement in swaps:
        setattr(owner, attribute, replacement)
    try:
        yield
    finally:
        for owner, attribute, original in originals:
            setattr(owner, attribute, original)
