"""`python -m devnet.baseline --config FILE`: a sequencer. Exit codes as those of `dst`'s roles."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from devnet.baseline.config import Settings, load_settings
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
        description="One sequencer with one key, as a baseline. For test networks alone.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    try:
        settings = load_settings(parser.parse_args(arguments).config)
    except BadConfig as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_CONFIG
    logs.configure(settings.name, settings.log_level)
    return run_role(lambda stop: _serve(settings, stop), log)


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    url, secret, metrics = settings.rollup, settings.own_secret, Metrics()
    async with DstClient(url, secret=secret) as rollup, BeaconClient(url, secret=secret) as beacon:
        sequencer = Sequencer(settings, rollup, beacon, metrics)

        def waits_for() -> tuple[str, ...]:
            reason = sequencer.waits_for()
            return () if reason is None else (reason,)

        app = make_app(metrics, [], health=sequencer.waits_for, waits_for=waits_for)
        async with serving(app, settings.listen, what="sequencer listen"):
            log.info("ready", listen=settings.listen)
            await until(stop, sequencer.run())


if __name__ == "__main__":
    sys.exit(main())
