"""What faults need beyond a backend, asked before anything starts."""

from collections.abc import Callable, Collection

from devnet.backends.cgroups import require_cpu_groups
from devnet.backends.memory_groups import require_memory_groups
from devnet.model.means import Means
from devnet.toolchain.tools import REPOSITORY, ensure_all


def require_means(needed: Collection[Means], backend: str, say: Callable[[str], None]) -> None:
    """Raises: BackendError naming what this machine has not, and what can be done about it."""
    if backend == "process" and Means.CPU_QUOTA in needed:
        require_cpu_groups()
    if backend == "process" and Means.MEMORY_LIMIT in needed:
        require_memory_groups()
    if not needed or backend != "docker":
        return
    from devnet.backends.docker import docker_client
    from devnet.backends.means import require_of_docker

    client = docker_client()
    try:
        require_of_docker(client, needed, ensure_all(), REPOSITORY, say)
    finally:
        client.close()
