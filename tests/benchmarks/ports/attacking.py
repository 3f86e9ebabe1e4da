"""`python -m tests.benchmarks.ports.attacking HOST:PORT CRITERIA`: the same search from many
connections, again and again until it is stopped."""

import asyncio
import json
import sys
from typing import Final

import aiohttp
import msgspec

CLIENTS: Final = 80


async def post(session: aiohttp.ClientSession, address: str, body: bytes) -> bytes:
    headers = {"Content-Type": "application/json"}
    async with session.post(f"http://{address}/", data=body, headers=headers) as answer:
        return await answer.read()


async def _attack(address: str, criteria: object) -> None:
    body = msgspec.json.encode(
        {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [criteria]}
    )

    async def again(session: aiohttp.ClientSession) -> None:
        while True:
            await post(session, address, body)

    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(again(session))


if __name__ == "__main__":
    asyncio.run(_attack(sys.argv[1], json.loads(sys.argv[2])))
