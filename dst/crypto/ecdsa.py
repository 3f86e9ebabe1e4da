"""ECDSA over secp256k1: the one place that picks a library.

In order: coincurve (wheels up to Python 3.13), btclib-secp256k1 (wheels for all). Both bind
libsecp256k1, cost the same (30 us a recovery) and pass the same vectors. pyproject.toml installs
the one that the platform has.
"""

try:
    from dst.crypto.ecdsa_coincurve import NAME, Public, Secret, recover
except ImportError:
    from dst.crypto.ecdsa_btclib import (  # type: ignore[assignment]
        NAME,
        Public,
        Secret,
        recover,
    )

__all__ = ["NAME", "Public", "Secret", "recover"]
