"""What a trial leaves for those that begin with its weights, and how they begin.

A trial that goes on from an earlier one of the same architecture continues its training. Where that one was trained to
the end of the horizon, or was of another architecture, there is nothing to continue: a new training begins with its
weights, at the first epoch of the schedule, with an optimizer and batches of its own. Over several of them, the
learning rate is that of SGDR (Loshchilov and Hutter 2017, arXiv:1608.03983).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from morphogen.nn.morphism import Morphed, morph
from morphogen.space import Architecture, Space
from morphogen.training import checkpoint
from morphogen.training.batches import Batches
from morphogen.training.data import Data
from morphogen.training.files import write_whole

__all__ = ["LINEAGE", "Ancestor", "bequeath", "seed_after", "sign"]

LINEAGE = "lineage.json"
"""In the folder of a trial: its architecture, and how many trainings its weights have behind them."""

PROBE = 64
"""Training images that a morphism looks at."""


def sign(folder: Path | None, architecture: Architecture, behind: int = 0) -> None:
    """Write down in the folder of a trial what is trained there.

    Args:
        folder: None: nothing is kept.
        architecture: Of the trial.
        behind: Trainings that its weights have behind them as it begins.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        body = json.dumps({"architecture": architecture.json, "behind": behind}).encode()
        write_whole(folder / LINEAGE, lambda file: file.write(body))


@final
@dataclass(frozen=True)
class Ancestor:
    """The trial whose weights another one begins with.

    Args:
        architecture: Of it.
        behind: Trainings that its weights had behind them as it began.
        epochs: That it was trained.
        state: Of its network.
    """

    architecture: Architecture
    behind: int
    epochs: int
    state: Mapping[str, Tensor]

    @staticmethod
    def of(folder: Path | None, space: Space) -> Ancestor | None:
        """What is left in a trial's folder; None where it is gone, damaged, or of another space."""
        if folder is None:
            return None
        try:
            signed = json.loads((folder / LINEAGE).read_text(encoding="utf-8"))
            architecture, behind = space.architecture(signed["architecture"]), int(signed["behind"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        left = checkpoint.load(folder)
        if left is None:
            return None
        return Ancestor(architecture, behind, int(left["fit"]["epochs"]), left["network"])

    def continued(self, architecture: Architecture, horizon: int) -> bool:
        """Whether a trial of an architecture continues this training, instead of only beginning with its weights."""
        return self.architecture == architecture and self.epochs < horizon

    def network(self, build: Callable[[Architecture], nn.Module]) -> nn.Module | None:
        """Its network; None where what `build` builds is another one, as in another skeleton."""
        with torch.random.fork_rng(devices=[]):
            built = build(self.architecture)
        try:
            built.load_state_dict(self.state)
        except RuntimeError:
            return None
        return built


def seed_after(seed: int, behind: int) -> int:
    """The seed of a training whose weights have so many behind them: not again the batches of the first.

    Args:
        seed: Of the first training of all.
        behind: How many.
    """
    return int(np.random.SeedSequence((seed, behind)).generate_state(1)[0]) >> 1 if behind else seed


def bequeath(parent: nn.Module, child: nn.Module, data: Data, image_size: tuple[int, int] | None = None) -> Morphed:
    """`morph`, by some images of the training split."""
    some = Batches(data, data.train.first(PROBE, data.split_seed), PROBE, torch.device("cpu"), image_size=image_size)
    images, _ = next(some.in_order())
    return morph(parent, child, images)
