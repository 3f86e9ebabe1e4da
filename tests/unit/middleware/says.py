"""Messages of any operator of a dealt cluster, signed with its true key."""

from collections.abc import Sequence
from typing import Any

from dst.middleware.wire import root_of
from dst.qbft import messages as qbft
from dst.qbft.messages import Payload, Prepare, Proposal, RoundChange, signing_digest
from dst.spec.cluster import genesis_validators_root
from dst.spec.primitives import Height, OperatorIndex, Root, Round, Term

T0, H1 = Term(0), Height(1)
SOME = Root(b"\x01" * 32)


class Says:
    """Speaks for any operator of the cluster, with its true key."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster

    def sign(self, signer: int, payload: Payload, chain: Root | None = None) -> bytes:
        identity = genesis_validators_root(self.cluster.lock) if chain is None else chain
        return bytes(self.cluster.identities[signer].sign(signing_digest(identity, payload)))

    def signed_prepare(
        self,
        sender: int,
        root: Root = SOME,
        *,
        term: int = 0,
        height: int = 1,
        round_: int = 0,
        signer: int | None = None,
        chain: Root | None = None,
    ) -> qbft.SignedPrepare:
        payload = Prepare(Term(term), Height(height), Round(round_), root)
        key = sender if signer is None else signer
        return qbft.SignedPrepare(payload, OperatorIndex(sender), self.sign(key, payload, chain))

    def prepare(self, sender: int, root: Root = SOME, **rest: Any) -> qbft.PrepareMessage:
        return qbft.PrepareMessage(self.signed_prepare(sender, root, **rest))

    def round_change(
        self,
        sender: int,
        round_: int,
        lock: int | None = None,
        proof: Sequence[qbft.SignedPrepare] = (),
        root: Root = SOME,
        *,
        height: int = 1,
    ) -> qbft.RoundChangeMessage:
        locked = (None, None) if lock is None else (Round(lock), root)
        payload = RoundChange(T0, Height(height), Round(round_), *locked)
        signed = qbft.SignedRoundChange(payload, OperatorIndex(sender), self.sign(sender, payload))
        return qbft.RoundChangeMessage(signed, tuple(proof))

    def proposal(
        self,
        sender: int,
        block: bytes,
        round_: int = 0,
        claims: Sequence[qbft.RoundChangeMessage] = (),
        root: Root | None = None,
        prepares: Sequence[qbft.SignedPrepare] = (),
    ) -> qbft.ProposalMessage:
        payload = Proposal(T0, H1, Round(round_), root_of(block) if root is None else root)
        signed = qbft.SignedProposal(payload, OperatorIndex(sender), self.sign(sender, payload))
        asked = tuple(each.signed for each in claims)
        return qbft.ProposalMessage(signed, block, asked, tuple(prepares))
