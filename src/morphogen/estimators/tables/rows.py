"""Which row of a table an architecture has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, final

import numpy as np

from morphogen.choice import Choice
from morphogen.estimators.tables.columns import Columns, Values
from morphogen.estimators.tables.schema import ArchitectureColumns
from morphogen.protocols import MorphogenError
from morphogen.space import Architecture, Space
from morphogen.spaces.reading import read

__all__ = ["Rows", "rows_of"]

HEXADECIMAL = re.compile(rb"[0-9a-f]+")


class Rows(Protocol):
    """Finds rows."""

    def __call__(self, architecture: Architecture) -> int | None:
        """The row of an architecture, or of one that is isomorphic to it; None where the table has neither."""
        ...


def rows_of(text: ArchitectureColumns, columns: Columns, space: Space) -> Rows:
    """Read which architecture each row is of.

    Raises:
        MorphogenError: A missing column, an unknown option, an architecture that cannot be or that two rows have.
    """
    if text.identity is not None:
        return ByIdentity(columns, text.identity, text.digits, text.delta, space)
    if text.text is not None:
        values = columns[text.text]
        return Listed(columns, space, (partial(read, str(value), space) for value in values.tolist()))
    return Listed(columns, space, _by_choice(text, columns, space))


@final
class Listed:
    """The architectures are spelled out; isomorphic ones are looked for where one is not listed itself."""

    def __init__(self, columns: Columns, space: Space, architectures: Iterator[Callable[[], Architecture]]) -> None:
        self._space = space
        self._rows: dict[bytes, int] = {}
        self._identities: dict[bytes, int] | None = None
        for row, make in enumerate(architectures):
            try:
                code = make().code
            except ValueError as error:
                raise MorphogenError(f"{columns.path}, row {row}: {error}") from None
            if (first := self._rows.setdefault(code, row)) != row:
                raise MorphogenError(f"{columns.path}: rows {first} and {row} are of the same architecture")

    def __call__(self, architecture: Architecture) -> int | None:
        row = self._rows.get(architecture.code)
        if row is not None or not self._space.canonical:
            return row
        if self._identities is None:  # only a table of some representatives comes here
            listed = ((self._space.identity(Architecture(self._space, c)), row) for c, row in self._rows.items())
            self._identities = dict(reversed(list(listed)))
        return self._identities.get(self._space.identity(architecture))


@final
class ByIdentity:
    """Rows are known by the beginning of the space's identity, in hexadecimal digits: text, or numbers."""

    def __init__(self, columns: Columns, name: str, digits: int | None, delta: bool, space: Space) -> None:
        values = columns[name]
        if not space.canonical:
            raise MorphogenError(f"{columns.path}: space '{space.name}' has no identity that rows could be known by")
        if values.ndim != 1 or values.dtype.kind not in "uiUS":
            raise MorphogenError(
                f"{columns.path}: column '{name}' is no column of identities, as text or whole numbers"
            )
        if values.dtype.kind in "ui":
            if digits is None:
                raise MorphogenError(
                    f"{columns.path}: column '{name}' has numbers: say how many hexadecimal `digits` they are"
                )
            numbers = values.astype(np.uint64)
            numbers = np.cumsum(numbers, dtype=np.uint64) if delta else numbers
            keys = [f"{n:0{digits}x}".encode() for n in numbers.tolist()]
        else:
            keys = [v if isinstance(v, bytes) else v.encode() for v in values.tolist()]
        self._digits = len(keys[0])
        self._space, self._name = space, name
        self._rows: dict[bytes, int] = {}
        self._found: dict[bytes, int | None] = {}
        for row, key in enumerate(keys):
            if len(key) != self._digits or not HEXADECIMAL.fullmatch(key):
                raise MorphogenError(
                    f"{columns.path}: column '{name}', row {row}: {key!r} is not {self._digits} hexadecimal digits"
                )
            if (first := self._rows.setdefault(key, row)) != row:
                raise MorphogenError(f"{columns.path}: rows {first} and {row} are of the same architecture")

    def __call__(self, architecture: Architecture) -> int | None:
        code = architecture.code
        if code not in self._found:  # a hash of a graph takes longer than all the rest of an answer
            self._found[code] = self._rows.get(self._space.identity(architecture)[: self._digits])
        return self._found[code]


def _by_choice(text: ArchitectureColumns, columns: Columns, space: Space) -> Iterator[Callable[[], Architecture]]:
    """One column a choice: what it picks, by name or as a code."""
    assert text.columns is not None
    names = text.choices or tuple(c.name for c in space)
    if unknown := [n for n in names if n not in space]:
        raise MorphogenError(
            f"{columns.path}: the space has no choice '{unknown[0]}'; it has {', '.join(c.name for c in space)}"
        )
    values: list[Values]
    if len(text.columns) == 1 and columns[text.columns[0]].ndim == 2:
        values = list(columns[text.columns[0]].T)
    else:
        values = [columns[name] for name in text.columns]
    if len(values) != len(names) or any(v.ndim != 1 for v in values):
        raise MorphogenError(
            f"{columns.path}: {len(values)} columns for the {len(names)} choices {', '.join(names)}; expected one each"
        )
    picks = [
        _picks(space[name], column, _codes(text, name), columns) for name, column in zip(names, values, strict=True)
    ]

    def maker(row: int) -> Callable[[], Architecture]:
        picked = {name: p[row] for name, p in zip(names, picks, strict=True) if p[row] is not None}
        return lambda: space.architecture(picked)

    assert columns.rows is not None
    return (maker(row) for row in range(columns.rows))


def _codes(text: ArchitectureColumns, choice: str) -> tuple[str, ...] | None:
    return text.options.get(choice) if isinstance(text.options, Mapping) else text.options


def _picks(choice: Choice, column: Values, codes: tuple[str, ...] | None, columns: Columns) -> Sequence[Any]:
    """What each row picks for a choice; None where it does not exist."""
    unique, inverse = np.unique(column, return_inverse=True)
    read = [_pick(choice, value, codes, columns) for value in unique.tolist()]
    return [read[i] for i in inverse.tolist()]


def _pick(choice: Choice, value: Any, codes: tuple[str, ...] | None, columns: Columns) -> str | list[str] | None:
    name = value.decode() if isinstance(value, bytes) else str(int(value)) if _whole(value) else str(value).strip()
    if codes is None:
        picked = [o for o in name.split(",") if o]
    else:
        if not re.fullmatch(r"-?\d{1,18}", name):
            raise MorphogenError(
                f"{columns.path}: choice '{choice.name}': {name!r} is no whole number, as a code of `options` is"
            )
        code = int(name)
        if code < 0:
            return None
        found = codes_of(code, codes, choice)
        if found is None:
            raise MorphogenError(
                f"{columns.path}: choice '{choice.name}': code {code} is beyond the {len(codes)} `options`"
            )
        picked = found
    if unknown := [o for o in picked if o not in choice.options]:
        hint = "" if codes is not None else "; where these are codes, give their order as architecture.options"
        raise MorphogenError(
            f"{columns.path}: choice '{choice.name}' has no option '{unknown[0]}'; it has {', '.join(choice.options)}{hint}"
        )
    if choice.single:
        return picked[0] if len(picked) == 1 else None
    return picked


def codes_of(code: int, options: Sequence[str], choice: Choice) -> list[str] | None:
    """The options of a code: its number, or for a subset its bits; None where it is beyond them."""
    if choice.single:
        return [options[code]] if code < len(options) else None
    return [o for i, o in enumerate(options) if code >> i & 1] if code < 1 << len(options) else None


def _whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()
