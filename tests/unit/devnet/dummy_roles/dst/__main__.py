"""Dummy roles with the real ones' command line, ports and links: enough to bring a network up
without a chain.

A middleware keeps a TCP connection to each peer and reports it; a rollup node claims one sealed
block.
"""

import argparse
import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

STATUS = {
    "decided_height": 1, "decided_slot": 1, "decided_root": "0x" + "00" * 32, "sealed_height": 1,
    "unsafe": 1, "safe": 0, "finalized": 0, "l1_head": 1, "reset_height": None,
}  # fmt: skip


async def hold_connection(host: str, port: int, up: dict[str, bool], name: str) -> None:
    """Connect, notice the end, connect again: a link as far as a proxy can tell."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"x")
            up[name] = await reader.read(1) == b"x"
            await reader.read(1)
            writer.close()
        except OSError:
            pass
        up[name] = False
        await asyncio.sleep(0.05)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(100):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--new", action="store_true")
    options = parser.parse_args()
    config = json.loads(options.config.read_text())
    store = options.config.parent / config["data_dir"] / "store"
    if options.role in ("middleware", "validator") and options.new == store.exists():
        raise SystemExit(f"error: --new is {options.new} and the store exists: {store.exists()}")
    store.write_text("x")
    up: dict[str, bool] = {}

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            text="".join(f'dst_p2p_link_up{{peer="{peer}"}} {int(ok)}\n' for peer, ok in up.items())
        )

    async def status(_request: web.Request) -> web.Response:
        return web.json_response(STATUS)

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    application.router.add_get("/healthz", status)
    application.router.add_get("/dst/v1/status", status)
    for key in ("engine_listen", "rpc_listen", "listen"):
        if key in config:
            host, _, port = config[key].rpartition(":")
            runner = web.AppRunner(application)
            await runner.setup()
            await web.TCPSite(runner, host, int(port)).start()
    if "p2p_listen" in config:
        host, _, port = config["p2p_listen"].rpartition(":")
        await asyncio.start_server(echo, host, int(port))
    dials = {f"op{peer['index']}": peer["address"] for peer in config.get("peers", [])}
    for key in ("engine", "rollup", "beacon", "l1"):
        if key in config:
            dials[key] = urlsplit(config[key]).netloc
    print("ready", options.role, flush=True)
    async with asyncio.TaskGroup() as group:
        for name, address in dials.items():
            host, _, port = address.rpartition(":")
            group.create_task(hold_connection(host, int(port), up, name))
        await asyncio.Event().wait()


asyncio.run(main())
