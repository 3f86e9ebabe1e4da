"""What two versions have to agree on to take over each other's work, as one version tells it:
formats of stores and files, the protocol between operators, keys of configuration files.

`dst formats` prints it. Where two versions print the same numbers, an operator can be stopped,
started with the other version on the same data, and back; where one of them differs, the start or
the link is refused by name.
"""

from importlib import import_module
from typing import Any, Final

import msgspec

from dst import __version__
from dst.runtime.build import code_digest

_CONFIGS: Final = {
    "execution": ("dst.execution.config", "ExecutionConfig"),
    "rollup": ("dst.rollup.config", "RollupConfig"),
    "middleware": ("dst.middleware.config", "MiddlewareConfig"),
    "validator": ("dst.validator.main", "ValidatorConfig"),
}


def formats() -> dict[str, Any]:
    """For JSON. Every role's program is imported, so that a package which is missing here is missed
    here."""
    from dst.execution.store import FORMAT as EXECUTION
    from dst.middleware.store import SCHEMA_VERSION as MIDDLEWARE
    from dst.p2p.handshake import PROTOCOL_VERSION
    from dst.rollup.store import FORMAT as ROLLUP
    from dst.spec.cluster import LOCK_FILE_VERSION
    from dst.validator.protection import SCHEMA_VERSION as VALIDATOR

    for role in _CONFIGS:
        import_module(f"dst.{role}.main")
    return {
        "version": __version__,
        "code": code_digest(),
        "lock_file": LOCK_FILE_VERSION,
        "links": PROTOCOL_VERSION,
        "stores": {
            "execution": int(EXECUTION),
            "rollup": int(ROLLUP),
            "middleware": MIDDLEWARE,
            "validator": int(VALIDATOR),
        },
        "config": {role: _keys(*where) for role, where in _CONFIGS.items()},
    }


def _keys(module: str, name: str) -> dict[str, list[str]]:
    fields = msgspec.structs.fields(getattr(import_module(module), name))
    return {
        "known": [field.encode_name for field in fields],
        "required": [field.encode_name for field in fields if field.required],
    }
