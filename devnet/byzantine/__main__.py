"""`python -m devnet.byzantine --config FILE --strategy NAME`: `dst middleware --config FILE` as a
liar. Exit codes as there."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from devnet.byzantine.liar import Orders
from devnet.byzantine.middleware import lying
from devnet.byzantine.names import Strategy
from dst.middleware import main as middleware
from dst.spec.errors import BadConfig, DstError, InvalidInput
from dst.spec.primitives import Address, OperatorIndex, parse_hex

BAD_CONFIG: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        orders = Orders(
            fellows=frozenset(map(_operator, options.fellows)),
            censored=_address(options.address),
        )
        if (options.strategy is Strategy.CENSOR) is (orders.censored is None):
            raise BadConfig("--address goes with --strategy censor, and with no other")
        assemble = partial(lying, strategy=options.strategy, orders=orders, seed=options.seed)
        return middleware.run(options.config, assemble=assemble)
    except DstError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_CONFIG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m devnet.byzantine",
        description="An operator's middleware that lies. For test networks alone.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.add_argument("--strategy", type=Strategy, required=True, choices=list(Strategy))
    parser.add_argument(
        "--fellows", nargs="*", default=[], metavar="OP", help="who lies together: op1 op3"
    )
    parser.add_argument("--seed", type=int, default=0, help="of what the strategy draws")
    parser.add_argument("--address", metavar="0x...", help="whom `censor` leaves out")
    return parser


def _operator(name: str) -> OperatorIndex:
    number = name.removeprefix("op")
    if not number.isdecimal() or int(number) < 1:
        raise BadConfig(f"--fellows {name}: expected operators such as op1")
    return OperatorIndex(int(number) - 1)


def _address(text: str | None) -> Address | None:
    if text is None:
        return None
    try:
        return Address(parse_hex(text, 20))
    except InvalidInput as error:
        raise BadConfig(f"--address {text}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
