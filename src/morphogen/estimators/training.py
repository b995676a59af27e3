"""Judge an architecture by training its stand-alone network."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, final

import torch
from torch import nn

from morphogen.estimators.complexity import suited_skeleton
from morphogen.nn.complexity import complexity
from morphogen.nn.network import network
from morphogen.protocols import Context, MorphogenError
from morphogen.space import HYPERPARAMETERS, Architecture, Space
from morphogen.training.checkpoint import save_weights
from morphogen.training.data import Data
from morphogen.training.fit import Fit, train
from morphogen.training.recipe import Recipe, recipe_for
from morphogen.trial import Outcome, Proposal

__all__ = ["Training"]

SEARCHABLE = {
    "auxiliary_weight": float,
    "batch_size": int,
    "clip": float,
    "label_smoothing": float,
    "lr": float,
    "momentum": float,
    "optimizer": str,
    "warmup": float,
    "weight_decay": float,
}
"""Numbers of a recipe that choices `train/<name>` may decide."""

TRAVELING = 64
"""How many counts a pickled estimator takes along."""


@final
@dataclass(frozen=True)
class Training:
    """Trains the stand-alone network of an architecture: metrics `accuracy`, `loss`, `params`, `macs`.

    Fidelity axes: `epochs`, up to the recipe's horizon; `images`, the first of a fixed permutation of the training
    split. A proposal with `warm_start` goes on over epochs, bit for bit as if it had been trained straight through.
    Choices `train/lr`, `train/weight_decay`, ... of the space replace numbers of the recipe.

    In `context.folder` it leaves `checkpoint.pt`, from which an attempt goes on where the last one died, and, after the
    last epoch of the horizon, `weights.safetensors`.

    Args:
        space: Where architectures are from; it names the network.
        data: Trained on `train`.
        recipe: How; by default what goes with the data set.
        skeleton: The hand-made rest, or the name of a preset of the space; by default the preset `search`. Image size
            and classes are those of the data.

    Raises:
        ValueError: A choice `train/...` that nothing reads, an unknown preset.
    """

    space: Space
    data: Data
    recipe: Recipe | None = None
    skeleton: Any = None
    _counted: dict[bytes, tuple[int, int] | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        skeleton = suited_skeleton(self.space, self.skeleton, self.data.image, self.data.classes)
        object.__setattr__(self, "skeleton", skeleton)
        object.__setattr__(self, "recipe", self.recipe or recipe_for(self.data))
        for choice in self.space:
            name = choice.name.removeprefix(HYPERPARAMETERS)
            if choice.name.startswith(HYPERPARAMETERS) and (name not in SEARCHABLE or not choice.single):
                known = ", ".join(HYPERPARAMETERS + n for n in SEARCHABLE)
                raise ValueError(f"nothing reads choice '{choice.name}'; training reads one option of {known}")

    def __getstate__(self) -> dict[str, Any]:
        # what was priced last is what runs next: a new process that knows it needs no machinery for counting
        newest = dict(list(self._counted.items())[-TRAVELING:])
        return {**{f.name: getattr(self, f.name) for f in fields(self)}, "_counted": newest}

    @property
    def measured(self) -> frozenset[str]:
        return frozenset({"seconds"})

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        architecture, epochs, images = self._asked(proposal)
        recipe = self._recipe(architecture)
        started = time.monotonic()
        try:
            built, fitted = train(
                lambda: self._build(architecture), self.data, recipe, context, epochs=epochs, images=images
            )
            metrics = self._metrics(architecture, built, fitted)
        except MorphogenError as error:
            return Outcome(error=_reason(error), seconds=time.monotonic() - started)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            return Outcome(
                error=f"the network does not fit in memory: {_line(error)}", seconds=time.monotonic() - started
            )
        if fitted.epochs >= recipe.epochs and context.folder is not None:
            save_weights(context.folder, built)
        return Outcome(metrics, fitted.curves, seconds=fitted.seconds)

    def cost(self, proposal: Proposal) -> float:
        """Epochs times multiply-adds times the share of images; epochs alone where the network cannot be priced."""
        architecture, epochs, images = self._asked(proposal)
        counted = self._count(architecture)
        return epochs * images / len(self.data.train) * (1 if counted is None else max(counted[1], 1))

    def _asked(self, proposal: Proposal) -> tuple[Architecture, int, int]:
        """Raises: ValueError: No architecture, an unknown axis, or an amount that there is not."""
        if proposal.architecture is None:
            raise ValueError(
                "Training trains one architecture, but the whole space was proposed (a supernet's proposal)"
            )
        assert self.recipe is not None
        full = {"epochs": self.recipe.epochs, "images": len(self.data.train)}
        if unknown := sorted(set(proposal.fidelity) - set(full)):
            raise ValueError(f"Training has no fidelity axis '{unknown[0]}'; it has {', '.join(full)}")
        epochs, images = (_amount(proposal.fidelity, axis, most) for axis, most in full.items())
        return proposal.architecture, epochs, images

    def _recipe(self, architecture: Architecture) -> Recipe:
        assert self.recipe is not None
        picked = {
            name.removeprefix(HYPERPARAMETERS): options[0]
            for name, options in architecture.picks.items()
            if name.startswith(HYPERPARAMETERS)
        }
        return replace(self.recipe, **{name: SEARCHABLE[name](option) for name, option in picked.items()})

    def _build(self, architecture: Architecture) -> nn.Module:
        try:
            return network(self.space.fix(architecture), self.skeleton)
        except MemoryError:
            raise
        except Exception as error:  # anybody's code may build a network
            if _out_of_memory(error):
                raise
            raise MorphogenError(f"the network cannot be built: {type(error).__name__}: {_line(error)}") from error

    def _metrics(self, architecture: Architecture, built: nn.Module, fitted: Fit) -> dict[str, float]:
        metrics = dict(fitted.metrics)
        counted = self._count(architecture)
        if counted is None:
            return {**metrics, "params": sum(p.numel() for p in built.parameters())}
        return {**metrics, "params": counted[0], "macs": counted[1]}

    def _count(self, architecture: Architecture) -> tuple[int, int] | None:
        """Parameters and multiply-adds; None where a forward pass cannot do without values, or nothing can be built."""
        if architecture.code not in self._counted:
            try:
                with torch.device("meta"):
                    built = network(self.space.fix(architecture), self.skeleton)
                found = complexity(built, self.data.image)
                self._counted[architecture.code] = found.params, found.macs
            except Exception:  # its trial will say what is wrong
                self._counted[architecture.code] = None
        return self._counted[architecture.code]


def _amount(fidelity: Mapping[str, float], axis: str, most: int) -> int:
    amount = fidelity.get(axis, most)
    if amount != int(amount) or not 1 <= amount <= most:
        raise ValueError(f"fidelity {axis}={amount:g}: it must be a whole number from 1 to {most}, the full amount")
    return int(amount)


def _out_of_memory(error: BaseException) -> bool:
    # the CPU allocator of torch has no exception class of its own
    allocator = "can't allocate memory" in str(error) or "not enough memory" in str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and allocator)


def _reason(error: MorphogenError) -> str:
    if error.__cause__ is None:
        return str(error)
    return f"{error}\n{''.join(traceback.format_exception(error.__cause__))}"


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
