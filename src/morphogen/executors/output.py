"""What a worker prints: a log file of bounded size."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import final

__all__ = ["MAX_BYTES", "Output"]

MAX_BYTES = 2**20
"""The most that a log keeps, half from the beginning and half from the end."""


@final
class Output:
    """The log file of a trial. It is made at the first byte, and each attempt begins it anew.

    What cannot be written (a full disk) is dropped: a search does not end for want of a log.

    Args:
        path: Of the file; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written = 0
        self._dropped = 0
        self._end = bytearray()
        self._tail = b""

    @property
    def last_line(self) -> str:
        """The last line that is not empty, cut to 200 characters; empty where nothing was printed."""
        return (self._tail.decode(errors="replace").strip().splitlines() or [""])[-1][:200]

    def write(self, data: bytes) -> None:
        """Take what was printed. The beginning goes into the file at once, the end when it is closed."""
        self._tail = (self._tail + data)[-500:]
        room = MAX_BYTES // 2 - self._written
        if head := data[:room]:
            self._append(head)
        self._end += data[len(head) :]
        if (over := len(self._end) - MAX_BYTES // 2) > 0:
            del self._end[:over]
            self._dropped += over

    def close(self) -> None:
        """Write the end."""
        if self._end:
            note = f"\n... {self._dropped} bytes left out ...\n".encode() if self._dropped else b""
            self._append(note + bytes(self._end))
            self._end.clear()

    def _append(self, data: bytes) -> None:
        if self._path is not None:
            with suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("ab" if self._written else "wb") as file:
                    file.write(data)
        self._written += len(data)
