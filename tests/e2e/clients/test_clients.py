"""Real clients against anvil and against ours: every step that anvil passes, ours must pass.

A step that fails at anvil asks nothing of ours; its line in the table still tells what ours did.
Both chains run at the same time, and each client has accounts of its own.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.clients.networks import Chain, anvil, ours
from tests.e2e.clients.scripts import CLIENTS, Client, table

pytestmark = pytest.mark.xdist_group("clients")

LEAST_STEPS = {"ethers": 40, "viem": 40, "web3": 30, "cast": 30, "forge": 9}
"""That anvil passes: below it the script is broken, and would ask nothing of ours."""


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Chain, Chain]]:
    with anvil() as theirs, ours(tmp_path_factory.mktemp("clients")) as mine:
        yield theirs, mine


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_ours_passes_what_anvil_passes(chains: tuple[Chain, Chain], client: Client) -> None:
    with ThreadPoolExecutor(2) as pool:
        on_anvil, on_ours = pool.map(client.run, chains)
    told = table(on_anvil, on_ours)
    print(f"\n{client.name}\n{told}")
    required = {step.name for step in on_anvil if step.ok}
    assert len(required) >= LEAST_STEPS[client.name], told
    passed = {step.name for step in on_ours if step.ok}
    assert not required - passed, told
