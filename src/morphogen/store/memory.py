"""A record that lives as long as the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import final

from morphogen.protocols import Event, MorphogenError
from morphogen.store.encoding import Row, decode, encode

__all__ = ["Memory"]


@final
class Memory:
    """Keeps events in memory, for tests and for searches that need no resume.

    It keeps their JSON, not the objects: what a durable store would refuse or change, it refuses or changes too.
    """

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._open = True

    def append(self, events: Sequence[Event]) -> None:
        """Remember events, all or none."""
        if not self._open:
            raise MorphogenError("memory: is closed; open a new store")
        self._rows += [encode(event) for event in events]

    def events(self) -> list[Event]:
        """Everything that was appended, in order."""
        return decode(self._rows, "memory:")

    def stream(self, after: int = 0) -> Iterator[Event]:
        """The same without the first so many, one after the other."""
        yield from decode(self._rows[after:], "memory:")

    def counts(self) -> Mapping[str, int]:
        """How many events there are of each kind."""
        return Counter(kind for kind, _, _ in self._rows)

    def close(self) -> None:
        """Refuse further events; what was appended can still be read."""
        self._open = False
