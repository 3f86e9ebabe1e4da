"""S3 valid certificates: under the keys of the genesis files, every block is signed by the group
and decided by a quorum.

Each group signature that a node serves verifies, and the block that nodes serve at a height is the
one in the signed root, or leads to one signed at most 64 heights above. Each certificate is a
quorum of votes of different members, all for the same term, height, round and root, each vote's
signature verifies, and the leader of that round proposed nothing else in it. A certificate that
mixes terms is none (S16).
"""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec

from devnet.checkers.base import judge
from devnet.model.history import (
    BlockRead,
    CertificateRead,
    CommitRead,
    EventKind,
    Genesis,
    History,
    Record,
)
from devnet.model.verdict import Verdict, Violation
from dst.crypto import bls, secp256k1
from dst.spec.domains import Domain, signing_root
from dst.spec.primitives import Height, Root, Round, leader_of, quorum

NAME: Final = "S3 valid certificates"
MAX_UNSIGNED_RUN: Final = 64
"""A signed block vouches for at most so many below it that carry no signature of their own."""
VOTE_TAG: Final = b"dst/qbft/1"
CHECKED: Final = 16384
"""Votes are checked once, however many nodes serve them."""


def check(history: History) -> Verdict:
    genesis = history.setup.genesis
    found = [
        _violation(
            f"{refused.node} serves {refused.signature[:18]}… as the group's signature of height "
            f"{refused.height}, and it does not verify",
            refused.monotonic,
            refused.height,
            refused,
        )
        for refused in history.seals_refused
    ]
    looked_at = len(history.seals_refused)
    if genesis is not None:
        found += _forged(history, genesis)
        found += _not_a_quorum(history, genesis)
        looked_at += len(history.group_signatures) + len(history.certificates)
    found += _not_signed(history)
    found += _not_proposed(history)
    return judge(NAME, found, looked_at=looked_at, what="signature{s} and certificates")


# ------------------------------------------------------------------------------ group signatures


def _forged(history: History, genesis: Genesis) -> Iterator[Violation]:
    domain, checked = Domain(_bytes(genesis.seal_domain)), set()
    for seen in history.group_signatures:
        if (seen.root, seen.signature) in checked:
            continue
        checked.add((seen.root, seen.signature))
        message = signing_root(Root(_bytes(seen.root)), domain)
        if not bls.verify(_bytes(genesis.group_public_key), message, _bytes(seen.signature)):
            told = f"height {seen.height}: the group did not sign {seen.root} (from {seen.source})"
            yield _violation(told, seen.monotonic, seen.height, seen)


def _not_signed(history: History) -> Iterator[Violation]:
    """From the highest signed height down; what is above may still get its signature."""
    signed = {seen.height: seen for seen in history.group_signatures if seen.block_hash}
    nodes: dict[str, list[BlockRead]] = {}
    for block in history.blocks:
        nodes.setdefault(block.node, []).append(block)
    for node, blocks in nodes.items():
        due, wanted, by = 0, "", None
        for block in sorted(blocks, key=lambda each: each.height, reverse=True):
            if block.height in signed:
                by = signed[block.height]
                wanted = by.block_hash
            elif block.height != due:
                by = None  # nothing is known of it, or of what is above it
            if by is None:
                continue
            if block.block_hash != wanted or by.height - block.height > MAX_UNSIGNED_RUN:
                told = f"{node} serves {block.block_hash} at height {block.height}"
                yield _violation(
                    f"{told}, for which the group's signature of height {by.height} does not vouch",
                    by.monotonic,
                    block.height,
                    by,
                    block,
                )
            due, wanted = block.height - 1, block.parent_hash


# ---------------------------------------------------------------------------------- certificates


def _not_a_quorum(history: History, genesis: Genesis) -> Iterator[Violation]:
    for certificate in history.certificates:
        wrong = _wrong_with(certificate, genesis)
        if wrong:
            told = f"{certificate.node}'s certificate of height {certificate.height}: {wrong}"
            yield _violation(told, certificate.monotonic, certificate.height, certificate)


def _wrong_with(certificate: CertificateRead, genesis: Genesis) -> str:
    """What, in words; empty when nothing is."""
    decides = (certificate.term, certificate.height, certificate.round, certificate.root)
    members, wanted = len(genesis.identities), quorum(len(genesis.identities))
    voters = [vote.operator for vote in certificate.commits]
    if len(set(voters)) != len(voters):
        return f"operators {sorted(voters)}, one of them twice"
    if len(voters) < wanted:
        return f"{len(voters)} votes, {wanted} are a quorum"
    for vote in certificate.commits:
        if not 0 <= vote.operator < members:
            return f"a vote of operator {vote.operator}, who is no member"
        if (vote.term, vote.height, vote.round, vote.root) != decides:
            return f"a vote for {vote.root} in term {vote.term}, height {vote.height}, round " + (
                f"{vote.round}, where it decides {certificate.root} in round {certificate.round}"
            )
        key = genesis.identities[vote.operator]
        if not _voted(key, vote_digest(genesis, vote), vote.signature):
            return f"a vote that op{vote.operator + 1} did not sign"
    return ""


def vote_digest(genesis: Genesis, vote: CommitRead) -> bytes:
    """What a member signs to commit (docs/consensus.md): written down here once more, since whoever
    judges a program does not ask it."""
    said = msgspec.msgpack.encode(["C", vote.term, vote.height, vote.round, _bytes(vote.root)])
    return hashlib.sha256(VOTE_TAG + _bytes(genesis.validators_root) + said).digest()


@lru_cache(CHECKED)
def _voted(key: str, digest: bytes, signature: str) -> bool:
    return secp256k1.verify(_bytes(key), digest, _bytes(signature))


def _not_proposed(history: History) -> Iterator[Violation]:
    """An operator tells of its own proposals; one that was ended may not have told of one."""
    names = history.setup.operators
    proposed = {
        (event.node, event.height, event.round): event
        for event in history.events
        if event.kind is EventKind.PROPOSAL
    }
    for each in history.certificates:
        leader = names[leader_of(Height(each.height), Round(each.round), len(names))]
        event = proposed.get((leader, each.height, each.round))
        if event is not None and event.root != each.root:
            told = (
                f"height {each.height} is decided on {each.root} in round {each.round}, in which "
            )
            told += f"its leader {leader} proposed {event.root}"
            yield _violation(told, event.monotonic, each.height, event, each)


# ------------------------------------------------------------------------------------------ words


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _violation(summary: str, moment: float, height: int, *witness: Record) -> Violation:
    return Violation(
        checker=NAME, summary=summary, monotonic=moment, height=height, witness=witness
    )
