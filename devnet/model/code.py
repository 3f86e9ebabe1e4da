"""Which code a node runs, as scenarios and commands name it: a revision of this repository, a
folder or a wheel, or one of two words."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from devnet.model.reading import NODE_PATTERN
from dst.spec.errors import BadConfig

OWN: Final = "own"
"""That of the harness itself, which every network runs unless told otherwise."""
COPY: Final = "copy"
"""The same with another version number: for rehearsing the procedure alone."""
_OF_NODE: Final = re.compile(rf"({NODE_PATTERN})=(.*)")
_PLACES: Final = ("/", "./", "../", "~")
WAYS: Final = (
    "a revision of this repository (tag, branch, commit), a folder or wheel that holds `dst/` (a "
    "path, from where the command runs, begins with `/`, `./`, `../` or `~`, or ends in `.whl`), "
    "`own` (the harness's code) or `copy` (the same, told apart by its version number)"
)


def read_code(value: object, where: str) -> str:
    """The name of a version; a path becomes absolute, so that it means the same wherever the
    scenario is written to. Raises: BadConfig."""
    if not isinstance(value, str) or not value.strip():
        raise BadConfig(f"{where}: expected {WAYS}; got {value!r}")
    name = value.strip()
    if is_place(name):
        return str(Path(name).expanduser().absolute())
    if name.startswith("-") or any(letter.isspace() for letter in name):
        raise BadConfig(f"{where}: {name!r} is no revision, and a path begins with ./ or /")
    return name


def is_place(name: str) -> bool:
    return name in (".", "..") or name.startswith(_PLACES) or name.endswith(".whl")


def read_codes(words: Sequence[str], nodes: Sequence[str], where: str) -> dict[str, str]:
    """Node -> version, of those that run another code than the harness's. words: `NODE=VERSION`, or
    `VERSION` for all nodes; the last that names a node counts. Raises: BadConfig."""
    found: dict[str, str] = {}
    for word in words:
        of_node = _OF_NODE.fullmatch(word)
        named, text = (of_node[1],) if of_node else nodes, of_node[3] if of_node else word
        if strange := [node for node in named if node not in nodes]:
            raise BadConfig(f"{where} {word}: no node {strange[0]}; there are {', '.join(nodes)}")
        found |= dict.fromkeys(named, read_code(text, where))
    return {node: name for node, name in found.items() if name != OWN}
