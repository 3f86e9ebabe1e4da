"""An operator of a test network that lies in a process of its own, so that the work of lying is not
its victims': `python -m tests.unit.byzantine.apart CLUSTER FOLDER BEGAN STRATEGY PORT...`.

Ends with its standard input, and so with whoever started it."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

from devnet.byzantine.names import Strategy
from tests.unit.byzantine.test_middleware import liar
from tests.unit.middleware.conftest import Network, load_cluster

LIAR = 3
REPOSITORY = Path(__file__).parents[3]


@contextmanager
def lying_apart(network: Network, strategy: Strategy) -> Iterator[None]:
    """Operator 4 of that network."""
    words = [network.cluster.folder, network.folder, network.began, strategy, *network.ports]
    command = [sys.executable, "-m", __name__, *map(str, words)]
    with Popen(command, cwd=REPOSITORY, stdin=PIPE, stdout=DEVNULL) as process:
        try:
            yield
            assert process.poll() is None, "the liar ended on its own"
        finally:
            process.kill()


async def _lie(words: Sequence[str]) -> None:
    cluster, folder, began, strategy, *ports = words
    network = Network(
        load_cluster(Path(cluster)), Path(folder), list(map(int, ports)), began=float(began)
    )
    async with network.operator(LIAR, assemble=liar(Strategy(strategy))):
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_lie(sys.argv[1:]))
