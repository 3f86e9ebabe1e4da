"""Finding scenarios: by name in the catalogue, or by path to a YAML file of the user's."""

from pathlib import Path
from typing import Final

from devnet.scenarios.document import text_of
from devnet.scenarios.parse import KIND, parse_text
from devnet.scenarios.scenario import Scenario
from dst.spec.errors import BadConfig

FOLDER: Final = Path(__file__).parent
ORDER: Final = (
    "follower-restart",
    "steady",
    "operator-restart",
    "leader-kill",
    "leader-freeze",
    "leader-isolated",
    "leader-blackhole",
    "split-2-2",
    "split-3-1",
    "overlapping-majorities",
    "bridge",
    "one-way",
    "flapping-links",
    "swizzle",
    "all-restart",
    "planned-restart",
    "planned-drain",
    "restart-loop",
    "execution-killed",
    "host-lost",
    "packet-blackhole",
    "cpu-starved",
    "out-of-memory",
    "l1-unreachable",
    "l1-torn",
    "l1-lags",
    "l1-reorg",
    "l1-wrong-blocks",
    "l1-lies-to-one",
    "l1-lies-to-all",
    "engine-syncing",
    "engine-invalid",
    "engine-500",
    "validator-late",
    "follower-lied-to",
    "resets",
    "torn-frames",
    "wan-50ms",
    "world",
    "slow-engine",
    "clock-offset",
    "clock-jump",
    "clock-drift",
    "slow-fsync",
    "full-disk",
    "crash-after-persist",
    "crash-points",
    "power-loss",
    "lost-store-rejoin",
    "old-copy",
    "old-copy-forgotten",
    "rolling-restart",
    "rolling-upgrade",
    "flipped-bytes",
    "hostile-transactions",
    "byzantine-equivocate",
    "byzantine-withhold-block",
    "byzantine-claim-lock",
    "byzantine-silent-after-prepare",
    "byzantine-forge-round-changes",
    "byzantine-bad-partials",
    "byzantine-false-status",
    "byzantine-flood",
    "byzantine-censor",
    "byzantine-invalid-block",
    "byzantine-stale-resend",
    "byzantine-pass-and-propose",
    "beyond-f-equivocate",
    "beyond-f-silent",
    "beyond-f-claim-lock",
    "beyond-f-false-status",
    "beyond-f-forge-round-changes",
    "bug-stale-reads",
    "bug-wrong-balance",
    "bug-moved-receipts",
    "bug-lost-transactions",
    "bug-double-signature",
)
"""How `devnet chaos list` shows them: from harmless to hard; files not named here follow by
name."""


def names() -> tuple[str, ...]:
    """Names of the catalogue's scenarios, in the order they are shown."""
    found = {path.stem for path in FOLDER.glob("*.yaml")}
    known = [name for name in ORDER if name in found]
    return (*known, *sorted(found - set(known)))


def possible_on(backend: str) -> tuple[str, ...]:
    """Names of those whose every fault this backend can do."""
    return tuple(
        name for name in names() if all(backend in fault.do.backends for fault in load(name).faults)
    )


def load_file(path: Path) -> Scenario:
    """Raises: BadConfig when the file cannot be read or says something it should not."""
    return parse_text(text_of(path, KIND), what=str(path))


def load(name: str) -> Scenario:
    """A scenario of the catalogue, or of the file whose path is given.

    Raises: BadConfig, which lists the names there are.
    """
    if name in names():
        return load_file(FOLDER / f"{name}.yaml")
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        return load_file(path)
    raise BadConfig(
        f"no scenario {name!r}; known: {', '.join(names())}; or give the path of a YAML file"
    )
