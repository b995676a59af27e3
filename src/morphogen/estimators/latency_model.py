"""A latency that adds up over the choices, learned from some architectures that were measured on one's own device."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from morphogen.limits import Cost
from morphogen.protocols import Context, MorphogenError
from morphogen.space import Architecture, Space
from morphogen.training.files import write_whole
from morphogen.trial import Outcome, Proposal

__all__ = ["LatencyModel", "PredictedLatency", "learned"]

Array = NDArray[np.float64]
Literals = tuple[tuple[str, str], ...]
METRIC = "latency_ms"
SHARED = (0.01, 0.1, 1.0, 10.0)
OWN = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""How strongly a deviation is doubted: of the options of one kind of choice, and of a single choice's."""
COUNTED = 1e-4
NOISE = (0.02, 0.06, 0.2, 0.6)
"""Of a measurement, relative: what nothing explains. A busy machine has more."""
MAX_BYTES = 64 << 20


@final
@dataclass(frozen=True)
class LatencyModel:
    """What the latency of any architecture of a space is expected to be, as a sum of terms.

    So it is exact as a limit: `Limit(model.cost, 5.0)` keeps every proposal within 5 ms as the model sees it.

    Args:
        space: Its name.
        cost: `latency_ms`.
        measured: Of what it was learned: `image`, `skeleton`, `batch_size`, `threads`, `device`, `runtime`, `count`;
            `error` (mean relative error of architectures that were left out) and `repeat_error` (mean relative
            difference of two measurements of the same one).
    """

    space: str
    cost: Cost
    measured: Mapping[str, Any] = field(default_factory=dict)

    def check(self, space: Space) -> None:
        """Raises: ValueError: It is of another space."""
        known = {(choice.name, option) for choice in space for option in choice.options}
        if self.space != space.name or any(not known.issuperset(literals) for literals in self.cost.terms):
            raise ValueError(
                f"the latency model is of the space '{self.space}', not of '{space.name}' with these choices: "
                f"measure again with `morphogen profile --space {space.name} --measure 100`"
            )

    def save(self, path: Path | str) -> None:
        """Write plain JSON."""
        body = {
            "kind": "latency-model",
            "version": 1,
            "space": self.space,
            "measured": dict(self.measured),
            "base": self.cost.base,
            "terms": [[[list(pair) for pair in literals], value] for literals, value in self.cost.terms.items()],
        }
        text = json.dumps(body, allow_nan=False)
        write_whole(Path(path), lambda file: file.write(text.encode()))

    @staticmethod
    def load(path: Path | str) -> LatencyModel:
        """Read what `save` wrote.

        Raises:
            MorphogenError: The file is missing or no latency model.
        """
        path = Path(path)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"it has more than {MAX_BYTES} bytes")
            body = json.loads(path.read_text(encoding="utf-8"))
            if body.get("kind") != "latency-model" or body.get("version") != 1:
                raise ValueError("it is JSON of another kind")
            terms = {tuple((str(c), str(o)) for c, o in literals): float(value) for literals, value in body["terms"]}
            return LatencyModel(str(body["space"]), Cost(METRIC, terms, float(body["base"])), dict(body["measured"]))
        except OSError as error:
            raise MorphogenError(f"the latency model {path} cannot be read: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MorphogenError(
                f"{path} is no latency model ({error}): `morphogen profile --space S --measure 100 --to {path}` writes one"
            ) from None


@final
@dataclass(frozen=True)
class PredictedLatency:
    """Looks `latency_ms` up in a model: no noise, and no time.

    Args:
        space: Where architectures are from.
        model: Of that space.

    Raises:
        ValueError: The model is of another space.
    """

    space: Space
    model: LatencyModel

    def __post_init__(self) -> None:
        self.model.check(self.space)

    @property
    def measured(self) -> frozenset[str]:
        return frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        if proposal.architecture is None:
            raise ValueError("the latency of a whole space was asked for; an architecture is needed")
        return Outcome({METRIC: self.model.cost(proposal.architecture.picks)})

    def cost(self, proposal: Proposal) -> float:
        return 1.0


def learned(
    space: Space, architectures: Sequence[Architecture], milliseconds: Sequence[float], counted: Mapping[str, Cost] = {}
) -> tuple[Cost, float]:
    """A sum of terms that gives the latencies of some architectures, and its mean relative error on those left out.

    A linear regression on multiply-adds and parameters (which carry what choices do to each other), on how often an
    option is picked in choices of one kind (`normal/3<-1` and `normal/4<-0` are), and on every single option, the
    later ones shrunk the more: Gaussian priors, whose widths are those of the least error when each architecture in
    turn is left out (in closed form). Errors count relative to the latency. A table of operators, each timed by itself
    (Cai et al. 2019, arXiv:1812.00332, appendix B), is a sum of the same terms; measured as whole networks, what
    caches and fused kernels do is in them.

    Args:
        space: Of the architectures.
        architectures: Measured.
        milliseconds: Theirs.
        counted: Other costs that add up, `params` and `macs`, where there are any.

    Raises:
        ValueError: Fewer than eight architectures, or a latency that is not above 0.
    """
    y = np.asarray(milliseconds, float)
    if len(y) != len(architectures) or len(y) < 8 or not (np.isfinite(y) & (y > 0)).all():
        raise ValueError(f"{len(y)} latencies of {len(architectures)} architectures: eight or more are needed, above 0")
    features = [*((1, cost) for cost in counted.values()), *_features(space)]
    x = np.array([[cost(a.picks) for _, cost in features] for a in architectures])
    varying = np.flatnonzero(x.std(axis=0) > 1e-9 * (1 + np.abs(x).max(axis=0)))
    features, x = [features[i] for i in varying], x[:, varying]
    weight = 1 / y
    weight = weight / weight.sum()
    center, spread = weight @ x, x.std(axis=0)
    z = (x - center) / spread
    level = float(weight @ y)
    kinds = np.array([kind for kind, _ in features])
    best: tuple[float, float, Array] | None = None
    for shared in SHARED:
        for own in OWN:
            prior = np.where(kinds == 1, 1 / COUNTED, np.where(kinds == 2, 1 / shared, 1 / own))
            for noise in NOISE:
                found = _ridge(z, y - level, prior, y, noise)
                if best is None or found[0] < best[0]:
                    best = found
    assert best is not None
    error, off, coefficients = best
    terms: dict[Literals, float] = {}
    base = level + off - float(coefficients @ (center / spread))
    for (_, cost), coefficient in zip(features, coefficients / spread, strict=True):
        base += coefficient * cost.base
        for literals, value in cost.terms.items():
            terms[literals] = terms.get(literals, 0.0) + coefficient * value
    return Cost(METRIC, {k: float(v) for k, v in terms.items() if v}, float(base)), error


def _ridge(z: Array, y: Array, prior: Array, truth: Array, relative_noise: float) -> tuple[float, float, Array]:
    """The mean relative error of what is left out, the level, and coefficients with these prior variances."""
    unit = float(y.std()) or 1.0
    noise = (relative_noise * truth / unit) ** 2
    # in the dual, as there are more features than architectures; the last term is the level's
    kernel = (z * prior) @ z.T / len(prior) + 1.0
    inverse = np.linalg.inv(kernel + np.diag(noise))
    alpha = unit * (inverse @ (y / unit))
    left_out = alpha / np.diag(inverse)
    return float(np.mean(np.abs(left_out) / truth)), float(alpha.sum()), prior * (z.T @ alpha) / len(prior)


def _features(space: Space) -> Iterator[tuple[int, Cost]]:
    """How often an option is picked in choices of one kind (2), and every option by itself (3)."""
    kinds: dict[tuple[str, str], dict[Literals, float]] = {}
    for choice in space:
        head, slash, tail = choice.name.partition("/")
        names = {re.sub(r"\d+", "#", choice.name), head + slash + re.sub(r"\d+", "#", tail)}
        for option in choice.pickable:
            for name in names:
                kinds.setdefault((name, option), {})[((choice.name, option),)] = 1.0
    for terms in kinds.values():
        if len(terms) > 1:
            yield 2, Cost(METRIC, terms)
    for choice in space:
        for option in choice.pickable:
            yield 3, Cost(METRIC, {((choice.name, option),): 1.0})


def relative(values: Sequence[float], others: Sequence[float]) -> float:
    """The mean of `|a - b| / b`."""
    return math.fsum(abs(a - b) / b for a, b in zip(values, others, strict=True)) / len(values)
