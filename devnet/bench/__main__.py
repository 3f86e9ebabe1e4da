"""`python -m devnet.bench`: run all benchmarks, print the table, write docs/benchmarks.md."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from devnet.bench.measure import Plan, measure_all
from devnet.bench.page import machine, render_terminal, write_page
from devnet.model.command import escape_what_cannot_be_shown
from devnet.runner.stages import HarnessError
from devnet.toolchain.tools import REPOSITORY
from dst.spec.errors import DstError


def main() -> int:
    """0 when everything was measured, 3 when the harness failed."""
    escape_what_cannot_be_shown()
    parser = argparse.ArgumentParser(prog="devnet.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few of each: tries the benches")
    parser.add_argument("--kills", type=int, default=Plan.__dataclass_fields__["kills"].default)
    parser.add_argument("--no-docker", action="store_true", help="leave the containers out")
    parser.add_argument("--port-offset", type=int, default=2000)
    parser.add_argument("--page", type=Path, help="default: docs/benchmarks.md; none for --quick")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="devnet-bench-"))
    plan = Plan(
        directory=folder / "net",
        root=folder / "runs",
        kills=arguments.kills,
        port_offset=arguments.port_offset,
        docker=not arguments.no_docker,
    )
    # A handful of samples is no table of the day: --quick writes a page only where it is told to.
    usual = None if arguments.quick else REPOSITORY / "docs" / "benchmarks.md"
    code = _measure(plan.quick() if arguments.quick else plan, arguments.page or usual)
    if code == 0:
        shutil.rmtree(folder)
    else:
        print(f"logs and runs are kept in {folder}", file=sys.stderr)
    return code


def _measure(plan: Plan, page: Path | None) -> int:
    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        figures = asyncio.run(measure_all(plan, say))
    except (DstError, HarnessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    print(f"{machine()}\n\n{render_terminal(figures)}")
    if page is not None:
        write_page(page, figures)
        print(f"\nwritten to {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
