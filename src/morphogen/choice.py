"""One named decision of a search space, as data."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any, final

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
        object.__setattr__(self, "any_of", _several("any_of", self.any_of))
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
        ValueError: A name with other characters than `[A-Za-z0-9_+<>/.-]`, options that repeat or do not rise, a `pick`
            that cannot be met.
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
        object.__setattr__(self, "options", _several("options", self.options))
        object.__setattr__(self, "mixed_only", _several("mixed_only", self.mixed_only))
        pick: Any = self.pick
        if isinstance(pick, list):
            object.__setattr__(self, "pick", pick := tuple(pick))
        bounds = (pick, pick) if isinstance(pick, int) else pick
        if not (isinstance(bounds, tuple) and [type(bound) for bound in bounds] == [int, int]):
            raise ValueError(f"choice '{self.name}': pick={pick!r} is neither a number nor a range (lowest, highest)")
        object.__setattr__(self, "pickable", tuple(o for o in self.options if o not in self.mixed_only))
        object.__setattr__(self, "bounds", bounds)
        for text in (self.name, *self.options):
            if not isinstance(text, str) or not _NAME.fullmatch(text):
                raise ValueError(f"choice '{self.name}': {text!r} is not a name; names are text of [A-Za-z0-9_+<>/.-]")
        if len(set(self.options)) != len(self.options):
            raise ValueError(f"choice '{self.name}': options repeat: {', '.join(self.options)}")
        if len(self.options) > MAX_OPTIONS:
            raise ValueError(
                f"choice '{self.name}' has {len(self.options)} options, at most {MAX_OPTIONS} are possible: split it"
            )
        if unknown := set(self.mixed_only) - set(self.options):
            raise ValueError(
                f"choice '{self.name}': mixed_only names {', '.join(sorted(unknown))}, which is no option of it"
            )
        low, high = self.bounds
        if not 0 <= low <= high <= len(self.pickable):
            raise ValueError(
                f"choice '{self.name}': pick={self.pick} cannot be met with {len(self.pickable)} options to pick from"
            )
        if self.ordered:
            numbers = [_number(self.name, o) for o in self.options]
            if any(a >= b for a, b in pairwise(numbers)):
                raise ValueError(
                    f"choice '{self.name}' is ordered, but its options do not rise: {', '.join(self.options)}"
                )

    @property
    def single(self) -> bool:
        """Whether exactly one option is picked."""
        return self.pick == 1

    def is_open(self, picks: Mapping[str, Pick]) -> bool:
        """Whether it is still to decide: not in `picks`, or there with fewer options than it needs."""
        return self.name not in picks or len(picks[self.name]) < self.bounds[0]

    def values(self, have: Pick = ()) -> Iterator[Pick]:
        """Everything that can be picked and has all of `have`: each option, or each subset of the right sizes."""
        low, high = self.bounds
        others = [o for o in self.pickable if o not in have]
        for size in range(max(low, len(have)), high + 1):
            for more in combinations(others, size - len(have)):
                yield self.sort((*have, *more)) if have else more

    def draw(self, uniform: Callable[[], float], have: Pick = ()) -> Pick:
        """A uniform one of `values(have)`; `uniform()` gives numbers of [0, 1)."""
        others = [o for o in self.pickable if o not in have] if have else list(self.pickable)
        low, high = (max(bound - len(have), 0) for bound in self.bounds) if have else self.bounds
        if (low, high) == (0, len(others)):
            return self.sort((*have, *(o for o in others if uniform() < 0.5)))
        size = low
        if low < high:
            target = uniform() * sum(math.comb(len(others), k) for k in range(low, high + 1))
            while size < high and (target := target - math.comb(len(others), size)) >= 0:
                size += 1
        return self.sort((*have, *[others.pop(int(uniform() * len(others))) for _ in range(size)]))

    def read(self, given: Any) -> Pick:
        """What somebody writes for a pick (an option, or several as a list), in the order of the options.

        Raises:
            ValueError: Something that is no option, an option twice, or more options than may be picked.
        """
        picked = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, list | tuple) else None
        if picked is None or any(o not in self.pickable for o in picked) or len(set(picked)) != len(picked):
            options = ", ".join(self.pickable)
            raise ValueError(f"choice '{self.name}' cannot pick {reprlib.repr(given)}; it has the options {options}")
        if len(picked) > self.bounds[1]:
            raise ValueError(self.wrong_number(picked))
        return self.sort(picked)

    def wrong_number(self, picked: Pick) -> str:
        """What to say where too many or too few options are picked."""
        low, high = self.bounds
        return f"choice '{self.name}' picks {low if low == high else f'{low} to {high}'} options, got {len(picked)}"

    def sort(self, picked: Pick) -> Pick:
        """The same options in the order of the choice."""
        return tuple(o for o in self.options if o in picked) if len(picked) > 1 else tuple(picked)


def _several(what: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise TypeError(f"{what}='{names}' is one text; expected several names, such as ('{names}',)")
    return tuple(names)


def _number(name: str, option: str) -> float:
    try:
        number = float(option)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"choice '{name}' is ordered, but its option '{option}' is not a number")
    return number
