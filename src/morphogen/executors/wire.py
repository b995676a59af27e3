"""What is said between the driver, the fork server and the workers: JSON lines one way, framed pickles the other.

What comes *from* a worker is only ever parsed as JSON: plain numbers and text, never objects, never tensors.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

__all__ = ["Launch", "Lines", "Main", "receive", "send", "tell"]

_LENGTH = struct.Struct("!Q")
MAX_LINE = 64 * 2**20
"""A longer message is none of ours."""


@final
@dataclass(frozen=True, slots=True)
class Main:
    """The driver's main module, for what is pickled from there: a script by its path, `python -m` by its name."""

    path: str | None
    name: str | None
    argv: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Launch:
    """Start a worker; two descriptors come with it, for its messages and for its output.

    Args:
        trial: Number of the trial, for the answers.
        estimator: Number of the estimator.
        task: Pickled proposal and context.
        pickled: The estimator, where the fork server does not have it yet.
        alive: Estimators that may still be asked for; others can be forgotten.
        modules: What the estimator needs; imported once, before the first fork, and not once a trial.
        main: What must be imported before anything can be unpickled, if anything.
        folder: The working directory.
        device: Instead of the context's; None leaves that.
    """

    trial: int
    estimator: int
    task: bytes
    pickled: bytes | None
    alive: frozenset[int]
    modules: frozenset[str]
    main: Main | None
    folder: str
    device: str | None


def send(to: socket.socket, message: object, fds: Sequence[int] = ()) -> None:
    """Driver to fork server: a frame, with descriptors."""
    data = pickle.dumps(message)
    header = _LENGTH.pack(len(data))
    if fds:
        socket.send_fds(to, [header], list(fds))
    else:
        to.sendall(header)
    to.sendall(data)


def receive(source: socket.socket, fds: int) -> tuple[Any, list[int]]:
    """The next frame with at most so many descriptors; None where the other end is closed."""
    header, given, _, _ = socket.recv_fds(source, _LENGTH.size, fds)
    for fd in given:
        os.set_inheritable(fd, False)
    header += _exactly(source, _LENGTH.size - len(header)) if header else b""
    if len(header) < _LENGTH.size:
        return None, given
    (length,) = _LENGTH.unpack(header)
    data = _exactly(source, length)
    # what comes from the driver is as trustworthy as the program that it started
    return (pickle.loads(data) if len(data) == length else None), given  # noqa: S301


def _exactly(source: socket.socket, length: int) -> bytes:
    parts = []
    while length and (part := source.recv(min(length, 2**20))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def tell(fd: int, message: dict[str, Any]) -> None:
    """A JSON line to the driver. Where nobody listens any more, nobody needs to know."""
    data = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    try:
        while data:
            data = data[os.write(fd, data) :]
    except BrokenPipeError:
        pass


@final
class Lines:
    """The JSON lines that arrive on a non-blocking descriptor, whole ones only."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.ended = False
        self._rest = b""

    def read(self) -> list[dict[str, Any]]:
        """What has arrived since.

        Raises:
            ValueError: It is no JSON object; the message has its beginning.
        """
        arrived = bytearray()
        while not self.ended:
            try:
                part = os.read(self.fd, 2**16)
            except BlockingIOError:
                break
            except ConnectionResetError:
                part = b""
            self.ended = not part
            arrived += part
            if len(self._rest) + len(arrived) > MAX_LINE:
                raise ValueError(f"{MAX_LINE} bytes without an end: {self._rest[:60]!r}")
        *lines, self._rest = (self._rest + bytes(arrived)).split(b"\n")
        return [_message(line) for line in lines]


def _message(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise ValueError(f"{line[:60]!r}")
    return message
