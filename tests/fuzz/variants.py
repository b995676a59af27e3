"""Many inputs from one: what a search for new structure takes long to draw is varied cheaply, over and over."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, AnyStr

__all__ = ["variants"]

PIECES = [
    "",
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    "=",
    ",",
    ".",
    "(",
    ")",
    "\n",
    "\\",
    "\x00",
    "-1",
    "1e999",
    "nan",
    "é",
    "#",
    "\ud800",
]
ODD = [
    None,
    True,
    False,
    0,
    -1,
    1,
    10**400,
    -(10**20),
    0.5,
    -0.0,
    1e308,
    5e-324,
    "",
    " ",
    "\x00",
    "1",
    "nan",
    "-",
    "é",
    [],
    {},
    [[]],
]
"""All of them are JSON."""


def variants(value: Any, seed: int, count: int) -> Iterator[Any]:
    """The value, and others, each a few small changes away from it: texts and bytes are edited, numbers moved; in lists and
    dictionaries, somewhere inside, something is put, left out, doubled, renamed or moved to another place."""
    yield value
    rng = random.Random(seed)
    for _ in range(count - 1):
        found = value
        for _ in range(rng.randint(1, 3)):
            found = _changed(found, rng)
        yield found


def _changed(value: Any, rng: random.Random) -> Any:
    if isinstance(value, str):
        return _edited(value, rng.choice(PIECES), rng)
    if isinstance(value, bytes):
        return _edited(value, rng.randbytes(rng.randint(0, 20)), rng)
    if isinstance(value, dict):
        return _entries(value, rng)
    if isinstance(value, list | tuple):
        return type(value)(_entries(dict(enumerate(value)), rng).values())
    if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.5:
        return rng.choice([-value, value + 1, value * 1000 if abs(value) < 1e300 else 0, str(value), [value]])
    return rng.choice(ODD)


def _entries(entries: dict[Any, Any], rng: random.Random) -> dict[Any, Any]:
    found = dict(entries)
    if not found or rng.random() < 0.1:
        found[rng.choice(["", "told", "a.b", *PIECES])] = rng.choice(ODD)
        return found
    key = rng.choice(list(found))
    how = rng.random()
    if how < 0.55:
        found[key] = _changed(found[key], rng)
    elif how < 0.7:
        found[key] = rng.choice(ODD)
    elif how < 0.8:
        del found[key]
    elif how < 0.9:
        found[rng.choice(list(found))] = found[key]
    elif isinstance(key, str):
        found[_edited(key, rng.choice(PIECES), rng)] = found.pop(key)
    else:
        found[len(found)] = found[key]
    return found


def _edited(text: AnyStr, piece: AnyStr, rng: random.Random) -> AnyStr:
    """With a piece instead of a span, which may then follow twice."""
    at, length = rng.randint(0, len(text)), rng.choice([0, 0, 1, 1, 2, 5, 20])
    span = text[at : at + length]
    return text[:at] + piece + span * rng.choice([0, 0, 1, 2]) + text[at + length :]
