"""The node that most tests ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dst.execution.rpc.dev_accounts import dev_keys
from tests.unit.execution.rpc.bench import Rpc, running
from tests.unit.execution.rpc.contracts import CODES
from tests.unit.execution.worlds import ADDRESSES, RICH, make_world


@pytest.fixture
def rpc(tmp_path: Path) -> Iterator[Rpc]:
    """A dev network: five funded keys of the tests, and the ten public accounts."""
    balances = dict.fromkeys((*ADDRESSES, *(key.address for key in dev_keys())), RICH)
    world = make_world(tmp_path, CODES, balances=balances)
    with running(world) as bench:
        yield bench
    world.store.close()
