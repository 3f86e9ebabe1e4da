"""What sequences the chain of a network: our cluster, or a baseline under the same faults."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias


class ClusterKind(StrEnum):
    DST = "dst"
    """n operators, one key split over them, QBFT."""
    SINGLE = "single"
    """One sequencer, one key: what a rollup runs today."""
    STANDBY = "standby"
    """Several that have the same key; who holds a lease on etcd sequences, the others follow."""

    @property
    def is_baseline(self) -> bool:
        return self is not ClusterKind.DST


SIZES: Final[Mapping[ClusterKind, tuple[int, ...]]] = {
    ClusterKind.DST: (1, 4, 7, 10),
    ClusterKind.SINGLE: (1,),
    ClusterKind.STANDBY: (2, 3),
}
"""Sequencers of each."""
USUAL_SIZE: Final[Mapping[ClusterKind, int]] = {
    ClusterKind.DST: 4,
    ClusterKind.SINGLE: 1,
    ClusterKind.STANDBY: 3,
}
LEASE_SECONDS: Final = 5
"""As long as op-conductor is advised to wait for a block before it takes a leader for unhealthy."""
SHORTEST_LEASE: Final = 2
"""One and a half election timeouts of etcd as it is shipped, in whole seconds."""

CellKey: TypeAlias = tuple[str, int, str, int, ClusterKind]
"""Of a campaign's matrix: scenario, operators, regions, slot in seconds, what sequences."""


def sequencers_told(cluster: ClusterKind, operators: int) -> str:
    """`n = 4`, `single`."""
    return str(cluster) if cluster.is_baseline else f"n = {operators}"
