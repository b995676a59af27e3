"""Spaces nested in a space, for strategies that search one after another."""

from __future__ import annotations

from collections.abc import Sequence

from morphogen.space import Space

__all__ = ["require_nested"]


def require_nested(space: Space, levels: Sequence[Space], argument: str) -> None:
    """Refuse levels that are not parts of a space, naming the argument that they came in.

    Raises:
        ValueError: A level has a choice or an option that the space does not have.
    """
    for n, level in enumerate(levels):
        for choice in level:
            if choice.name not in space or not set(choice.options) <= set(space[choice.name].options):
                raise ValueError(
                    f"{argument}[{n}] is not nested in the space: choice '{choice.name}' has the options "
                    f"{', '.join(choice.options)}; make levels by space.restrict({{...}})"
                )
