"""Random blocks of our engine against unmodified py-evm, within a minute."""

import itertools
from collections.abc import Callable

import pytest

from tests.conformance.differential import campaign, stock
from tests.conformance.differential.generator import STOCK
from tests.conformance.evm_thread import on_evm_thread
from tests.conformance.tally import Tally

SECONDS = 60.0


@pytest.mark.filterwarnings("ignore:SELFDESTRUCT")
def test_stock_differential(tally: Callable[[str], Tally]) -> None:
    counts = tally("random blocks against stock py-evm")
    seed, alone = campaign.first_seed()
    work = campaign.Campaign(
        name="stock_differential",
        profile=STOCK,
        judge=stock.disagreement,
        seeds=(seed,) if alone else itertools.count(seed),
        seconds=SECONDS,
    )
    on_evm_thread(lambda: campaign.run(work, counts))
    counts.check()
