"""What was tested: a digest of the sources and of the tools that a run is made of. Runs of two
products are not of one distribution."""

import platform
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

import devnet
import dst
from devnet.toolchain.tools import TOOLS

READERS: Final = ("bench", "checkers", "report", "sim", "views")
"""Packages of `devnet` that read what a run left: a run is the same whatever they say of it."""


class Product(msgspec.Struct, frozen=True):
    digest: str
    """Of sources and tools together."""
    tools: dict[str, str]
    """Name -> version."""


@cache
def product() -> Product:
    """Read once: what runs is what was there when this process began."""
    return product_on_disk()


def product_on_disk() -> Product:
    """What a process that begins now would be."""
    tools = {"python": platform.python_version(), **{tool.name: tool.version for tool in TOOLS}}
    found = blake2b(repr(sorted(tools.items())).encode(), digest_size=16)
    for package in (dst, devnet):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root.parent)
            if path.suffix in (".py", ".json") and not _only_reads(name):
                found.update(f"{name}\n".encode())
                found.update(blake2b(path.read_bytes()).digest())
    return Product(found.hexdigest(), tools)


def _only_reads(name: Path) -> bool:
    is_schema = name.name.endswith(".schema.json")
    return is_schema or (name.parts[0] == "devnet" and name.parts[1] in READERS)
