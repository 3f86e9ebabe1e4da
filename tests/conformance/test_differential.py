"""Random blocks of our engine against unmodified py-evm, for most of a minute; against geth for
half of one where a geth is there (`make geth`)."""

import itertools
from collections.abc import Callable, Iterable

import pytest

from tests.conformance.differential import campaign
from tests.conformance.differential.geth import GETH_VERSION, find_geth
from tests.conformance.evm_thread import on_evm_thread
from tests.conformance.tally import Tally

STOCK_SECONDS, GETH_SECONDS = 45.0, 30.0
MakeTally = Callable[[str], Tally]


def seeds() -> Iterable[int]:
    """`SEED=7`: that plan alone."""
    seed, alone = campaign.first_seed()
    return (seed,) if alone else itertools.count(seed)


@pytest.mark.filterwarnings("ignore:SELFDESTRUCT")
def test_stock_differential(tally: MakeTally) -> None:
    counts = tally("random blocks against stock py-evm")
    on_evm_thread(lambda: campaign.run(campaign.against_stock(seeds(), STOCK_SECONDS), counts))
    counts.check()


@pytest.mark.filterwarnings("ignore:SELFDESTRUCT")
def test_geth_differential(tally: MakeTally) -> None:
    geth = find_geth()
    counts = tally("random blocks against geth")
    if geth is None:
        counts.skip(f"no geth {GETH_VERSION}: make geth, or GETH=FILE")
        pytest.skip(f"no geth {GETH_VERSION}")
    on_evm_thread(lambda: campaign.run(campaign.against_geth(geth, seeds(), GETH_SECONDS), counts))
    counts.check()
