"""The middleware's dealt cluster of one is a sequencer's, too."""

from tests.unit.middleware.conftest import single

__all__ = ["single"]
