"""`python -m devnet.baseline --config FILE`: a sequencer. Exit codes as those of `dst`'s roles."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devnet.baseline.config import Settings, load_settings
from devnet.baseline.following import Following
from devnet.baseline.lease import Lease
from devnet.baseline.sequencer import Sequencer, log
from dst.apis.beacon import BeaconClient
from dst.apis.dst_v1 import DstClient
from dst.runtime import log as logs
from dst.runtime.http import make_app, serving
from dst.runtime.metrics import Metrics
from dst.runtime.service import EXIT_BAD_CONFIG, run_role, until
from dst.spec.errors import BadConfig


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m devnet.baseline",
        description="A sequencer with the whole key, as a baseline. For test networks alone.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    try:
        settings = load_settings(parser.parse_args(arguments).config)
    except BadConfig as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_CONFIG
    logs.configure(settings.name, settings.log_level)
    return run_role(lambda stop: _serve(settings, stop), log)


@dataclass(slots=True)
class Program:
    """A sequencer, and what makes it one of several."""

    sequencer: Sequencer
    lease: Lease | None = None
    following: list[Following] = field(default_factory=list)

    @classmethod
    def of(
        cls, settings: Settings, rollup: DstClient, beacon: BeaconClient, metrics: Metrics
    ) -> "Program":
        several = settings.standby
        if several is None:
            return cls(Sequencer(settings, rollup, beacon, metrics))
        lease = Lease(several.etcd, settings.name, several.lease_seconds, metrics)
        sequencer = Sequencer(settings, rollup, beacon, metrics, leads=lease.holds)
        others = [Following(each.name, each.url, sequencer, metrics) for each in several.peers]
        return cls(sequencer, lease, others)

    def loops(self) -> list[Awaitable[None]]:
        lease = [] if self.lease is None else [self.lease.run()]
        return [self.sequencer.run(), *lease, *(each.run() for each in self.following)]

    def waits_for(self) -> tuple[str, ...]:
        lease = None if self.lease is None else self.lease.waits_for()
        told = (self.sequencer.waits_for(), lease, *(each.waits_for() for each in self.following))
        return tuple(reason for reason in told if reason is not None)


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    url, secret, metrics = settings.rollup, settings.own_secret, Metrics()
    async with DstClient(url, secret=secret) as rollup, BeaconClient(url, secret=secret) as beacon:
        program = Program.of(settings, rollup, beacon, metrics)
        app = make_app(metrics, [], health=program.sequencer.waits_for, waits_for=program.waits_for)
        async with serving(app, settings.listen, what="sequencer listen"):
            log.info("ready", listen=settings.listen)
            await until(stop, *program.loops())


if __name__ == "__main__":
    sys.exit(main())
