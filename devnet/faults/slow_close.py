from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from devnet.faults import keys
from devnet.faults.on_links import Shaping
from devnet.model.terms import Duration


@dataclass(frozen=True, kw_only=True)
class SlowClose(Shaping):
    """The end of a connection reaches its other end late."""

    name: ClassVar = "slow-close"
    toxic: ClassVar = "slow_close"

    delay: Duration = keys.duration("how late", default=Duration(seconds=1.0))

    def attributes(self) -> Mapping[str, int]:
        return {"delay": round(self.delay.seconds * 1000)}

    def shape_told(self) -> str:
        return f"closes {self.delay.seconds:g} s late"
