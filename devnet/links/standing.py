"""What stands on the links, as it was asked for: what a Toxiproxy that is started anew is set up
from.

Faults come from more than one process (the harness's own, `devnet chaos`, `devnet verify`), and one
that has just been healed must not come back with its server. So whoever changes a link writes it
here first, and asks the server then. What cannot be written is not done, but it is taken back.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from devnet.links.toxiproxy import Proxy, proxy_from
from devnet.model.whole import write_whole
from dst.spec.errors import DstError


class StandingLost(DstError):
    """The file could not be read or written."""


def standing_in(directory: Path) -> "Standing":
    """Of the network in this folder."""
    return Standing(directory / "run" / "links.json")


@dataclass(frozen=True, slots=True)
class Standing:
    """A file that all processes of a network share; no file: all links are as at the start.

    Raises (all but `clear`): StandingLost.
    """

    path: Path

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)

    def read(self) -> dict[str, Proxy]:
        """Link name -> how it was last asked to be; those that no fault has touched are absent."""
        try:
            written = json.loads(self.path.read_text())
            return {name: proxy_from(entry) for name, entry in written.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            words = f"{self.path} cannot be read: {error}; start the network anew"
            raise StandingLost(words) from error

    @contextmanager
    def changing(self) -> Iterator[dict[str, Proxy]]:
        """To change in place, by one process at a time; written whole or not at all."""
        try:
            self.path.parent.mkdir(exist_ok=True)
            with self.path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                known = self.read()
                yield known
                said = json.dumps({name: asdict(proxy) for name, proxy in known.items()})
                write_whole(self.path, said.encode())
        except OSError as error:
            raise StandingLost(f"{self.path} cannot be written: {error}; make room") from error
