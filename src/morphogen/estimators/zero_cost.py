"""Judge an architecture by training-free scores of its network at initialization."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
import torch
from scipy.stats import rankdata

from morphogen.catalog import nearest
from morphogen.estimators.complexity import suited_skeleton
from morphogen.estimators.scores import SCORES, Batch
from morphogen.nn.network import network
from morphogen.protocols import Context
from morphogen.space import Architecture, Space
from morphogen.training.batches import Batches
from morphogen.training.data import Data
from morphogen.training.device import seeded, torch_device
from morphogen.trial import Outcome, Proposal

__all__ = ["ZeroCost", "mean_ranks"]


@final
@dataclass(frozen=True)
class ZeroCost:
    """Scores the network of an architecture with new weights, on one batch of training images: a metric a score.

    Weights are those that training would begin with, a function of `context.seed`. Scores of several kinds are not
    comparable; `ranked` adds the metric `rank`, which puts them together.

    Args:
        space: Where architectures are from.
        data: Whose training images the batch is of, the first of a fixed permutation.
        scores: Names of `scores.SCORES`.
        skeleton: The hand-made rest, or the name of a preset of the space; by default the preset `search`.
        images: Of the batch.
        reference: Score -> its values over some architectures. Then the metric `rank` is the mean, over these
            scores, of the share of values that the architecture's own is above: 0 to 1, more is better.

    Raises:
        ValueError: An unknown score, fewer than two images, or a reference of a score that is not asked for.
    """

    space: Space
    data: Data
    scores: Sequence[str] = ("synflow", "naswot")
    skeleton: Any = None
    images: int = 16
    reference: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        skeleton = suited_skeleton(self.space, self.skeleton, self.data.image, self.data.classes)
        object.__setattr__(self, "skeleton", skeleton)
        names = tuple(name.replace("-", "_") for name in self.scores)
        object.__setattr__(self, "scores", names)
        for name in names:
            if name not in SCORES:
                known = ", ".join(SCORES)
                raise ValueError(f"there is no training-free score '{name}'{nearest(name, SCORES)}; there are {known}")
        if not names:
            raise ValueError(f"no score was asked for; there are {', '.join(SCORES)}")
        if not 2 <= self.images <= len(self.data.train):
            raise ValueError(f"a batch of {self.images} images: it has 2 or more, and data '{self.data.name}' has "
                             f"{len(self.data.train)}")  # fmt: skip
        if unknown := sorted(set(self.reference) - set(names)):
            raise ValueError(f"the reference has score '{unknown[0]}', which is none of {', '.join(names)}")

    @property
    def measured(self) -> frozenset[str]:
        return frozenset({"seconds"})

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        if proposal.architecture is None:
            raise ValueError("training-free scores are of one architecture, but the whole space was proposed")
        started = time.monotonic()
        metrics = self._metrics(proposal.architecture, context)
        if self.reference:
            shares = [_above(metrics[name], values) for name, values in self.reference.items()]
            metrics["rank"] = sum(shares) / len(shares)
        return Outcome(metrics, seconds=time.monotonic() - started)

    def cost(self, proposal: Proposal) -> float:
        return 1.0

    def ranked(self, count: int = 50, seed: int = 0, device: str = "cpu") -> ZeroCost:
        """The same with a `rank` among architectures that are drawn from the space and scored now.

        Args:
            count: How many.
            seed: Of the draws, and of the weights.
            device: Where they are scored.
        """
        rng, context = np.random.default_rng(seed), Context(seed, device=device)
        rows = [self._metrics(self.space.sample(rng), context) for _ in range(count)]
        return replace(self, reference={name: tuple(row[name] for row in rows) for name in self.scores})

    def _metrics(self, architecture: Architecture, context: Context) -> dict[str, float]:
        device = torch_device(context.device)
        with seeded(context.seed, device):
            built = network(self.space.fix(architecture), self.skeleton).to(device)
            batch = self._batch(device)
            return {name: SCORES[name](built, batch) for name in self.scores}

    def _batch(self, device: torch.device) -> Batch:
        split = self.data.train.first(self.images, self.data.split_seed)
        ((images, labels),) = Batches(self.data, split, self.images, device).in_order()
        return Batch(images, labels, self.data.task.loss)


def mean_ranks(columns: Mapping[str, Sequence[float]]) -> list[float]:
    """Several scores of the same architectures as one: the mean over the scores of the rank, 0 (worst) to 1 (best).

    Args:
        columns: Score -> a value an architecture, more is better. Equal values share their mean rank.

    Raises:
        ValueError: Columns of different lengths, or none.
    """
    if not columns or len({len(values) for values in columns.values()}) != 1:
        lengths = ", ".join(f"{name}: {len(values)}" for name, values in columns.items()) or "none"
        raise ValueError(f"one or more scores of the same architectures are ranked together; got values {lengths}")
    ranks = np.mean([rankdata(values) - 1 for values in columns.values()], axis=0)
    return [float(rank) / max(len(ranks) - 1, 1) for rank in ranks]


def _above(value: float, values: Sequence[float]) -> float:
    """The share of values that are below; equal ones count half."""
    return sum((value > v) + (value == v) / 2 for v in values) / len(values)
