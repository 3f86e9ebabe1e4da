"""ethereum/tests: transactions, tries, RLP."""

from collections.abc import Callable

from tests.conformance import vectors
from tests.conformance.paths import ETHEREUM_TESTS
from tests.conformance.tally import Tally


def test_transactions_tries_and_rlp(tally: Callable[[str], Tally]) -> None:
    for counts in vectors.run_all(ETHEREUM_TESTS, tally):
        counts.check()
