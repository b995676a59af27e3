"""A record in an SQLite file: write-ahead log, every commit on the disk before `append` returns.

`synchronous=FULL` because a result that was shown must survive a power cut; NORMAL is ten times faster and survives
only the death of the process. A search commits a few times a second at most.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from morphogen.protocols import MorphogenError
from morphogen.store.lease import FileLease
from morphogen.store.sql import Sql, create_schema

__all__ = ["open_file"]

BUSY_SECONDS = 60.0
CHECKED_BYTES = 64 * 2**20
"""Up to this size a file is checked whole before a driver adds to it; damage in a larger one shows where it is read."""

ADVICE = {
    "SQLITE_BUSY": f"another program kept it locked for {BUSY_SECONDS:.0f} s: close that program and try again",
    "SQLITE_CANTOPEN": "it cannot be opened: check that it may be read, or copy the folder to where it may be written",
    "SQLITE_CORRUPT": "it is damaged and was not changed: restore a copy, or save what `sqlite3 FILE .recover` reads",
    "SQLITE_FULL": "the disk is full and the last events were not recorded: free some space, then resume",
    "SQLITE_IOERR": "the disk refused (full, over its quota, or failing): free space or move the folder, then resume",
    "SQLITE_NOTADB": "it is no database (or damaged) and was not changed: give another path, or restore a copy",
    "SQLITE_READONLY": "it cannot be written: make the file and its folder writable, or copy the folder",
}


def open_file(path: Path, *, readonly: bool = False) -> Sql:
    """The record in a file: to write it, made where it is missing and leased until closed; or only to read it.

    Reading is possible at any time, also while a driver writes.

    Raises:
        MorphogenError: In use by another driver, damaged, no record of ours, a folder that cannot be written.
    """
    path = path.expanduser().resolve()
    if readonly:
        if not path.is_file():
            raise MorphogenError(f"there is no record {path}: check the folder of the run")
        return Sql(_reading(path), str(path), None, _explain)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MorphogenError(f"{path.parent} cannot be made ({error.strerror}): choose another folder") from None
    lease = FileLease(path)
    engine = None
    try:
        if not path.exists():
            _create(path)
        engine = _engine(path, "rw")
        _check(engine, path)
        return Sql(engine, str(path), lease, _explain)
    except BaseException:
        if engine is not None:
            engine.dispose()
        lease.release()
        raise


def _create(path: Path) -> None:
    """Under another name first: a record is either not there or has its tables, whenever the driver is killed."""
    if (log := _beside(path, "-wal")).exists():
        # SQLite would replay the log of the lost file into the new one
        raise MorphogenError(
            f"{path} is missing, its log {log.name} is there: restore the file, or remove the log, too"
        )
    fresh = _beside(path, ".new")
    for leftover in (fresh, _beside(fresh, "-wal"), _beside(fresh, "-shm")):
        leftover.unlink(missing_ok=True)
    engine = _engine(fresh, "rwc")
    try:
        create_schema(engine)
        with engine.connect() as connection:
            connection.execute(text("PRAGMA journal_mode=WAL"))
    except DBAPIError as error:
        raise MorphogenError(f"{path}: {_explain(error)}") from error
    finally:
        engine.dispose()
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check(engine: Engine, path: Path) -> None:
    found = "ok"
    if not _may_write(path):  # SQLite would open it, and refuse the first event
        raise MorphogenError(f"{path}: {ADVICE['SQLITE_READONLY']}")
    try:
        with engine.connect() as connection:
            # a truncated or damaged file can look sound for long: better to refuse now than to add to it
            if path.stat().st_size <= CHECKED_BYTES:
                found = str(connection.execute(text("PRAGMA quick_check(1)")).scalar())
    except DBAPIError as error:
        raise MorphogenError(f"{path}: {_explain(error)}") from error
    if found != "ok":
        raise MorphogenError(f"{path}: {ADVICE['SQLITE_CORRUPT']} ({' '.join(found.split())})")


def _reading(path: Path) -> Engine:
    """An engine that only reads.

    Reading a write-ahead log needs its index file, which cannot be made in a read-only folder. Without a log there is
    nothing to index: nobody has the file open to write, and it may be read as it is.
    """
    return _engine(path, "ro" if _may_write(path.parent) or _beside(path, "-wal").exists() else "ro&immutable=1")


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _engine(path: Path, mode: str) -> Engine:
    return create_engine("sqlite://", creator=_connector(path, mode), poolclass=QueuePool)


def _connector(path: Path, mode: str) -> Callable[[], sqlite3.Connection]:
    def connect() -> sqlite3.Connection:
        # with mode=rw, a file that vanished is an error, never a new empty one
        uri = f"file:{quote(str(path))}?mode={mode}"
        connection = sqlite3.connect(uri, timeout=BUSY_SECONDS, uri=True, check_same_thread=False)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA fullfsync=ON")  # macOS: without it, fsync leaves data in the cache of the disk
        return connection

    return connect


def _explain(error: DBAPIError) -> str:
    code = getattr(error.orig, "sqlite_errorname", "")
    advice = next((said for known, said in ADVICE.items() if code.startswith(known)), "the database failed")
    return f"{advice} ({error.orig})"
