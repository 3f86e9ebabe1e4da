"""`python -m tests.unit.chaos.fake_batch PLAN run ...`: what a batch leaves, of a fake cluster; in
place of `devnet.chaos_cli`.

In the folder PLAN it notes how it was called, and how it ended. A file `hold` there has the number
of runs after which it waits for the end of its standard input; while there is a `linger`, it has
not cleaned up after that."""

import argparse
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec

from devnet.chaos_cli import add_commands
from devnet.scenarios import catalogue
from tests.unit.chaos.test_campaigns import record_run


class Call(msgspec.Struct):
    """state: begun, held (by the file), ended (by itself), stopped (with its standard input)."""

    scenario: str
    seed: int
    runs: int
    port_offset: int
    directory: str
    pid: int
    begun: float
    state: str = "begun"


def calls(plan: Path) -> list[Call]:
    """So far, in their order."""
    found = [msgspec.json.decode(path.read_bytes(), type=Call) for path in plan.glob("*.json")]
    return sorted(found, key=lambda call: call.begun)


def main() -> int:
    plan = Path(sys.argv[1])
    parser = argparse.ArgumentParser()
    add_commands(parser)
    asked = parser.parse_args(sys.argv[2:])
    assert asked.stop_with_stdin
    scenario = catalogue.load(asked.name)
    call = Call(
        scenario.name, asked.seed, asked.runs, asked.port_offset, str(asked.dir), os.getpid(),
        time.monotonic(),
    )  # fmt: skip
    _note(plan, call)
    print(f"this is the batch of seed {asked.seed}", flush=True)
    batch = SimpleNamespace(cell=SimpleNamespace(scenario=scenario, operators=asked.operators))
    for number in range(asked.runs):
        if _held(plan) == number:
            call.state = "held"
            _note(plan, call)
            sys.stdin.buffer.read()
            while (plan / "linger").exists():
                time.sleep(0.02)
            call.state = "stopped"
            _note(plan, call)
            return 3
        record_run(asked.out, batch, asked.seed + number)  # type: ignore[arg-type]
    call.state = "ended"
    _note(plan, call)
    return 0


def _held(plan: Path) -> int:
    try:
        return int((plan / "hold").read_text())
    except FileNotFoundError:
        return -1


def _note(plan: Path, call: Call) -> None:
    path = plan / f"{call.pid}.json"
    path.with_suffix(".new").write_bytes(msgspec.json.encode(call))
    path.with_suffix(".new").rename(path)


if __name__ == "__main__":
    sys.exit(main())
