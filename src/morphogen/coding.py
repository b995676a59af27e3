"""How an architecture is written in bytes: a hundred thousand of them have to fit in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import getitem
from typing import Any, final

from morphogen.choice import Choice, Pick

__all__ = ["Coding"]


@final
class Coding:
    """The bytes of the points of a space: one byte for a choice of one option, its number counted from 1; one bit for
    every option of a choice of several; zero for a choice that does not exist.

    Args:
        choices: Parents first.
    """

    def __init__(self, choices: Sequence[Choice]) -> None:
        self._choices = tuple(choices)

    def encode(self, picks: Mapping[str, Pick]) -> bytes:
        """The code of picks in normal form."""
        code = bytearray(self._length)
        for name, picked in picks.items():
            self._write(code, name, picked)
        return bytes(code)

    def direct(self, picks: Mapping[str, Any]) -> bytes | None:
        """The code of a mapping to single options in normal form, ten times as fast: resuming reads every architecture of a record.

        None where it needs a closer look, or a message.
        """
        if self._plain is None or not isinstance(picks, dict):
            return None
        places, conditions = self._plain
        names, bytes_of = self._ordered
        if not conditions and tuple(picks) == names:  # as they are written: every choice, in order
            try:
                return bytes(map(getitem, bytes_of, picks.values()))
            except (KeyError, TypeError):
                return None
        code = bytearray(self._length)
        try:
            for name, option in picks.items():
                at, values = places[name]
                code[at] = values[option]
        except (KeyError, TypeError):
            return None
        expected = len(places) - len(conditions)
        for at, parent, any_of in conditions:
            exists = code[parent] in any_of
            if exists != (code[at] != 0):
                return None
            expected += exists
        return bytes(code) if len(picks) == expected else None

    def decode(self, code: bytes) -> dict[str, Pick]:
        """What every choice that exists picks."""
        picks: dict[str, Pick] = {}
        for name, (choice, at, width, _) in self._places.items():
            if choice.single:
                if number := code[at]:
                    picks[name] = (choice.options[number - 1],)
                continue
            bits = int.from_bytes(code[at : at + width], "little")
            when = choice.when
            if bits or when is None or any(o in picks.get(when.choice, ()) for o in when.any_of):
                picks[name] = tuple(o for i, o in enumerate(choice.options) if bits >> i & 1)
        return picks

    def picked(self, code: bytes, name: str) -> Pick | None:
        """What one choice picks; None where it does not exist."""
        choice, at, width, _ = self._places[name]
        if choice.single:
            return (choice.options[code[at] - 1],) if code[at] else None
        bits, when = int.from_bytes(code[at : at + width], "little"), choice.when
        if not bits and when is not None and not any(o in (self.picked(code, when.choice) or ()) for o in when.any_of):
            return None
        return tuple(o for i, o in enumerate(choice.options) if bits >> i & 1)

    def replaced(self, code: bytes, name: str, picked: Pick) -> bytes:
        """The code with another pick of a choice that none depends on."""
        written = bytearray(code)
        self._write(written, name, picked)
        return bytes(written)

    def _write(self, code: bytearray, name: str, picked: Pick) -> None:
        _, at, width, values = self._places[name]
        if width == 1:
            code[at] = values[picked[0]] if len(picked) == 1 else sum(values[o] for o in picked)
        else:
            code[at : at + width] = sum(values[o] for o in picked).to_bytes(width, "little")

    @cached_property
    def _places(self) -> dict[str, tuple[Choice, int, int, dict[str, int]]]:
        """Per choice: where its bytes stand, how many they are, and the number that an option adds to them."""
        places, at = {}, 0
        for c in self._choices:
            width = 1 if c.single else -(-len(c.options) // 8)
            places[c.name] = c, at, width, {o: i + 1 if c.single else 1 << i for i, o in enumerate(c.options)}
            at += width
        return places

    @cached_property
    def _length(self) -> int:
        return sum(width for _, _, width, _ in self._places.values())

    @cached_property
    def _ordered(self) -> tuple[tuple[str, ...], tuple[dict[str, int], ...]]:
        """For `direct`: per choice, in order, its name, and the byte of every option."""
        assert self._plain is not None
        return tuple(self._plain[0]), tuple(values for _, values in self._plain[0].values())

    @cached_property
    def _plain(self) -> tuple[dict[str, tuple[int, dict[str, int]]], list[tuple[int, int, bytes]]] | None:
        """For `direct`: places, and of every condition the place, its parent's, and what that has to be."""
        if not all(c.single for c in self._choices):
            return None
        places = {c.name: (at, {o: values[o] for o in c.pickable}) for c, at, _, values in self._places.values()}
        conditions = []
        for choice in self._choices:
            if (when := choice.when) is not None:
                parent, numbers = places[when.choice]
                any_of = bytes(numbers[o] for o in when.any_of if o in numbers)
                conditions.append((places[choice.name][0], parent, any_of))
        return places, conditions
