"""The laws that every store keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from morphogen.protocols import Event, MorphogenError, Store

__all__ = ["StoreSuite"]

BODIES: tuple[Mapping[str, Any], ...] = (
    {},
    {"text": "naïve \u2028 \U0001f9ec \x00 \\ \"quoted\" 'n' ]", "": None},
    {"numbers": [0, -1, 2**70, 0.1, 1e-310, 1.7976931348623157e308], "flags": [True, False]},
    {"nested": {"list": [[], [{}], [{"deep": [1]}]]}, "list": ["a", 1, None]},
    {"long": "x" * 100_000},
)


class StoreSuite(ABC):
    """Subclass and say how to open the store.

    `durable` says whether a store that is opened again has what was appended before, and is leased to one writer.
    """

    durable = True

    @abstractmethod
    def make(self, folder: Path) -> Store:
        """Open the store that is in a folder, which is new or has been written by an earlier one."""

    def test_events_come_back_equal_and_in_order(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        events = [Event(kind, id, body) for id, body in enumerate(BODIES) for kind in ("asked", "died", "finished")]
        store.append(events[:4])
        for event in events[4:]:
            store.append([event])
        assert events == list(store.events())
        store.close()

    def test_events_can_be_read_one_after_the_other_from_any_on(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        events = [Event("asked", id, {"id": id}) for id in range(7)]
        for event in events:
            store.append([event])
        for after in (0, 3, 6, 7, 8):
            assert events[after:] == list(store.stream(after))
        assert events == list(store.stream())
        store.close()

    def test_a_new_store_is_empty_and_appending_nothing_leaves_it_so(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        store.append([])
        assert list(store.events()) == []
        store.close()

    def test_events_are_appended_all_or_none(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        store.append([Event("asked", 0, {})])
        for bad, message in (
            (Event("asked", 2, {"value": float("nan")}), "no plain JSON"),
            (Event("asked", 2, {"value": object()}), "no plain JSON"),
            (Event("begun", 2, {}), "got 'begun'"),  # type: ignore[arg-type]
            (Event("asked", -1, {}), "got -1"),
        ):
            with pytest.raises(ValueError, match=message):
                store.append([Event("asked", 1, {}), bad])
        assert [Event("asked", 0, {})] == list(store.events())
        store.close()

    def test_what_was_appended_cannot_be_changed_afterwards(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        body: dict[str, Any] = {"list": [1]}
        store.append([Event("asked", 0, body)])
        body["list"].append(2)
        read = store.events()[0].body
        assert read == {"list": [1]}
        read["list"].append(3)
        assert store.events()[0].body == {"list": [1]}
        store.close()

    def test_a_closed_store_takes_nothing_and_closing_twice_is_fine(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        store.close()
        store.close()
        with pytest.raises(MorphogenError):
            store.append([Event("asked", 0, {})])

    def test_a_store_that_is_opened_again_has_everything(self, tmp_path: Path) -> None:
        expected: list[Event] = []
        for id in range(3):
            store = self.make(tmp_path)
            assert (expected if self.durable else []) == list(store.events())
            expected.append(Event("asked", id, {"id": id}))
            store.append(expected[-1:])
            store.close()

    def test_there_is_one_writer_at_a_time(self, tmp_path: Path) -> None:
        if not self.durable:
            return
        first = self.make(tmp_path)
        with pytest.raises(MorphogenError, match="in use"):
            self.make(tmp_path)
        first.append([Event("asked", 0, {})])
        first.close()
        second = self.make(tmp_path)
        second.append([Event("finished", 0, {})])
        assert [Event("asked", 0, {}), Event("finished", 0, {})] == list(second.events())
        second.close()
