"""The search space and its points: data, without torch.

A `Space` is a tuple of choices, parents first. An `Architecture` is one of its points in normal form: choices that do
not exist in it are dropped, subsets are in option order, and inside it is one byte a choice. Everything that proposes
architectures (sampling, the moves of `moves.py`, enumeration, a controller's mask) stands on `Space.allowed`.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, final

import numpy as np

from morphogen.architecture import Architecture
from morphogen.catalog import resolve
from morphogen.choice import Choice, Pick, When
from morphogen.coding import Coding
from morphogen.completions import Completions
from morphogen.heaviest import heaviest
from morphogen.limits import Cost, Limit

__all__ = ["HYPERPARAMETERS", "Architecture", "Choice", "Cost", "Limit", "Pick", "Space", "When"]

HYPERPARAMETERS = "train/"
"""Choices of this prefix are read by the training, not by the network."""

MOST_REJECTIONS = 100_000


@final
@dataclass(frozen=True)
class Space:
    """What may vary in a network.

    Args:
        choices: The decisions, parents before the choices that exist only `when` something is picked.
        limits: Bounds on additive costs, kept by construction.
        network: What builds the network, `f(space, skeleton, mixed) -> nn.Module`: a function, or its dotted name
            `package.module:function`, imported on first use.
        skeletons: Named presets of the hand-made rest of the network, such as `search` and `final`.
        canonical: Dotted name of (or) a function from an architecture to bytes that are equal exactly for isomorphic
            networks; without it, the normal form.
        name: What the command line calls the space.

    Raises:
        ValueError: Names that repeat, a condition on an unknown, later or impossible option, limits that nothing meets.
    """

    choices: tuple[Choice, ...]
    limits: tuple[Limit, ...] = ()
    network: str | Callable[..., Any] = ""
    skeletons: Mapping[str, Any] = field(default_factory=dict, hash=False)
    canonical: str | Callable[[Architecture], bytes] = ""
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        object.__setattr__(self, "limits", tuple(self.limits))
        for attribute in ("network", "canonical"):
            object.__setattr__(self, attribute, _dotted(getattr(self, attribute), attribute))
        seen: dict[str, Choice] = {}
        for choice in self.choices:
            name, when = choice.name, choice.when
            if name in seen:
                raise ValueError(f"two choices are called '{name}'")
            if when is not None:
                parent, wanted = seen.get(when.choice), ", ".join(when.any_of)
                if parent is None:
                    raise ValueError(
                        f"choice '{name}' exists when '{when.choice}' picks {wanted}, but no earlier choice is that"
                    )
                if unknown := set(when.any_of) - set(parent.options):
                    has = ", ".join(parent.options)
                    raise ValueError(
                        f"choice '{name}': '{parent.name}' has no option {', '.join(sorted(unknown))}; it has {has}"
                    )
                if not set(when.any_of) & set(parent.pickable):
                    raise ValueError(
                        f"choice '{name}' could never exist: '{parent.name}' never picks {wanted} (mixed_only)"
                    )
            seen[name] = choice
        if not self.feasible({}):
            bounds = ", ".join(f"{lim.cost.metric} at most {lim.at_most:g}" for lim in self.limits)
            raise ValueError(f"no architecture of the space is within its limits: {bounds}")

    def __getitem__(self, name: str) -> Choice:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Choice]:
        return iter(self.choices)

    def __or__(self, other: Space) -> Space:
        """The product of two spaces, such as `space | training`; the network is the one that either has."""
        if self.network and other.network:
            raise ValueError("both spaces of a product have a network; a network and other choices can be joined")
        mine, theirs = (self, other) if self.network or not other.network else (other, self)
        return replace(
            mine, choices=self.choices + other.choices, limits=self.limits + other.limits, name=mine.name or theirs.name
        )

    # --- points ---------------------------------------------------------------------------------------------------

    def architecture(self, picks: Mapping[str, Any]) -> Architecture:
        """The architecture with these picks (an option, or several as a list); those of inactive choices are dropped.

        Raises:
            ValueError: An unknown choice or option, a missing choice, or an architecture outside the limits.
        """
        if not self.limits and (code := self.coding.direct(picks)) is not None:
            return Architecture(self, code)
        read = self._read(picks)
        normal = {c.name: read[c.name] for c in self.active(read) if c.name in read}
        for choice in self.active(normal):
            if choice.name not in normal:
                raise ValueError(
                    f"choice '{choice.name}' is not decided; it has the options {', '.join(choice.pickable)}"
                )
            if choice.is_open(normal):
                raise ValueError(choice.wrong_number(normal[choice.name]))
        if not self.feasible(normal):
            costs = ", ".join(
                f"{lim.cost.metric} {lim.cost(normal):g} (at most {lim.at_most:g})" for lim in self.limits
            )
            raise ValueError(f"the architecture is outside the limits of the space: {costs}")
        return Architecture(self, self.coding.encode(normal))

    def parse(self, text: str) -> Architecture:
        """Read `Architecture.text`, or the JSON of `Architecture.json`.

        Raises:
            ValueError: Neither of the two, or no architecture of this space.
        """
        if text.lstrip().startswith("{"):
            try:
                loaded = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"not the JSON of an architecture: {error}") from None
            return self.architecture(loaded)
        picks: dict[str, Any] = {}
        for word in text.split():
            name, equals, value = word.partition("=")
            if not equals:
                raise ValueError(f"'{word}' is not of the form choice=option")
            if name in picks:
                raise ValueError(f"choice '{name}' is decided twice")
            picks[name] = [v for v in value.split(",") if v]
        return self.architecture(picks)

    def active(self, picks: Mapping[str, Pick]) -> Iterator[Choice]:
        """The choices that exist, given the picks; a parent that is not decided counts as inactive."""
        exists: set[str] = set()
        for choice in self.choices:
            when = choice.when
            if when is None or (when.choice in exists and any(o in picks.get(when.choice, ()) for o in when.any_of)):
                exists.add(choice.name)
                yield choice

    def allowed(self, picks: Mapping[str, Pick], choice: str | Choice) -> tuple[str, ...]:
        """The options that can be added to what `picks` has of a choice and still be completed within the limits.

        `picks` may be any partial assignment, in any order; another subset counts as decided where it has as many
        options as it needs. Empty where the choice is full: `picks[choice]` has as many options as it may. A completion
        in which the choice does not exist counts as well: ask for a choice after its parents where that matters.
        """
        choice = choice if isinstance(choice, Choice) else self[choice]
        have = picks.get(choice.name, ())
        if len(have) >= choice.bounds[1]:
            return ()
        options = tuple(o for o in choice.pickable if o not in have) if have else choice.pickable
        if not self.limits:
            return options
        growing = choice.name if len(have) + 1 < choice.bounds[1] else None
        return tuple(o for o in options if self._completions.feasible({**picks, choice.name: (*have, o)}, growing))

    def complete(
        self, picks: Mapping[str, Pick], rng: np.random.Generator, wishes: Mapping[str, Sequence[Pick]] | None = None
    ) -> Architecture:
        """Decide what `picks` leaves open, each decision uniform over the values that are allowed.

        A subset with fewer options than it needs is open and grows; picks of choices that do not exist are dropped.

        Args:
            picks: What is decided.
            rng: Decides the rest.
            wishes: Values to take for an open choice where they are allowed, the first one that is.

        Raises:
            ValueError: No such choice or option, too many options of a choice, or no completion within the limits.
        """
        picks, wishes, uniform = self._read(picks), wishes or {}, _Uniforms(rng, self._decisions)
        if self.limits:
            return Architecture(self, self.coding.encode(self._completions.draw(uniform, picks, wishes)))
        decided: dict[str, Pick] = {}
        for choice in self.choices:
            name, when = choice.name, choice.when
            if when is not None and not any(o in decided.get(when.choice, ()) for o in when.any_of):
                continue
            if picks and not choice.is_open(picks):
                decided[name] = picks[name]
            elif wishes.get(name):
                decided[name] = wishes[name][0]
            elif choice.single:
                options = choice.pickable
                decided[name] = (options[int(uniform() * len(options))],)
            else:
                decided[name] = choice.draw(uniform, picks.get(name, ()))
        return Architecture(self, self.coding.encode(decided))

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Every active decision uniform over what is allowed: the random search of the literature."""
        return self.complete({}, rng)

    def sample_uniform(self, rng: np.random.Generator) -> Architecture:
        """Every architecture equally likely, by counting completions; limits are kept by rejection."""
        uniform = _Uniforms(rng, self._decisions)
        for _ in range(MOST_REJECTIONS):
            picks = self._completions.draw_by_count(uniform)
            if picks is not None:
                return Architecture(self, self.coding.encode(picks))
        raise ValueError(
            f"all of {MOST_REJECTIONS} uniform draws were outside the limits of the space; `sample` needs no rejection"
        )

    def enumerate(self, picks: Mapping[str, Pick] | None = None) -> Iterator[Architecture]:
        """Every architecture, or every completion of `picks`, in the order of choices and of their values."""
        for completed in self._completions.enumerate(self._read(picks or {})):
            yield Architecture(self, self.coding.encode(completed))

    def heaviest(self, weights: Mapping[str, Mapping[str, float]], *, only: bool = False) -> Iterator[Architecture]:
        """Architectures within the limits by falling sums of the weights of what they pick.

        It may end before all were given, where limits leave very many of almost equal weight.

        Args:
            weights: Choice -> option -> what it adds where it is picked; what is not there adds nothing.
            only: Whether the first one is all that is wanted.
        """
        for picks in heaviest(self._completions, weights, only=only):
            yield Architecture(self, self.coding.encode(picks))

    def changed(self, architecture: Architecture, choice: str, value: Pick) -> Iterator[Architecture]:
        """Every architecture that differs by this value of one decision; choices that it brings into being take all."""
        if choice in self._parents:
            yield from self.enumerate({**architecture.picks, choice: value})
        elif self.feasible({**architecture.picks, choice: value}):
            yield Architecture(self, self.coding.replaced(architecture.code, choice, value))

    def feasible(self, picks: Mapping[str, Pick]) -> bool:
        """Whether some completion of `picks` is within the limits."""
        return not self.limits or self._completions.feasible(picks)

    @cached_property
    def size(self) -> int:
        """How many architectures there are, limits aside. Exact."""
        return self._completions.graph.count()

    def fix(self, architecture: Architecture) -> Space:
        """The space of one point: every active choice has only what the architecture picks."""
        picks = architecture.picks
        fixed = tuple(
            Choice(c.name, picks[c.name], pick=1 if c.single else (len(picks[c.name]),) * 2, ordered=c.ordered)
            for c in self.choices
            if c.name in picks
        )
        return replace(self, choices=fixed, limits=(), canonical="")

    def restrict(self, options: Mapping[str, tuple[str, ...]]) -> Space:
        """The space with fewer options; a choice whose condition can no longer hold is dropped.

        Raises:
            ValueError: No such choice or option, or too few options left for a choice.
        """
        if strangers := [n for n in options if n not in self]:
            raise ValueError(self._no_choice(strangers[0]))
        kept: dict[str, Choice] = {}
        for choice in self.choices:
            wanted = options.get(choice.name, choice.options)
            if unknown := set(wanted) - set(choice.options):
                raise ValueError(f"choice '{choice.name}' has no option {', '.join(sorted(unknown))}")
            when = choice.when
            if when is not None:
                parent = kept.get(when.choice)
                still = () if parent is None else tuple(o for o in when.any_of if o in parent.pickable)
                if not still:
                    continue
                when = When(when.choice, still)
            low, high = choice.bounds
            left = tuple(o for o in choice.options if o in wanted)
            mixed_only = tuple(o for o in choice.mixed_only if o in wanted)
            pick = choice.pick if isinstance(choice.pick, int) else (low, min(high, len(left) - len(mixed_only)))
            kept[choice.name] = replace(choice, options=left, pick=pick, when=when, mixed_only=mixed_only)
        return replace(self, choices=tuple(kept.values()))

    def identity(self, architecture: Architecture) -> bytes:
        """Bytes that are equal exactly when the stand-alone networks are isomorphic, with equal params and MACs.

        What the training reads (`train/...`) belongs to it: the same network trained otherwise is another trial.
        """
        if not self.canonical:
            return architecture.code
        training = [f"{n}={p}" for n, p in architecture.picks.items() if n.startswith(HYPERPARAMETERS)]
        return self._canonical(architecture) + " ".join(training).encode()

    # --- inside ---------------------------------------------------------------------------------------------------

    @cached_property
    def _by_name(self) -> dict[str, Choice]:
        return {c.name: c for c in self.choices}

    @cached_property
    def _parents(self) -> frozenset[str]:
        return frozenset(c.when.choice for c in self.choices if c.when is not None)

    @cached_property
    def _completions(self) -> Completions:
        return Completions(self.choices, self.limits)

    @cached_property
    def _canonical(self) -> Callable[[Architecture], bytes]:
        found: Callable[[Architecture], bytes] = resolve(str(self.canonical))
        return found

    @cached_property
    def _decisions(self) -> int:
        return sum(1 if c.single else len(c.options) for c in self.choices)

    @cached_property
    def coding(self) -> Coding:
        """Between picks and the bytes that architectures hold."""
        return Coding(self.choices)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def _read(self, picks: Any) -> dict[str, Pick]:
        """Picks as tuples in the order of the options, checked one by one."""
        if not isinstance(picks, Mapping):
            got = type(picks).__name__
            raise ValueError(f"an architecture is a mapping from choices to options, got {got}")
        if unknown := [name for name in picks if name not in self._by_name]:
            raise ValueError(self._no_choice(unknown[0]))
        return {name: self._by_name[name].read(given) for name, given in picks.items()}

    def _no_choice(self, name: object) -> str:
        return f"the space has no choice {reprlib.repr(name)}; it has {_some([c.name for c in self.choices])}"


class _Uniforms:
    """Numbers of [0, 1), drawn from the generator in blocks: one scalar draw costs more than a whole decision."""

    def __init__(self, rng: np.random.Generator, block: int) -> None:
        self._rng, self._block = rng, max(block, 1)
        self._left: list[float] = []

    def __call__(self) -> float:
        if not self._left:
            self._left = self._rng.random(self._block).tolist()
        return self._left.pop()


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _dotted(value: str | Callable[..., Any], attribute: str) -> str:
    """The dotted name of a function, so that a space is data: it pickles, compares and prints."""
    if isinstance(value, str):
        return value
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "<lambda>")
    if not module or "<" in name:
        raise ValueError(
            f"{attribute}={value!r} cannot be imported by name; define it with `def` at the top of a module"
        )
    return f"{module}:{name}"
