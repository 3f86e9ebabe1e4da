"""The middleware's dealt cluster and whole operators in one process serve here, too."""

from tests.unit.middleware.conftest import _eventually, cluster, network, running

__all__ = ["_eventually", "cluster", "network", "running"]
