"""Signs that a distribution goes wrong, from its weights alone: they cost nothing, so they are always watched."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

from morphogen.oneshot.logits import Weights
from morphogen.space import Architecture
from morphogen.trial import Curves

__all__ = [
    "BASELINE",
    "ENTROPY",
    "NONE",
    "REWARD",
    "SHARPNESS",
    "SKIPPED",
    "SKIPS",
    "SURPRISE",
    "Rewarded",
    "Weighing",
    "health",
    "most_skips",
    "warnings",
]

SKIPS = frozenset({"skip_connect", "skip", "identity"})
"""Operations without weights that pass their input on."""

SKIPPED, NONE, ENTROPY = "skip_share", "none_weight", "entropy"
REWARD, BASELINE, SURPRISE = "reward", "baseline", "controller_entropy"
SHARPNESS = "sharpness"

WINDOW, STEEP = 5, 0.75
"""Zela et al. 2020 (arXiv:1909.09656), section 5.1: a mean over five epochs that is less than this share of the mean
five epochs later says that the minimum gets sharp."""


@runtime_checkable
class Weighing(Protocol):
    """A distribution that weighs options, and so knows its most probable architecture without scoring any."""

    def likeliest(self) -> Architecture:
        """The architecture that it would end at now."""
        ...

    def probabilities(self) -> Weights:
        """Choice -> option -> probability."""
        ...


@runtime_checkable
class Rewarded(Protocol):
    """A distribution that learns from rewards."""

    def signs(self) -> Mapping[str, float]:
        """`reward`, `baseline`, `controller_entropy` (nats) of the last epoch, as far as there are such."""
        ...


def health(distribution: object) -> dict[str, float]:
    """What to watch, after an epoch; empty for a distribution that learns nothing.

    Returns:
        `skip_share`, of the operations of the likeliest architecture that could skip; `none_weight`, the mean weight
        of options that are never picked; `entropy`, the mean over choices, 1 where all options weigh the same. Each
        only where the space has such choices. Of a distribution that learns from rewards, its own signs.
    """
    if isinstance(distribution, Rewarded):
        return dict(distribution.signs())
    if not isinstance(distribution, Weighing):
        return {}
    weights = distribution.probabilities()
    found = distribution.likeliest()
    signs: dict[str, list[float]] = {SKIPPED: [], NONE: [], ENTROPY: []}
    for choice in found.space:
        if choice.name in found and SKIPS & set(choice.pickable):
            signs[SKIPPED].append(float(not SKIPS.isdisjoint(found.picks[choice.name])))
        if choice.name in weights and len(choice.options) > 1:
            p = weights[choice.name]
            signs[ENTROPY].append(
                _entropy(p.values())
                if isinstance(choice.pick, int)
                else math.fsum(_entropy((x, 1 - x)) for x in p.values()) / len(p)
            )
            if choice.mixed_only:
                signs[NONE].append(sum(p[o] for o in choice.mixed_only))
    return {name: math.fsum(values) / len(values) for name, values in signs.items() if values}


def _entropy(p: Collection[float]) -> float:
    """1 where all are alike."""
    return -sum(x * math.log(x) for x in p if x > 0) / math.log(len(p))


def most_skips(architecture: Architecture) -> int:
    """The most skips in one cell.

    A cell is what choices have before the first `/` of their name, where that is the name of several that could skip;
    else, as in a space of one cell and in one of layers, they are all of the same.
    """
    could = Counter(_cell(choice.name) for choice in architecture.space if SKIPS & set(choice.pickable))
    skips = [_cell(name) for name, picked in architecture.picks.items() if not SKIPS.isdisjoint(picked)]
    return max(Counter(skips).values(), default=0) if max(could.values(), default=0) > 1 else len(skips)


def _cell(name: str) -> str:
    return name.partition("/")[0] if "/" in name else ""


def warnings(curves: Curves) -> list[str]:
    """What a person should know about a supernet's training, in words; from the curves of its trial."""
    last: Mapping[str, float] = {name: points[-1][1] for name, points in curves.items() if points}
    said = []
    if last.get(SKIPPED, 0.0) >= 0.5:
        said.append(
            f"{last[SKIPPED]:.0%} of the operations found are skips: the collapse that DARTS is known for when it "
            "trains long; stop earlier (most_skips=2), or take more seeds"
        )
    if last.get(NONE, 0.0) >= 0.5:
        said.append(
            f"`none` has {last[NONE]:.0%} of the weight and is never picked: what was found rests on the small rest"
        )
    if last.get(ENTROPY, 0.0) >= 0.99 and len(curves[ENTROPY]) > 1:
        said.append(
            f"the options are still weighed almost alike (entropy {last[ENTROPY]:.3f} of 1): the search has hardly "
            "decided; train longer, or raise the learning rate of the architecture"
        )
    sharp = [value for _, value in curves.get(SHARPNESS, ())]
    if len(sharp) >= 2 * WINDOW:
        before, now = (math.fsum(part) / WINDOW for part in (sharp[-2 * WINDOW : -WINDOW], sharp[-WINDOW:]))
        if before < STEEP * now:
            said.append(
                f"the minimum that the architecture sits in gets sharp (largest eigenvalue {now:.3g} in the last "
                f"{WINDOW} epochs, {before:.3g} before): discretizing will lose accuracy; stop earlier, or "
                "regularize more"
            )
    entropies, rewards = curves.get(SURPRISE, ()), curves.get(REWARD, ())
    if len(entropies) > 1 and entropies[-1][1] < 0.05 * entropies[0][1]:
        said.append(
            f"the controller samples almost one architecture only (entropy {entropies[-1][1]:.2f} nats, first "
            f"{entropies[0][1]:.2f}): it explores no more; give entropy more weight, or lower its learning rate"
        )
    usual = last.get(BASELINE, 0.0)
    if len(rewards) > 2 and rewards[-1][1] < usual - 0.1 * max(1.0, abs(usual)):
        said.append(
            f"the controller's last rewards ({rewards[-1][1]:.3g}) are far below their moving average "
            f"({usual:.3g}): the shared weights get worse under it, or rewards are very noisy"
        )
    return said
