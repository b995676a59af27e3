"""The search space and its points: data, without torch.

A `Space` is a tuple of choices, parents first. An `Architecture` is one of its points in normal form: choices that do not
exist in it are dropped, subsets are in option order, and inside it is one byte a choice. Everything that proposes
architectures (sampling, the moves of `moves.py`, enumeration, a controller's mask) stands on `Space.allowed`.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import comb
from typing import Any, final

import numpy as np

from morphogen.choice import Choice, Pick, When
from morphogen.limits import Completions, Cost, Limit

__all__ = ["Architecture", "Choice", "Cost", "Limit", "Pick", "Space", "When"]


@final
class Architecture(Mapping[str, str | Pick]):
    """A point of a space, immutable and hashable.

    A mapping from the names of its active choices to the picked option (a tuple of options where a choice picks several).
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
        return self.space._decode(self.code)

    def __getitem__(self, name: str) -> str | Pick:
        picked = self.picks[name]
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
            if choice.name in seen:
                raise ValueError(f"two choices are called '{choice.name}'")
            if choice.when is not None:
                parent = seen.get(choice.when.choice)
                if parent is None:
                    raise ValueError(
                        f"choice '{choice.name}' exists when '{choice.when.choice}' picks something, but no earlier choice has that name"
                    )
                if unknown := set(choice.when.any_of) - set(parent.options):
                    raise ValueError(
                        f"choice '{choice.name}': '{parent.name}' has no option {', '.join(sorted(unknown))}; it has {', '.join(parent.options)}"
                    )
            seen[choice.name] = choice
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
        return replace(mine, choices=self.choices + other.choices, limits=self.limits + other.limits, name=mine.name or theirs.name)

    # --- points ---------------------------------------------------------------------------------------------------

    def architecture(self, picks: Mapping[str, Any]) -> Architecture:
        """The architecture with these picks (an option, or several as a list); those of inactive choices are dropped.

        Raises:
            ValueError: An unknown choice or option, a missing choice, or an architecture outside the limits.
        """
        normal = self._normal(picks)
        for choice in self.active(normal):
            if choice.name not in normal:
                raise ValueError(f"choice '{choice.name}' is not decided; it has the options {', '.join(choice.pickable)}")
            low, high = choice.bounds
            if not low <= len(normal[choice.name]) <= high:
                raise ValueError(f"choice '{choice.name}' picks {low if low == high else f'{low} to {high}'} options, got {len(normal[choice.name])}")
        if not self.feasible(normal):
            costs = ", ".join(f"{lim.cost.metric} {lim.cost(normal):g} (at most {lim.at_most:g})" for lim in self.limits)
            raise ValueError(f"the architecture is outside the limits of the space: {costs}")
        return Architecture(self, self._encode(normal))

    def parse(self, text: str) -> Architecture:
        """Read `Architecture.text`, or the JSON of `Architecture.json`.

        Raises:
            ValueError: Neither of the two, or no architecture of this space.
        """
        if text.lstrip().startswith("{"):
            try:
                loaded = json.loads(text)
            except (json.JSONDecodeError, RecursionError) as error:
                raise ValueError(f"not the JSON of an architecture: {error}") from None
            return self.architecture(loaded)
        picks: dict[str, Any] = {}
        for word in text.split():
            name, equals, value = word.partition("=")
            if not equals:
                raise ValueError(f"'{word}' is not of the form choice=option")
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

        `picks` may be any partial assignment. Empty where the choice is full: `picks[choice]` has as many options as it may.
        """
        choice = choice if isinstance(choice, Choice) else self[choice]
        have = picks.get(choice.name, ())
        if len(have) >= choice.bounds[1]:
            return ()
        options = tuple(o for o in choice.pickable if o not in have) if have else choice.pickable
        if not self.limits:
            return options
        return tuple(o for o in options if self._completions.feasible({**picks, choice.name: (*have, o)}, choice.name))

    def complete(self, picks: Mapping[str, Pick], rng: np.random.Generator) -> Architecture:
        """Decide what `picks` leaves open, each decision uniform over what is allowed."""
        uniform = _Uniforms(rng, self._decisions)
        if self.limits:
            return Architecture(self, self._encode(self._completions.draw(uniform, picks)))
        decided: dict[str, Pick] = {}
        for choice in self.choices:
            when = choice.when
            if when is not None and not any(o in decided.get(when.choice, ()) for o in when.any_of):
                continue
            if choice.name in picks:
                decided[choice.name] = picks[choice.name]
            elif choice.single:
                options = choice.pickable
                decided[choice.name] = (options[int(uniform() * len(options))],)
            else:
                decided[choice.name] = _subset(choice, uniform)
        return Architecture(self, self._encode(decided))

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Every active decision uniform over what is allowed: the random search of the literature."""
        return self.complete({}, rng)

    def sample_uniform(self, rng: np.random.Generator) -> Architecture:
        """Every architecture equally likely, by counting completions; limits are kept by rejection."""
        while True:
            picks = self._unlimited.draw(_Uniforms(rng, self._decisions), by_count=True)
            if self.feasible(picks):
                return Architecture(self, self._encode(picks))

    def enumerate(self, picks: Mapping[str, Pick] | None = None) -> Iterator[Architecture]:
        """Every architecture, or every completion of `picks`, in the order of choices and options."""
        picks = picks or {}
        choice = next((c for c in self.active(picks) if c.name not in picks), None)
        if choice is None:
            yield Architecture(self, self._encode({c.name: picks[c.name] for c in self.active(picks)}))
            return
        for picked in choice.values():
            extended = {**picks, choice.name: picked}
            if self.feasible(extended):
                yield from self.enumerate(extended)

    def feasible(self, picks: Mapping[str, Pick]) -> bool:
        """Whether some completion of `picks` is within the limits."""
        return not self.limits or self._completions.feasible(picks)

    @cached_property
    def size(self) -> int:
        """How many architectures there are, limits aside. Exact."""
        return self._unlimited.count()

    def fix(self, architecture: Architecture) -> Space:
        """The space of one point: every active choice has only what the architecture picks."""
        picks = architecture.picks
        fixed = tuple(
            Choice(c.name, picks[c.name], pick=1 if c.single else len(picks[c.name]), ordered=c.ordered)
            for c in self.choices
            if c.name in picks
        )
        return replace(self, choices=fixed, limits=(), canonical="")

    def restrict(self, options: Mapping[str, tuple[str, ...]]) -> Space:
        """The space with fewer options; a choice whose condition can no longer hold is dropped.

        Raises:
            ValueError: An option that the choice does not have.
        """
        kept: dict[str, Choice] = {}
        for choice in self.choices:
            wanted = options.get(choice.name, choice.options)
            if unknown := set(wanted) - set(choice.options):
                raise ValueError(f"choice '{choice.name}' has no option {', '.join(sorted(unknown))}")
            when = choice.when
            if when is not None:
                parent = kept.get(when.choice)
                still = () if parent is None else tuple(o for o in when.any_of if o in parent.options)
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
        """Bytes that are equal exactly when the stand-alone networks are isomorphic, with equal params and MACs."""
        return self._canonical(architecture) if self.canonical else architecture.code

    # --- inside ---------------------------------------------------------------------------------------------------

    @cached_property
    def _by_name(self) -> dict[str, Choice]:
        return {c.name: c for c in self.choices}

    @cached_property
    def _completions(self) -> Completions:
        return Completions(self.choices, self.limits)

    @cached_property
    def _unlimited(self) -> Completions:
        return Completions(self.choices, ()) if self.limits else self._completions

    @cached_property
    def _canonical(self) -> Callable[[Architecture], bytes]:
        found: Callable[[Architecture], bytes] = resolve(str(self.canonical))
        return found

    @cached_property
    def _decisions(self) -> int:
        return sum(1 if c.single else len(c.options) for c in self.choices)

    @cached_property
    def _places(self) -> dict[str, tuple[Choice, int, int, dict[str, int]]]:
        """Per choice: where its bytes stand, how many, and the number that an option adds to them."""
        places, at = {}, 0
        for c in self.choices:
            width = 1 if c.single else -(-len(c.options) // 8)
            places[c.name] = c, at, width, {o: i + 1 if c.single else 1 << i for i, o in enumerate(c.options)}
            at += width
        return places

    @cached_property
    def _length(self) -> int:
        return sum(width for _, _, width, _ in self._places.values())

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def _encode(self, picks: Mapping[str, Pick]) -> bytes:
        code = bytearray(self._length)
        for name, picked in picks.items():
            _, at, width, values = self._places[name]
            if width == 1:
                code[at] = values[picked[0]] if len(picked) == 1 else sum(values[o] for o in picked)
            else:
                code[at : at + width] = sum(values[o] for o in picked).to_bytes(width, "little")
        return bytes(code)

    def _decode(self, code: bytes) -> dict[str, Pick]:
        picks: dict[str, Pick] = {}
        for name, (choice, at, width, _) in self._places.items():
            when = choice.when
            if when is not None and not any(o in picks.get(when.choice, ()) for o in when.any_of):
                continue
            if choice.single:
                picks[name] = (choice.options[code[at] - 1],)
            else:
                bits = int.from_bytes(code[at : at + width], "little")
                picks[name] = tuple(o for i, o in enumerate(choice.options) if bits >> i & 1)
        return picks

    def _normal(self, picks: Mapping[str, Any]) -> dict[str, Pick]:
        if not isinstance(picks, Mapping):
            raise ValueError(f"an architecture is a mapping from choices to options, got {type(picks).__name__}")
        if unknown := [n for n in picks if n not in self]:
            raise ValueError(f"the space has no choice '{unknown[0]}'; it has {_some([c.name for c in self.choices])}")
        normal: dict[str, Pick] = {}
        for choice in self.choices:
            if choice.name not in picks:
                continue
            given = picks[choice.name]
            options = [given] if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else None
            if options is None or not all(isinstance(o, str) and o in choice.pickable for o in options) or len(set(options)) != len(options):
                raise ValueError(f"choice '{choice.name}' cannot pick {given!r}; it has the options {', '.join(choice.pickable)}")
            normal[choice.name] = tuple(o for o in choice.options if o in options)
        return {c.name: normal[c.name] for c in self.active(normal) if c.name in normal}


class _Uniforms:
    """Numbers of [0, 1), drawn from the generator in blocks: one scalar draw costs more than a whole decision."""

    def __init__(self, rng: np.random.Generator, block: int) -> None:
        self._rng, self._block = rng, max(block, 1)
        self._left: list[float] = []

    def __call__(self) -> float:
        if not self._left:
            self._left = self._rng.random(self._block).tolist()
        return self._left.pop()


def _subset(choice: Choice, uniform: Callable[[], float]) -> Pick:
    """A uniform one of all subsets that a choice may pick."""
    (low, high), options = choice.bounds, choice.pickable
    if (low, high) == (0, len(options)):
        return tuple(o for o in options if uniform() < 0.5)
    size = low
    if low < high:
        target = uniform() * sum(comb(len(options), k) for k in range(low, high + 1))
        while size < high and (target := target - comb(len(options), size)) >= 0:
            size += 1
    left = list(options)
    picked = {left.pop(int(uniform() * len(left))) for _ in range(size)}
    return tuple(o for o in options if o in picked)


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _dotted(value: str | Callable[..., Any], attribute: str) -> str:
    """The dotted name of a function, so that a space is data: it pickles, compares and prints."""
    if isinstance(value, str):
        return value
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "<lambda>")
    if not module or "<" in name:
        raise ValueError(f"{attribute}={value!r} cannot be imported by name; define it with `def` at the top of a module")
    return f"{module}:{name}"


def resolve(dotted: str) -> Any:
    """Import `package.module:name`.

    Raises:
        ValueError: There is no such module or name.
    """
    module, colon, name = dotted.partition(":")
    if not colon:
        raise ValueError(f"'{dotted}' is not of the form package.module:name")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"'{dotted}' cannot be imported: {error}") from None
    return found
