"""The only holder of the key share. What leaves it are signatures; what enters is checked against
the store first.
"""

from dst.crypto import bls
from dst.runtime.crash_points import crash_point
from dst.spec.domains import Domain, randao_signing_root, signing_root
from dst.spec.primitives import BLSPubkey, BLSSignature, Root, Slot
from dst.validator.protection import ProtectionStore


class Signer:
    """Signs block roots and RANDAO reveals of one chain with one key share."""

    def __init__(
        self,
        share: bls.SecretShare,
        store: ProtectionStore,
        *,
        proposer_domain: Domain,
        randao_domain: Domain,
    ) -> None:
        self._share = share
        self._store = store
        self._proposer_domain = proposer_domain
        self._randao_domain = randao_domain
        self._reveal: tuple[int, BLSSignature] | None = None
        self.public_key: BLSPubkey = bls.public_key(share)

    def sign_block(
        self, slot: Slot, block_root: Root, *, owed_from: Slot | None = None
    ) -> BLSSignature:
        """Partial signature over a block root. The record is on disk before the signature is made.

        Args:
            owed_from: see `ProtectionStore.record`.
        Raises: SlashingRefused; DiskFull.
        """
        message = signing_root(block_root, self._proposer_domain)
        self._store.record(slot, message, owed_from=owed_from)
        crash_point("protection-before-signature")
        return self._checked(message)

    def randao_reveal(self, epoch: int) -> BLSSignature:
        """Partial signature over an epoch number; the same for all slots of the epoch, so the last
        one is kept.
        """
        if self._reveal is None or self._reveal[0] != epoch:
            message = randao_signing_root(epoch, self._randao_domain)
            self._reveal = (epoch, self._checked(message))
        return self._reveal[1]

    def _checked(self, message: Root) -> BLSSignature:
        signature = bls.sign(self._share, message)
        # A fault while signing (memory, library) must not leave the process: a wrong signature may
        # leak the key.
        assert bls.verify(self.public_key, message, signature), "own signature does not verify"
        return signature
