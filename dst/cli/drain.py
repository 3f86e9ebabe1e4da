"""`dst drain`: before an operator is stopped, it hands over what it leads."""

import argparse
import asyncio
from pathlib import Path
from typing import Final

from dst.apis.drain import Drain, DrainClient
from dst.apis.jwt import load_jwt_secret
from dst.middleware.config import MiddlewareConfig
from dst.runtime.config import load_json, resolve, split_address

EXIT_DRAINED: Final = 0
EXIT_NOT_DRAINED: Final = 1
LOOK_EVERY_S: Final = 0.1
ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def drain(options: argparse.Namespace) -> int:
    """Tell it, wait until nothing is under way, say so; the exit code.

    Raises: DstError where it cannot be told.
    """
    path: Path = options.config
    config = load_json(path, MiddlewareConfig, what="middleware config")
    secret = load_jwt_secret(resolve(path, config.own_secret), what="own secret")
    url = url_of(config.listen, what=f"middleware config {path}: listen")
    if options.undo:
        asyncio.run(_stay(url, secret))
        print(f"{config.name} leads again, from its next turn on")
        return EXIT_DRAINED
    found = asyncio.run(_leave(url, secret, options.within))
    if found.not_yet is not None:
        print(f"{config.name} is not drained after {options.within:g} s: {found.not_yet}")
    elif found.others_lack is not None:
        print(f"{config.name} leads nothing any more, but the chain stands without it: ", end="")
        print(found.others_lack)
    else:
        print(f"{config.name} is drained: it leads nothing; stop its programs now")
        return EXIT_DRAINED
    print("take it back with --undo")
    return EXIT_NOT_DRAINED


def url_of(listen: str, *, what: str) -> str:
    host, port = split_address(listen, what=what)
    host = ANY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _stay(url: str, secret: bytes) -> None:
    async with DrainClient(url, secret=secret) as middleware:
        await middleware.ask("DELETE")


async def _leave(url: str, secret: bytes, within_s: float) -> Drain:
    async with DrainClient(url, secret=secret) as middleware:
        return await middleware.leave(within_s=within_s, look_every_s=LOOK_EVERY_S)
