"""What clients do to the network during a run."""

from dataclasses import dataclass
from typing import Final

from devnet.model.terms import Duration

OBJECT_WRITERS: Final = 2
"""Clients that write the register and the bank (`workload.objects`): the last of the accounts are
theirs."""
MAX_SENDERS: Final = 10 - OBJECT_WRITERS
BANK_ACCOUNTS: Final = 4
BANK_COINS: Final = 100
"""Of each account of the bank at first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Signed transfers, open loop. `rate` in transactions per second over all senders."""

    rate: float = 5.0
    senders: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """Transactions that each spend their gas on what is slowest for its price, sent in turn, beside
    the load: the next one goes when the fate of the one before is known."""

    kinds: tuple[str, ...] = ()
    """Names of `devnet.workload.hostile.catalogue`; empty: all of them."""
    gas: int = 10_000_000
    """Of each."""
    patience: Duration = Duration(seconds=30.0)
    """How long a sender waits to learn the fate of one."""
    timeout: Duration = Duration(seconds=600.0)
    """For all of them; what was not sent by then counts against the run."""
