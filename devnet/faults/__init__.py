"""One file a kind of fault, with everything about it: keys, aim, injection, proof, heal.

A kind is found because its file is here; nothing else names it. `devnet.scenarios` reads them,
`devnet.injector` carries them out, `docs/faults.md` lists them.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Final

from devnet.faults.base import Fault


def _every(kind: type[Fault]) -> Iterator[type[Fault]]:
    """Those below it that are done: the shared halves of several have no name."""
    for each in kind.__subclasses__():
        if "name" in vars(each):
            yield each
        yield from _every(each)


def _found() -> Mapping[str, type[Fault]]:
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    kinds = sorted(_every(Fault), key=lambda kind: kind.name)  # type: ignore[type-abstract]
    return MappingProxyType({kind.name: kind for kind in kinds})


KINDS: Final = _found()
"""`do:` of a scenario -> its kind."""
