"""`python -m devnet.bugs --config FILE --bug NAME --role ROLE`: `dst ROLE --config FILE` with that
bug. Exit codes as there."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from devnet.bugs.names import KNOWN, Bug
from dst.spec.errors import BadConfig, DstError

BAD_CONFIG: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return _run(options.bug, options.role, options.config)
    except DstError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_CONFIG


def _run(bug: Bug, role: str, config: Path) -> int:
    """A role's package is imported only when that role runs, as in `dst`. Raises: BadConfig."""
    if role not in KNOWN[bug].roles:
        raise BadConfig(f"--bug {bug} sits in the {' and the '.join(KNOWN[bug].roles)}")
    match role:
        case "execution":
            from devnet.bugs.answers import seeded
            from dst.execution import main as execution

            return execution.run(str(config), assemble=seeded(bug))
        case "middleware":
            from devnet.bugs.signatures import credulous
            from dst.middleware import main as middleware

            return middleware.run(config, assemble=credulous)
        case _:
            from devnet.bugs.signatures import ForgetfulClient
            from dst.validator import main as validator

            return validator.run(config, client=ForgetfulClient)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m devnet.bugs",
        description="A node's program with a seeded bug. For test networks alone.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.add_argument("--bug", type=Bug, required=True, choices=list(Bug))
    roles = sorted({role for known in KNOWN.values() for role in known.roles})
    parser.add_argument("--role", required=True, choices=roles)
    return parser


if __name__ == "__main__":
    sys.exit(main())
