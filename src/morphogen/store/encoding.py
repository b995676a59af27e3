"""Events as rows and back: strict JSON, the same for every store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

from pydantic_core import from_json

from morphogen.protocols import Event, MorphogenError

__all__ = ["Kind", "Row", "decode", "encode"]

Kind = Literal["asked", "finished", "died"]
Row = tuple[str, int, str]
"""Kind, trial, body as JSON text."""

KINDS: frozenset[str] = frozenset(get_args(Kind))


def encode(event: Event) -> Row:
    """An event as a row.

    Raises:
        ValueError: An unknown kind, an id that is no natural number, or a body that is no JSON (NaN is none).
    """
    if event.kind not in KINDS:
        raise ValueError(f"an event is of kind {', '.join(sorted(KINDS))}, got '{event.kind}'")
    if not isinstance(event.trial, int) or event.trial < 0:
        raise ValueError(f"the trial of an event is a number from 0 on, got {event.trial!r}")
    try:
        return event.kind, event.trial, json.dumps(dict(event.body), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"the body of '{event.kind}' of trial {event.trial} is no plain JSON: {error}") from None


def decode(rows: Iterable[Sequence[Any]], name: str) -> list[Event]:
    """The events of rows.

    All bodies are parsed as one JSON list: one call of the parser for 40,000 events takes half the time of 40,000.

    Args:
        rows: `(kind, trial, body)` each; what follows is of no interest.
        name: Of the store, for the message.

    Raises:
        MorphogenError: A row that `encode` cannot have written.
    """
    columns = tuple(zip(*rows, strict=True))
    if not columns:
        return []
    kinds, trials, texts = columns[:3]
    try:
        bodies = _parse(f"[{','.join(texts)}]")
    except (TypeError, ValueError, RecursionError):
        bodies = []
    # a damaged text could still make a list of another length, or a list of other things than objects
    sound = len(bodies) == len(kinds) and KINDS.issuperset(kinds) and all(type(b) is dict for b in bodies)
    # SQLite keeps text where a number belongs, and a trial's number names its folder
    if not sound or set(map(type, trials)) != {int} or min(trials) < 0:
        raise MorphogenError(
            f"{name} is damaged: {_damaged(kinds, trials, texts)} is not what was recorded. "
            "Nothing was changed; restore a copy of it"
        )
    return list(map(Event, kinds, trials, bodies))


def _parse(text: str) -> Any:
    """As `json.loads`, in half the time; a short text is one object however often it comes."""
    try:
        return from_json(text)
    except ValueError:  # `json` takes more: half of a surrogate pair, 200 lists in each other
        return json.loads(text)


def _damaged(kinds: Sequence[Any], trials: Sequence[Any], texts: Sequence[Any]) -> str:
    for n, (kind, trial, text) in enumerate(zip(kinds, trials, texts, strict=True), 1):
        try:
            if kind in KINDS and type(trial) is int and trial >= 0 and type(json.loads(text)) is dict:
                continue
        except (TypeError, ValueError, RecursionError):
            pass
        return f"event {n}"
    return "the record"
