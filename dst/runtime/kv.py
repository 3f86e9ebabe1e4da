"""Small durable stores over SQLite (write-ahead log mode), opened one way.

`synchronous=FULL` makes a commit durable across power loss (0.4 ms here); NORMAL survives
a killed process, and after power loss the last commits may be missing but the file is consistent.
Whoever promises something to
others uses FULL.
"""

import sqlite3
from pathlib import Path

from dst.runtime.machine import connect
from dst.spec.errors import BadConfig


def open_database(path: Path, *, durable: bool, create: bool = True) -> sqlite3.Connection:
    """Open (or create) an SQLite database in WAL mode, autocommit; check that it is not corrupt.

    The connection may be used from one thread at a time (callers serialise).
    Raises: BadConfig when it is missing (create=False), unreadable or corrupt.
    """
    if not create and not path.exists():
        raise BadConfig(f"store {path} does not exist")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = connect(path, flushes=durable)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except (sqlite3.DatabaseError, OSError) as error:
        raise BadConfig(f"store {path} cannot be used: {error}") from None
    if verdict != "ok":
        raise BadConfig(
            f"store {path} is corrupt ({verdict}); restore it or start with --rejoin on a new one"
        )
    return connection
