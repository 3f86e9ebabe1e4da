"""Role configuration files: one JSON file decoded into one frozen Struct, paths relative to the
file's folder."""

from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from dst.runtime.places import MAX_CONNECTIONS
from dst.spec.errors import UNREADABLE, BadConfig

T = TypeVar("T")
ConnectionsPerAddress: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_CONNECTIONS)]
"""A setting of every role that listens."""


def load_json(path: Path, kind: type[T], *, what: str) -> T:
    """Decode a JSON file of ours. Raises: BadConfig naming the file and the field at fault."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadConfig(f"{what} {path}: {error.strerror}") from None
    try:
        return msgspec.json.decode(data, type=kind)
    except UNREADABLE as error:
        raise BadConfig(f"{what} {path}: {error}") from None


def resolve(config_path: Path, relative: str) -> Path:
    """A path in a config file, relative to that file's folder. Raises: BadConfig."""
    try:
        return (config_path.parent / relative).resolve()
    except ValueError:
        raise BadConfig(f"{config_path}: {relative!r} is not a path") from None


def check_url(text: str, *, what: str) -> str:
    """An address of another program. Raises: BadConfig."""
    if not text.startswith(("http://", "https://")):
        raise BadConfig(f"{what}: expected an http:// URL, got {text!r}")
    return text


def split_address(text: str, *, what: str) -> tuple[str, int]:
    """`host:port` -> (host, port). Raises: BadConfig."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadConfig(f"{what}: expected host:port, got {text!r}")
    return host, int(port)
