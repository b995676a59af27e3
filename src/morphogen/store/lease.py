"""One writer at a time: a lease that its holder's death frees."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import weakref
from datetime import datetime
from pathlib import Path
from typing import Protocol, final

from morphogen.protocols import MorphogenError

__all__ = ["FileLease", "Lease"]


class Lease(Protocol):
    """The right to write, until it is released. Taken by constructing it.

    A database server's lease would be a row with a heartbeat on the server's clock; a file's is a lock of the kernel.
    """

    def release(self) -> None:
        """Let others write. Idempotent."""
        ...


@final
class FileLease:
    """A kernel lock (`flock`) held on a small file beside the data, which says who holds it.

    The kernel frees it when the holder ends in whatever way, `kill -9` included: nothing has to expire and no clock is
    trusted. The file itself stays, since removing a locked file is a race; without a lock it means nothing.

    Args:
        data: What is written under the lease; the lock file is this path with `.lock` added.

    Raises:
        MorphogenError: Somebody else holds it, or the folder cannot be written.
    """

    def __init__(self, data: Path) -> None:
        path = data.with_name(data.name + ".lock")
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise MorphogenError(f"{data.parent} cannot be written ({error.strerror}): choose another folder") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(self._fd)
            os.close(self._fd)
            self._fd = -1
            if isinstance(error, BlockingIOError):
                raise MorphogenError(
                    f"{data} is in use by {holder}: wait for that run, stop it, or choose another folder; "
                    "reading is possible meanwhile"
                ) from None
            raise MorphogenError(f"{path} cannot be locked ({error.strerror}): choose a local disk") from None
        since = f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z}"
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode(), 0)
        _forget_in_forks(self)

    def release(self) -> None:
        """Let others write. Idempotent."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1

    def _forget(self) -> None:
        # closing a copy of the descriptor leaves the lock with the process that took it
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _forget_in_forks(lease: FileLease) -> None:
    """A forked child, such as a worker of a `DataLoader`, must not keep the lock of a driver that is killed."""
    held = weakref.ref(lease)

    def forget() -> None:
        if (inherited := held()) is not None:
            inherited._forget()

    os.register_at_fork(after_in_child=forget)


def _holder(fd: int) -> str:
    try:
        note = json.loads(os.pread(fd, 4096, 0))
        return f"process {note['pid']} on {note['host']} since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it has the lock and has not written its note yet
