"""From what a person writes to a store."""

from __future__ import annotations

import re
from pathlib import Path

from morphogen.protocols import Store
from morphogen.store.memory import Memory

__all__ = ["open"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_+]*)://")


def open(where: str | Path, *, readonly: bool = False) -> Store:
    """Open the store of a run.

    Args:
        where: A path, `sqlite:///PATH`, `postgresql://USER@HOST/DATABASE?study=NAME`, or `memory:`.
        readonly: For reading only: takes no lease, and is possible while a driver writes.

    Raises:
        ValueError: A kind of store that there is not.
        MorphogenError: In use by another driver, damaged, no record of ours, a folder that cannot be written.
    """
    text = str(where)
    if text == "memory:":
        if readonly:
            raise ValueError("memory: has nothing to read when it is opened; give the path of a record")
        return Memory()
    if (scheme := _SCHEME.match(text)) is not None and isinstance(where, str):
        if scheme[1] in ("postgresql", "postgres", "postgresql+psycopg"):
            from morphogen.store.postgresql import open_url

            return open_url("postgresql" + text[len(scheme[1]) :], readonly=readonly)
        if scheme[1] != "sqlite":
            # the rest of the URL may have a password
            raise ValueError(
                f"there is no store at {scheme[0]}...: give a path, sqlite:///PATH, "
                "postgresql://USER@HOST/DATABASE?study=NAME or memory:"
            )
        text = text.removeprefix("sqlite:///")
        if not text or text.startswith("sqlite:"):
            raise ValueError(f"'{where}' has no path: write sqlite:///PATH, or just the path")
    if not text or text.endswith("/") or Path(text).is_dir():
        raise ValueError(f"'{where}' is a folder, a store is a file: give such as {Path(text) / 'trials.sqlite'}")
    from morphogen.store.sqlite import open_file  # SQLAlchemy takes a quarter of a second, which `memory:` need not pay

    return open_file(Path(text), readonly=readonly)
