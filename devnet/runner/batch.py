"""A batch of a campaign: runs of one cell, one after another on a network of their own, as a
command of its own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devnet.model.topology import HIGHEST_OFFSET
from devnet.scenarios.matrix import Cell

STRIDE: Final = 2000
"""Ports of one network."""
STOP_S: Final = 90.0
"""A batch takes its fault back and its network down within that."""
PROGRAM: Final = ("-m", "devnet.chaos_cli")
"""Words after Python's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    cell: Cell
    first: int
    count: int

    @property
    def seeds(self) -> range:
        return range(self.first, self.first + self.count)

    def told(self) -> str:
        many = f"seeds {self.first} to {self.seeds[-1]}" if self.count > 1 else f"seed {self.first}"
        return f"{self.cell.told()}, {many}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job's networks live: its folder and its ports are no other job's."""

    directory: Path
    port_offset: int


Launch = Callable[[Batch, Place], Awaitable[None]]
"""Carries a batch out, as far as it can; what it did stands in the folder."""


def networks_from(port_offset: int) -> int:
    """How many have ports side by side, the first from there."""
    return max(0, 1 + (HIGHEST_OFFSET - port_offset) // STRIDE)


def asked_of(batch: Batch, backend: str) -> tuple[str, ...]:
    """What is asked of it wherever it runs."""
    cell = batch.cell
    return (
        "--seed", str(batch.first), "--runs", str(batch.count),
        "--backend", backend, "--cluster", str(cell.cluster),
        "--operators", str(cell.operators), "--slot-seconds", str(cell.slot_seconds),
    )  # fmt: skip


def command_of(
    scenario: Path,
    asked: tuple[str, ...],
    place: Place,
    out: Path,
    program: tuple[str, ...] = PROGRAM,
) -> list[str]:
    """Python's words."""
    return [
        *program, "run", str(scenario), *asked,
        "--port-offset", str(place.port_offset), "--dir", str(place.directory), "--out", str(out),
    ]  # fmt: skip
