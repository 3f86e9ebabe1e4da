"""Whether a Docker daemon has what faults need: found out before anything starts, by a try where
only that can tell."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import docker.errors

from devnet.backends import image
from devnet.backends.base import BackendError
from devnet.backends.docker import ensure_image
from devnet.model.firewall import FIREWALL_CAPABILITIES, FIREWALL_CODE
from devnet.model.means import Means

TRY_TIMEOUT_S: Final = 60
_INFO: Final[Mapping[Means, tuple[str, str]]] = {
    Means.CPU_QUOTA: ("CpuCfsQuota", "hold a container to a share of a processor"),
    Means.MEMORY_LIMIT: ("MemoryLimit", "limit the memory of a container"),
}
"""What the daemon says of itself."""


def require_of_docker(
    client: Any,
    needed: Iterable[Means],
    tools: Mapping[str, Path],
    source: Path,
    say: Callable[[str], None],
) -> None:
    """Raises: BackendError naming what this daemon cannot do, and what can be done about it."""
    info = client.info()
    hint = _hint(info)
    for means in sorted(needed):
        if means in _INFO:
            word, what = _INFO[means]
            if not info.get(word):
                raise BackendError(f"this Docker daemon cannot {what}{hint}")
        else:
            _try_firewall(client, ensure_image(client, tools, source, say), source, hint)


def _hint(info: Mapping[str, Any]) -> str:
    if any("rootless" in option for option in info.get("SecurityOptions") or ()):
        return "; it is a rootless one: use a daemon of root, or leave the fault out"
    return f" (it runs on {info.get('OperatingSystem')}, Linux {info.get('KernelVersion')})"


def _try_firewall(client: Any, tag: str, source: Path, hint: str) -> None:
    """In a container with no network but its own loopback, which is gone afterwards."""
    api = client.api
    binds = [f"{source / path}:{image.APP}/{path}:ro" for path in FIREWALL_CODE]
    made = api.create_container(
        tag,
        command=[f"{image.APP}/bin/python", "-P", "-m", "devnet.firewall.main", "--try"],
        user="0:0",
        host_config=api.create_host_config(
            binds=binds,
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            cap_add=list(FIREWALL_CAPABILITIES),
            security_opt=["no-new-privileges"],
        ),
    )
    try:
        api.start(made["Id"])
        code = api.wait(made["Id"], timeout=TRY_TIMEOUT_S)["StatusCode"]
        said = api.logs(made["Id"]).decode(errors="replace").strip().splitlines()
    except docker.errors.APIError as error:
        raise BackendError(f"no packet filter in containers: {error}{hint}") from error
    finally:
        with contextlib.suppress(docker.errors.APIError):
            api.remove_container(made["Id"], force=True, v=True)
    if code != 0:
        last = said[-1] if said else f"exit code {code}"
        raise BackendError(f"no packet filter in containers: {last}{hint}")
