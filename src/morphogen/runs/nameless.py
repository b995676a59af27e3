"""What a run was begun with in Python and no name leads to: its configuration only says that there was something."""

from __future__ import annotations

__all__ = ["check", "nameless"]

MARK = "<"


def nameless(thing: object) -> str:
    """What a configuration says of an object that no name leads to."""
    return f"{MARK}{getattr(thing, 'name', None) or getattr(thing, '__name__', None) or type(thing).__name__}>"


def check(key: str, name: str | None, given: object) -> None:
    """Raises: ValueError: Only an object can stand for `name`, and none is given."""
    if given is None and name is not None and name.startswith(MARK):
        raise ValueError(
            f"the run was begun in Python with a {key} that has no name, {name}: give it again, morphogen.resume(folder, {key}=...)"
        )
