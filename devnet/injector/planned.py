"""A fault with every aim and draw resolved: what `resolved.yaml` shows, and the injector carries
out."""

from dataclasses import dataclass

from devnet.faults.base import Fault, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    id: str
    do: Fault
    site: Site
    aimed_height: int
    """The next height when it was aimed."""
    delay_seconds: float = 0.0
    """Drawn wait between the trigger and the call."""
    forever: bool = False
    """It has no end of its own."""

    def told(self) -> str:
        """`kill op3`."""
        return f"{self.do.name} {self.do.told(self.site)}"
