"""Another version of the code, made in a folder: a copy of `dst` in which lines are other ones."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
VERSION: Final = "9.9.9"
_NOTHING: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({})


def other_version(
    folder: Path, changes: Mapping[str, tuple[str, str]] = _NOTHING, version: str = VERSION
) -> Path:
    """changes: file below `dst` -> text that is there once, and what takes its place."""
    shutil.copytree(
        REPOSITORY / "dst", folder / "dst", ignore=shutil.ignore_patterns("__pycache__")
    )
    own = (REPOSITORY / "dst" / "__init__.py").read_text().split('__version__ = "')[1].split('"')[0]
    stamped = {"__init__.py": (f'__version__ = "{own}"', f'__version__ = "{version}"')}
    for name, (old, new) in {**stamped, **changes}.items():
        path = folder / "dst" / name
        source = path.read_text()
        assert source.count(old) == 1, f"{old!r} is there {source.count(old)} times in {name}"
        path.write_text(source.replace(old, new))
    return folder
