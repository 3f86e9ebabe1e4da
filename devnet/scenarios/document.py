"""One way to read a file of ours: bounded before anything is built from it, and each complaint with
the line where it can be told.

YAML has more than we use. What makes a small file large (aliases) or slow to read (nesting), or
says one thing and then another (a key twice), is refused.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from devnet.scenarios.lines import line_of
from dst.spec.errors import BadConfig

MAX_BYTES: Final = 64 * 1024
"""What we read is a page of text; anything longer is the wrong file."""
MAX_BRACKETS: Final = 2048
"""Opening brackets and braces in all."""
MAX_DEPTH: Final = 16
"""Lists and mappings within each other; what we read has six."""
MAX_COMPLAINT: Final = 2000
"""Letters of one error: it may quote what stands in the file."""
_T = TypeVar("_T")


def read_file(path: Path, parse: Callable[[object], _T], *, kind: str) -> _T:
    """kind: what it should be, for a person. Raises: BadConfig, with file, line and reason."""
    return read_text(text_of(path, kind), parse, what=str(path), kind=kind)


def text_of(path: Path, kind: str) -> str:
    """Not more of it than is read, whatever it is. Raises: BadConfig."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise BadConfig(f"{path}: longer than {MAX_BYTES} bytes, this is no {kind}")
        return data.decode()
    except (OSError, ValueError) as error:  # also of a path with a null, or of no UTF-8
        raise BadConfig(f"{path}: cannot read the {kind}: {error}") from error


def read_text(text: str, parse: Callable[[object], _T], *, what: str, kind: str) -> _T:
    """what: opens every error. Raises: BadConfig."""
    if len(text.encode()) > MAX_BYTES:
        raise BadConfig(f"{what}: longer than {MAX_BYTES} bytes, this is no {kind}")
    if text.count("[") + text.count("{") > MAX_BRACKETS:
        raise BadConfig(f"{what}: more than {MAX_BRACKETS} brackets, this is no {kind}")
    try:
        value = _value_of(text)
    except (yaml.YAMLError, ValueError) as error:
        raise BadConfig(_short(f"{what}: not YAML that we read: {error}")) from error
    try:
        return parse(value)
    except BadConfig as error:
        line = line_of(text, str(error))
        told = f"{what}{f':{line}' if line else ''}: {error}"
        raise BadConfig(_short(told)) from error


def _value_of(text: str) -> Any:
    """Raises: YAMLError; ValueError for a date or number that is none."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.YAMLError(f"anchors and aliases are not read{_at(event.start_mark)}")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f"more than {MAX_DEPTH} levels deep{_at(event.start_mark)}")
    return yaml.load(text, Loader=_Strict)


class _Strict(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.YAMLError(
                        f"the key {key.value!r} is there twice{_at(key.start_mark)}"
                    )
                seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def _at(mark: object) -> str:
    """Where a mark is known."""
    line = getattr(mark, "line", None)
    return "" if line is None else f" (line {line + 1})"


def _short(told: str) -> str:
    return told if len(told) <= MAX_COMPLAINT else f"{told[:MAX_COMPLAINT]} ..."
