"""Judge a whole space by training its supernet, and name the architecture that it ends at."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import nn

from morphogen.estimators.complexity import Complexity, suited_skeleton
from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.nn.network import network
from morphogen.objective import MeasuredLimit, Objective, objective
from morphogen.oneshot.curvature import Relaxed
from morphogen.oneshot.distribution import Make
from morphogen.oneshot.recompute import cells_of
from morphogen.oneshot.regime import Regime
from morphogen.oneshot.second_order import SecondOrder, second_order_exact, virtual_step
from morphogen.oneshot.supernet import learn, sharpness_of
from morphogen.protocols import Context, MorphogenError
from morphogen.space import Architecture, Space
from morphogen.training.data import Data
from morphogen.training.device import seeded, torch_device
from morphogen.training.recipe import recipe_for
from morphogen.trial import Outcome, Proposal

__all__ = ["SupernetTraining", "counted"]


@final
@dataclass(frozen=True)
class SupernetTraining:
    """Trains a supernet and a distribution over its architectures together; `found` is what the distribution ends at.

    One trial is the whole training, with `checkpoint.pt` in its folder after every epoch; its proposal has no
    architecture. Metrics: those of the data's task (`accuracy`, `loss`) of the architecture found, with the shared weights,
    on the validation split; `supernet_accuracy`, of the mixture (or another metric that is sought); `params` and `macs`.
    Curves: see `oneshot.regime.Learned`.

    Fidelity axis: `epochs`, up to the recipe's horizon. A proposal with `warm_start` goes on.

    Args:
        space: Of the supernet.
        data: Trained on `train`: a part of it is for the weights, the rest (`regime.share`) for the architecture.
            Judged on `valid`.
        make: Makes the distribution.
        skeleton: The hand-made rest, or the name of a preset of the space; by default the preset `search`.
        regime: How; by default the data set's own recipe, half of the training split for the architecture.
        mixed: What mixes operations.
        sought: By which of the task's metrics architectures are compared, and controllers rewarded; by default the
            first.
        limits: On `params` or `macs` of the architecture found, where these are no limits of the space.

    Raises:
        ValueError: The space has no network, the distribution cannot serve it, or its gradient not the recipe's
            optimizer or the regime's recomputation.
    """

    space: Space
    data: Data
    make: Make
    skeleton: Any = None
    regime: Regime | None = None
    mixed: Mixed = MixedOp
    sought: Objective | None = None
    limits: tuple[MeasuredLimit, ...] = ()
    together: ClassVar[bool] = True
    """Under `torchrun`, all processes train it: see `executors.together`."""

    def __post_init__(self) -> None:
        skeleton = suited_skeleton(self.space, self.skeleton, self.data.image, self.data.classes)
        object.__setattr__(self, "skeleton", skeleton)
        object.__setattr__(self, "regime", self.regime or Regime(recipe_for(self.data)))
        object.__setattr__(self, "sought", self.sought or objective(self.data.task.metrics[0]))
        made = self.make(self.space, generator=torch.Generator(), device=torch.device("cpu"))
        if self.regime.sharpness and not isinstance(made, Relaxed):  # type: ignore[union-attr]  # set above
            raise ValueError(f"{type(made).__name__} learns no logits: there is no sharpness to record")
        with torch.device("meta"):
            built = network(self.space, self.skeleton, self.mixed)
        self._refuse(getattr(made, "gradient", None), built)

    @property
    def measured(self) -> frozenset[str]:
        return frozenset({"seconds"})

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        assert self.regime is not None
        epochs, started = self._epochs(proposal), time.monotonic()
        device = torch_device(context.device)
        with seeded(context.seed, device):
            built = network(self.space, self.skeleton, self.mixed)
            first = torch.Generator().manual_seed(context.seed)
            distribution = self.make(self.space, generator=first, device=device)
            try:
                learned = learn(
                    built,
                    distribution,
                    self.space,
                    self.data,
                    self.regime,
                    context,
                    epochs=epochs,
                    sought=self.sought,
                    fits=self._fits if self.limits else None,
                )
            except MorphogenError as error:
                return Outcome(error=str(error), seconds=time.monotonic() - started)
        assert learned.found is not None
        metrics = {**learned.metrics, **counted(self.space, self.skeleton, learned.found)}
        return Outcome(metrics, learned.curves, learned.found, learned.seconds)

    def _fits(self, architecture: Architecture) -> bool:
        found = Outcome(counted(self.space, self.skeleton, architecture))
        return all(limit.excess(found) == 0 for limit in self.limits)

    def _refuse(self, gradient: object, built: nn.Module) -> None:
        """Raises: ValueError: What would fail in the first step."""
        assert self.regime is not None
        if isinstance(gradient, SecondOrder) or gradient is second_order_exact:
            virtual_step(self.regime.recipe.make_optimizer([nn.Parameter(torch.zeros(1))]))
        if self.regime.recompute:
            if gradient is second_order_exact:
                raise ValueError(
                    "an exact second order differentiates backward itself, which cells that run again cannot: leave out "
                    "recompute, or take the finite difference"
                )
            cells_of(built)

    def relaxes(self) -> bool:
        """Whether it has logits, and so a sharpness."""
        return isinstance(self.make(self.space, generator=torch.Generator(), device=torch.device("cpu")), Relaxed)

    def sharpness(self, context: Context, say: Callable[[str], None]) -> float:
        """Of the architecture's minimum, at the checkpoint in the folder of the context: see `oneshot.curvature`.

        `say` is told the price before anything is computed.

        Raises:
            ValueError: The distribution learns no logits.
            MorphogenError: There is no checkpoint, or one of another supernet.
        """
        assert self.regime is not None
        device = torch_device(context.device)
        with seeded(context.seed, device):
            distribution = self.make(self.space, generator=torch.Generator().manual_seed(context.seed), device=device)
            if not isinstance(distribution, Relaxed):
                raise ValueError(f"{type(distribution).__name__} learns no logits: it has no sharpness")
            built = network(self.space, self.skeleton, self.mixed)
            return sharpness_of(built, distribution, self.space, self.data, self.regime, context, say)

    def cost(self, proposal: Proposal) -> float:
        """Epochs."""
        return float(self._epochs(proposal))

    def _epochs(self, proposal: Proposal) -> int:
        """Raises: ValueError: A single architecture, another axis, or epochs that there are not."""
        assert self.regime is not None
        if proposal.architecture is not None:
            raise ValueError("SupernetTraining trains a whole space, but one architecture was proposed")
        if unknown := sorted(set(proposal.fidelity) - {"epochs"}):
            raise ValueError(f"SupernetTraining has no fidelity axis '{unknown[0]}'; it has epochs")
        horizon = self.regime.recipe.epochs
        epochs = proposal.fidelity.get("epochs", horizon)
        if epochs != int(epochs) or not 1 <= epochs <= horizon:
            raise ValueError(f"fidelity epochs={epochs:g}: it must be a whole number from 1 to {horizon}")
        return int(epochs)


def counted(space: Space, skeleton: Any, architecture: Architecture) -> dict[str, float]:
    """Parameters and multiply-adds of the stand-alone network; nothing where it cannot run without values."""
    try:
        return dict(Complexity(space, skeleton)(Proposal(architecture), Context(seed=0)).metrics)
    except Exception:  # anybody's own network: not every forward pass can do without values
        return {}
