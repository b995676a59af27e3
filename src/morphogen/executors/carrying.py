"""Files on their way to a node that does not see them, and back: a trial's folder, what it begins with, mapped data.

The driver puts them into Ray's object store in pieces, and a node fetches each once. What a trial leaves comes back with its
outcome.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, final

from morphogen.protocols import MorphogenError
from morphogen.training.files import write_whole

__all__ = [
    "DATA",
    "FOLDER",
    "Carrier",
    "Sent",
    "data_here",
    "digest",
    "fetch",
    "pack",
    "sees",
    "temporary",
    "token",
    "unpack",
]

FOLDER, DATA = "folder", "data"
"""What a node may not see: the folders of trials, mapped data."""
MOST = 2 * 2**30
"""Bytes that a trial may leave on a node that does not see the run folder: they are in memory on their way."""
PIECE = 64 * 2**20
"""Bytes of a file that are in memory at a time on the way to a node."""
KEPT = 4
"""So many folders stay in the object store: trials that are asked one after another often begin with the same."""
YOUNG = 60.0
"""Seconds in which a temporary folder may have no lock yet."""
CHECK = ".node-check"
"""The file in the folder of trials' folders by which a node knows it."""
_TEMPORARY = "morphogen-trial-"

Pieces = Mapping[str, Sequence[Any]]
"""References to the pieces of each file of a folder, by its name."""


@final
class Sent(NamedTuple):
    """What goes with a trial; None: what every node sees, as far as is known."""

    own: Pieces | None
    warm: Pieces | None
    data: Mapping[str, Pieces] | None


@final
class Carrier:
    """The driver's side: what nodes did not see goes with every trial from then on.

    Args:
        put: Puts bytes into the object store, and gives a reference.
    """

    def __init__(self, put: Callable[[bytes], Any]) -> None:
        self._put = put
        self._unseen: frozenset[str] = frozenset()
        self._lock = threading.Lock()  # of the rest: nothing is put twice
        self._folders: OrderedDict[Path, tuple[object, Pieces]] = OrderedDict()
        self._data: dict[tuple[str, str], Pieces] = {}

    def unseen(self, what: Sequence[str]) -> None:
        """Some node does not see it."""
        self._unseen |= {FOLDER, DATA}.intersection(what)

    @property
    def carries(self) -> bool:
        """Whether anything goes with a trial."""
        return bool(self._unseen)

    def sent(self, own: Path | None, warm: Path | None, data: Sequence[tuple[str, str]]) -> Sent:
        """What goes with a trial that has these folders and data."""
        with self._lock:
            carried = FOLDER in self._unseen
            return Sent(
                self._folder(own) if carried else None,
                self._folder(warm) if carried else None,
                {key[0]: self._mapped(key) for key in data} if DATA in self._unseen else None,
            )

    def _folder(self, folder: Path | None) -> Pieces:
        if folder is None or not (files := _files(folder)):
            return {}
        stamp = [(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files]
        if folder not in self._folders or self._folders[folder][0] != stamp:
            self._folders[folder] = stamp, {file.name: self._pieces(file) for file in files}
        self._folders.move_to_end(folder)
        if len(self._folders) > KEPT:
            self._folders.popitem(last=False)
        return self._folders[folder][1]

    def _mapped(self, key: tuple[str, str]) -> Pieces:
        if key not in self._data:
            files = [file for file in _files(Path(key[0])) if file.suffix in {".images", ".labels"}]
            # the card last: where it is, the rest is whole
            self._data[key] = {file.name: self._pieces(file) for file in (*files, Path(key[0]) / "data.json")}
        return self._data[key]

    def _pieces(self, file: Path) -> list[Any]:
        with file.open("rb") as opened:
            return [self._put(piece) for piece in iter(lambda: opened.read(PIECE), b"")]


# --- what a node sees ---------------------------------------------------------------------------------------------

_written: dict[Path, str] = {}
_seen: set[tuple[str, str]] = set()


def token(folder: Path) -> str:
    """What tells this folder from one of the same path on another machine; it is written there once a process."""
    if folder not in _written:
        folder.mkdir(parents=True, exist_ok=True)
        text = secrets.token_hex(16)  # anew: a run folder may have been copied
        write_whole(folder / CHECK, lambda file: file.write(text.encode()))
        _written[folder] = text
    return _written[folder]


def sees(folder: str, token: str) -> bool:
    """Whether the folder of that path on this node is the driver's."""
    if (folder, token) not in _seen:
        try:
            found = (Path(folder) / CHECK).read_bytes()
        except OSError:
            return False
        if found != token.encode():
            return False
        _seen.add((folder, token))
    return True


def digest(folder: Path) -> str | None:
    """Of the data set that is mapped from a folder; None where there is none."""
    try:
        return str(json.loads((folder / "data.json").read_bytes())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def data_here(folder: str, wanted: str, pieces: Pieces | None, get: Callable[[Any], bytes]) -> Path | None:
    """Where a node has a data set: under the driver's path, or in the cache, where it stays once it came. None: nowhere."""
    from morphogen.training.data import cache

    kept = cache() / "mapped" / wanted[:32]  # where the driver would keep it, too
    for place in (Path(folder), kept):
        if digest(place) == wanted:
            return place
    if pieces is None:
        return None
    kept.mkdir(parents=True, exist_ok=True)
    with _locked(kept):
        if digest(kept) != wanted:  # else another worker of this node was first
            fetch(pieces, kept, get)
    return kept


# --- there --------------------------------------------------------------------------------------------------------


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder of this node for one trial. Those of killed workers, whose locks are gone with them, are removed."""
    for left in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > YOUNG:
                with _locked(left, fcntl.LOCK_NB):
                    shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
    try:
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path, how: int = 0) -> Iterator[None]:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(opened)


def fetch(pieces: Pieces, folder: Path, get: Callable[[Any], bytes]) -> None:
    """Write what the driver sent."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, references in pieces.items():

        def write(file: Any, references: Sequence[Any] = references) -> None:
            for reference in references:
                file.write(get(reference))

        write_whole(folder / name, write)


# --- and back -----------------------------------------------------------------------------------------------------


def pack(folder: Path) -> dict[str, bytes]:
    """The files of a folder, without those of folders in it.

    Raises:
        MorphogenError: They are more than may travel.
    """
    files = _files(folder)
    if (size := sum(file.stat().st_size for file in files)) > MOST:
        raise MorphogenError(
            f"trial {folder.name} left {size / 2**30:.1f} GiB on {os.uname().nodename}, which does not see the run folder, "
            f"and {MOST / 2**30:.1f} GiB at most come back: put the run on a file system that all nodes share"
        )
    return {file.name: file.read_bytes() for file in files}


def unpack(files: Mapping[str, bytes], folder: Path) -> None:
    """Write what a trial left, each file whole.

    Raises:
        MorphogenError: A name that would leave the folder.
    """
    for name in files:  # before anything is written
        if not isinstance(name, str) or name in {"", ".", ".."} or any(bad in name for bad in "/\\\0"):
            raise MorphogenError(
                f"a worker sent a file named {name!r}, expected a plain name: nothing of it was written"
            )
    for name, content in files.items():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]


def _files(folder: Path) -> list[Path]:
    """The plain files of a folder, by name; none where it is not there."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False))
