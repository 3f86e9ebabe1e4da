"""The middleware's dealt cluster and the execution layer's node serve here, too."""

from tests.unit.execution.rpc.conftest import rpc
from tests.unit.middleware.conftest import _eventually, cluster, network

__all__ = ["_eventually", "cluster", "network", "rpc"]
