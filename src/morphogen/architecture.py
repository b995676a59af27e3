"""A point of a search space: data, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, final

from morphogen.choice import Pick

if TYPE_CHECKING:
    from morphogen.space import Space

__all__ = ["Architecture"]


@final
class Architecture(Mapping[str, str | Pick]):
    """A point of a space, immutable and hashable.

    A mapping from the names of its active choices to the picked option (a tuple of them where a choice picks several).
    Made by a space: `space.sample(rng)`, `space.architecture({...})`, `space.parse(text)`.
    """

    __slots__ = ("code", "space")
    space: Space
    code: bytes

    def __init__(self, space: Space, code: bytes) -> None:
        object.__setattr__(self, "space", space)
        object.__setattr__(self, "code", code)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an architecture is immutable: '{name}' cannot be set")

    def __reduce__(self) -> tuple[type[Architecture], tuple[Space, bytes]]:
        return Architecture, (self.space, self.code)

    @property
    def picks(self) -> dict[str, Pick]:
        """Every active choice with what is picked, always as a tuple."""
        return self.space.coding.decode(self.code)

    def __getitem__(self, name: str) -> str | Pick:
        picked = self.space.coding.picked(self.code, name)
        if picked is None:
            raise KeyError(name)
        return picked[0] if self.space[name].single else picked

    def __iter__(self) -> Iterator[str]:
        return iter(self.picks)

    def __len__(self) -> int:
        return len(self.picks)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Architecture):
            return self.code == other.code and (self.space is other.space or self.space == other.space)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.code)

    @property
    def json(self) -> dict[str, str | list[str]]:
        """For a JSON file: options as text, subsets as lists."""
        return {name: picked[0] if self.space[name].single else list(picked) for name, picked in self.picks.items()}

    @property
    def text(self) -> str:
        """On one line: `name=option name=option,option`. `Space.parse` reads it back."""
        return " ".join(f"{name}={','.join(picked)}" for name, picked in self.picks.items())

    def __repr__(self) -> str:
        return f"Architecture({self.text})"
