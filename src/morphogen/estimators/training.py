"""Judge an architecture by training its stand-alone network."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, final

import torch
from torch import nn

from morphogen.estimators.complexity import suited_skeleton
from morphogen.estimators.fidelities import Amounts, full_amounts
from morphogen.nn.complexity import complexity
from morphogen.nn.network import network
from morphogen.protocols import Context, MorphogenError
from morphogen.space import HYPERPARAMETERS, Architecture, Space
from morphogen.training.checkpoint import save_weights
from morphogen.training.data import Data
from morphogen.training.fit import Fit, out_of_memory, train
from morphogen.training.inheritance import Ancestor, bequeath, seed_after, sign
from morphogen.training.recipe import Recipe, recipe_for
from morphogen.trial import Fidelity, Outcome, Proposal

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
    """Trains the stand-alone network of an architecture: metrics of the data's task (`accuracy`, `loss`), `params`, `macs`.

    Fidelity axes: `epochs`, up to the recipe's horizon; `images`, the first of a fixed permutation of the training split;
    `image_size`, the height that images are resized to; `channels` and `cells`, where the skeleton has them. A proposal
    with `warm_start` goes on over epochs, bit for bit as if it had been trained straight through; where another axis has
    changed, it starts again from those weights that fit. `params` and `macs` are those of the full network.
    Where `warm_start` is a trial of another architecture, or one that was trained to the end, a whole training begins with
    its weights, carried over by `nn.morphism`; further metrics then are `inherited`, the share of the parameters that are
    the other trial's, and `preserved`: 1 where the network began as the same function, else 0. Such a training has no
    warm-up: that is for weights which still change rapidly (Goyal et al. 2017, arXiv:1706.02677, section 2.2), and SGDR
    restarts at the full learning rate (Loshchilov and Hutter 2017, arXiv:1608.03983).
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
        architecture, asked = self._asked(proposal)
        recipe = self._recipe(architecture)
        started = time.monotonic()
        how: dict[str, Any] = {"epochs": asked.epochs, "images": asked.images, "image_size": asked.image_size}
        begun: dict[str, float] = {}
        try:
            build, recipe, context = self._begin(architecture, asked, recipe, context, begun)
            built, fitted = train(build, self.data, recipe, context, **how)
            metrics = {**self._metrics(architecture, built, fitted), **begun}
        except MorphogenError as error:
            return Outcome(error=_reason(error), seconds=time.monotonic() - started)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return Outcome(
                error=f"the network does not fit in memory: {_line(error)}", seconds=time.monotonic() - started
            )
        if fitted.epochs >= recipe.epochs and not asked.reduced and context.folder is not None:
            save_weights(context.folder, built)
        return Outcome(metrics, fitted.curves, seconds=fitted.seconds)

    def cost(self, proposal: Proposal) -> float:
        """Epochs times multiply-adds times the share of images; epochs alone where the network cannot be priced."""
        architecture, asked = self._asked(proposal)
        counted = self._count(architecture, asked)
        return asked.epochs * asked.images / len(self.data.train) * (1 if counted is None else max(counted[1], 1))

    @property
    def full(self) -> Fidelity:
        """The full amount on each axis."""
        assert self.recipe is not None
        return full_amounts(self.recipe.epochs, self.data, self.skeleton)

    def _asked(self, proposal: Proposal) -> tuple[Architecture, Amounts]:
        """Raises: ValueError: No architecture, an unknown axis, or an amount that there is not."""
        if proposal.architecture is None:
            raise ValueError(
                "Training trains one architecture, but the whole space was proposed (a supernet's proposal)"
            )
        assert self.recipe is not None
        full = full_amounts(self.recipe.epochs, self.data, self.skeleton)
        return proposal.architecture, Amounts.of(proposal.fidelity, full, self.data, self.skeleton)

    def _recipe(self, architecture: Architecture) -> Recipe:
        assert self.recipe is not None
        picked = {
            name.removeprefix(HYPERPARAMETERS): options[0]
            for name, options in architecture.picks.items()
            if name.startswith(HYPERPARAMETERS)
        }
        return replace(self.recipe, **{name: SEARCHABLE[name](option) for name, option in picked.items()})

    def _begin(
        self, architecture: Architecture, asked: Amounts, recipe: Recipe, context: Context, begun: dict[str, float]
    ) -> tuple[Callable[[], nn.Module], Recipe, Context]:
        """What builds the network with its first weights, and how it is trained; `begun` gets the metrics of inheritance."""
        before = Ancestor.of(context.warm_start, self.space)
        continued = before is not None and before.continued(architecture, recipe.epochs)
        parent = None
        if before is not None and not continued:
            parent = before.network(lambda a: self._build(a, asked.skeleton))
        behind = 0
        if before is not None and (continued or parent is not None):
            behind = before.behind + (not continued)
        sign(context.folder, architecture, behind)
        context = replace(context, seed=seed_after(context.seed, behind))
        if behind:  # in all of its rungs
            recipe = replace(recipe, warmup=0.0)
        if parent is None:  # new weights, or those of `warm_start` that training itself goes on with
            return lambda: self._build(architecture, asked.skeleton), recipe, context

        def build() -> nn.Module:
            child = self._build(architecture, asked.skeleton)
            morphed = bequeath(parent, child, self.data, asked.image_size)
            begun.update(inherited=morphed.inherited, preserved=float(morphed.preserved))
            return child

        return build, recipe, replace(context, warm_start=None)

    def _build(self, architecture: Architecture, skeleton: Any) -> nn.Module:
        try:
            return network(self.space.fix(architecture), skeleton)
        except MemoryError:
            raise
        except Exception as error:  # anybody's code may build a network
            if out_of_memory(error):
                raise
            raise MorphogenError(f"the network cannot be built: {type(error).__name__}: {_line(error)}") from error

    def _metrics(self, architecture: Architecture, built: nn.Module, fitted: Fit) -> dict[str, float]:
        metrics = dict(fitted.metrics)
        counted = self._count(architecture)
        if counted is None:
            return {**metrics, "params": sum(p.numel() for p in built.parameters())}
        return {**metrics, "params": counted[0], "macs": counted[1]}

    def _count(self, architecture: Architecture, asked: Amounts | None = None) -> tuple[int, int] | None:
        """Parameters and multiply-adds; None where a forward pass cannot do without values, or nothing can be built."""
        reduced = asked if asked is not None and asked.reduced else None
        skeleton = self.skeleton if reduced is None else reduced.skeleton
        image = (self.data.image[0], *((reduced and reduced.image_size) or self.data.image[1:]))
        key = architecture.code if reduced is None else repr((architecture.code, image, skeleton)).encode()
        if key not in self._counted:
            try:
                with torch.device("meta"):
                    built = network(self.space.fix(architecture), skeleton)
                found = complexity(built, image)
                self._counted[key] = found.params, found.macs
            except Exception:  # its trial will say what is wrong
                self._counted[key] = None
        return self._counted[key]


def _reason(error: MorphogenError) -> str:
    if error.__cause__ is None:
        return str(error)
    return f"{error}\n{''.join(traceback.format_exception(error.__cause__))}"


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
