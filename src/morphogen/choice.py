"""One named decision of a search space, as data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import final

__all__ = ["Choice", "Pick", "When"]

Pick = tuple[str, ...]
"""What was picked for one choice: options in the order of the choice (one of them, for most choices)."""

_NAME = re.compile(r"[A-Za-z0-9_+<>/.-]+")
MAX_OPTIONS = 255  # a picked option is one byte of an architecture; zero says "inactive"


@final
@dataclass(frozen=True, slots=True)
class When:
    """A condition: the parent choice has picked one of some options."""

    choice: str
    any_of: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "any_of", tuple(self.any_of))
        if not self.any_of:
            raise ValueError(f"When('{self.choice}') names no option, so it could never hold")


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """A named decision among options.

    Args:
        name: Path of the decision, such as `normal/3/inputs` or `normal/3<-1`.
        options: What can be picked. Names, never values: `"5"`, `"sep_conv_3x3"`.
        pick: How many options are picked: a number, or a range `(lowest, highest)`; `(0, n)` is any subset.
        when: The choice exists only where this holds; an inactive parent switches its children off.
        ordered: The options are numbers in rising order: neighbors are adjacent and encodings numeric.
        mixed_only: Options that a mixture contains and no architecture ever picks (`none` of DARTS).

    Raises:
        ValueError: A name with other characters than `[A-Za-z0-9_+<>/.-]`, options that repeat, a `pick` that cannot be met.
    """

    name: str
    options: tuple[str, ...]
    pick: int | tuple[int, int] = 1
    when: When | None = None
    ordered: bool = False
    mixed_only: tuple[str, ...] = ()
    pickable: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """The options that an architecture can have."""
    bounds: tuple[int, int] = field(init=False, repr=False, compare=False)
    """The lowest and the highest number of picked options."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        object.__setattr__(self, "mixed_only", tuple(self.mixed_only))
        if isinstance(self.pick, list):
            object.__setattr__(self, "pick", tuple(self.pick))
        object.__setattr__(self, "pickable", tuple(o for o in self.options if o not in self.mixed_only))
        object.__setattr__(self, "bounds", (self.pick, self.pick) if isinstance(self.pick, int) else self.pick)
        for text in (self.name, *self.options):
            if not isinstance(text, str) or not _NAME.fullmatch(text):
                raise ValueError(f"choice '{self.name}': {text!r} is not a name; names are text of [A-Za-z0-9_+<>/.-]")
        if len(set(self.options)) != len(self.options):
            raise ValueError(f"choice '{self.name}': options repeat: {', '.join(self.options)}")
        if len(self.options) > MAX_OPTIONS:
            raise ValueError(f"choice '{self.name}' has {len(self.options)} options, at most {MAX_OPTIONS} are possible: split it")
        if unknown := set(self.mixed_only) - set(self.options):
            raise ValueError(f"choice '{self.name}': mixed_only names {', '.join(sorted(unknown))}, which is no option of it")
        low, high = self.bounds
        if not 0 <= low <= high <= len(self.pickable):
            raise ValueError(f"choice '{self.name}': pick={self.pick} cannot be met with {len(self.pickable)} options that may be picked")
        if self.ordered:
            numbers = [_number(self.name, o) for o in self.options]
            if numbers != sorted(numbers):
                raise ValueError(f"choice '{self.name}' is ordered, but its options do not rise: {', '.join(self.options)}")

    @property
    def single(self) -> bool:
        """Whether exactly one option is picked."""
        return self.pick == 1

    def values(self) -> Iterator[Pick]:
        """Everything that can be picked: each option, or each subset of the right sizes."""
        low, high = self.bounds
        for size in range(low, high + 1):
            yield from combinations(self.pickable, size)


def _number(name: str, option: str) -> float:
    try:
        return float(option)
    except ValueError:
        raise ValueError(f"choice '{name}' is ordered, but its option '{option}' is not a number") from None
