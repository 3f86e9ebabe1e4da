"""TLS 1.3, mutual, with self-signed certificates pinned to operators by the SHA-256 of their SPKI.

The trust anchors are exactly the other operators' certificates; there is no authority, no host name
and no expiry policy beyond the certificate's own. Which operator a connection belongs to is read
from the presented key.
Source: RFC 8446; RFC 5280 section 4.1 (SubjectPublicKeyInfo).
"""

import hashlib
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dst.spec.errors import BadConfig
from dst.spec.primitives import OperatorIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsIdentity:
    """What one operator needs for its links: two contexts, and whose key is whose."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    pins: Mapping[bytes, OperatorIndex]

    def peer_of(self, connection: ssl.SSLObject) -> OperatorIndex | None:
        """The operator whose pinned key the other side presented; None for a stranger."""
        certificate = connection.getpeercert(binary_form=True)
        return None if certificate is None else self.pins.get(spki_hash(certificate))


def spki_hash(certificate_der: bytes) -> bytes:
    """SHA-256 over the DER SubjectPublicKeyInfo: survives re-issuing a certificate for the same
    key."""
    key = x509.load_der_x509_certificate(certificate_der).public_key()
    return hashlib.sha256(
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).digest()


def load_identity(
    *,
    own_certificate: Path,
    own_key: Path,
    own_pin: bytes,
    peers: Iterable[tuple[OperatorIndex, Path, bytes]],
) -> TlsIdentity:
    """Build both contexts from PEM files. `peers` yields (index, certificate file, pinned SPKI
    hash) of the others.

    Raises: BadConfig naming the file that is missing, broken, or not the one the cluster lock pins.
    """
    _check_pin(own_certificate, own_pin)
    anchors, pins = [], {}
    for index, path, pin in peers:
        anchors.append(_check_pin(path, pin))
        pins[pin] = index
    contexts = [_context(side, own_certificate, own_key, anchors) for side in _SIDES]
    return TlsIdentity(server=contexts[0], client=contexts[1], pins=pins)


_SIDES = (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT)


def _check_pin(path: Path, pin: bytes) -> bytes:
    """The certificate of a PEM file in DER, after checking that it holds the pinned key."""
    try:
        der = x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
    except OSError as error:
        raise BadConfig(f"transport certificate {path}: {error.strerror}") from None
    except ValueError as error:
        raise BadConfig(f"transport certificate {path} is not a PEM certificate: {error}") from None
    if spki_hash(der) != pin:
        raise BadConfig(
            f"transport certificate {path} holds key {spki_hash(der).hex()}, but the cluster lock"
            f" pins {pin.hex()}; take the file that belongs to this lock"
        )
    return der


def _context(
    side: "ssl._SSLMethod", certificate: Path, key: Path, anchors: list[bytes]
) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if side == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # no resumption: every connection proves its key again
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise BadConfig(
            f"transport key {key} does not fit certificate {certificate}: {error}"
        ) from None
    if anchors:
        context.load_verify_locations(cadata=b"".join(anchors))
    return context
