"""What the one-shot methods have in common: what they are given, how supernets train, and their phases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from morphogen.estimators.combined import Combined
from morphogen.estimators.supernet_training import SupernetTraining
from morphogen.methods.black_box import EARLY, Judges, Plan, conclusion
from morphogen.methods.phases import found, supernet
from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.objective import MeasuredLimit, Objective, told_by
from morphogen.oneshot.distribution import Make
from morphogen.oneshot.regime import Regime
from morphogen.protocols import Phase
from morphogen.space import Space
from morphogen.training.data import Data
from morphogen.training.recipe import Recipe, recipe_for
from morphogen.training.schedules import Cosine

__all__ = ["Setting", "architecture_lr", "gradient_method", "recipe"]


@final
@dataclass(frozen=True)
class Setting:
    """What a method is given.

    Args:
        space: Where to search.
        data: What on.
        skeletons: The hand-made rest of the network, `search` and `final`.
        judges: The estimators of stand-alone networks.
        plan: How much of everything.
        objectives: What the run seeks; by default the first metric of the data's task.
    """

    space: Space
    data: Data
    skeletons: Mapping[str, Any]
    judges: Judges
    plan: Plan
    objectives: Sequence[Objective] = ()

    @property
    def sought(self) -> Objective:
        """What shared weights can tell of that."""
        return told_by(self.data.task.metrics, self.objectives)

    @property
    def counted(self) -> tuple[MeasuredLimit, ...]:
        """Limits that are not of the space, on what can be counted without a training or a clock."""
        limits = self.judges.search.limits if isinstance(self.judges.search, Combined) else ()
        return tuple(limit for limit in limits if limit.metric in ("params", "macs"))


def recipe(data: Data, epochs: int | None, batch_size: int | None, lr: float) -> Recipe:
    """How the weights of a supernet are trained: SGD with momentum 0.9, weight decay 3e-4, gradients clipped at 5 and a
    cosine down to 0.001, as in the released code of DARTS; by default as long, and in batches as large, as
    suits the data.

    **Differs** from that code, whose learning rate falls after every epoch: here with every step.
    """
    suited = recipe_for(data)
    return Recipe(
        epochs=epochs or suited.epochs,
        batch_size=batch_size or suited.batch_size,
        lr=lr,
        momentum=0.9,
        nesterov=False,
        weight_decay=3e-4,
        schedule=Cosine(min(0.001, lr)),
        clip=5.0,
    )


PUBLISHED_STEPS = 50 * 391
"""Steps of DARTS's search: 50 epochs of 25,000 images in batches of 64."""

HIGHEST = 0.05


def architecture_lr(published: float, data: Data, regime: Regime) -> float:
    """The learning rate with which logits get as far as in the published search: a step of Adam is about as long as its
    learning rate, so fewer steps need longer ones.

    **Differs** from the papers, whose rate is for as many steps as CIFAR-10 has in 50 epochs.
    """
    images = len(data.train) * (1 - regime.share)
    steps = regime.recipe.epochs * (1 - regime.start) * -(-images // regime.recipe.batch_size)
    return min(max(published, published * PUBLISHED_STEPS / steps), max(published, HIGHEST))


def gradient_method(
    setting: Setting, make: Make, regime: Regime, *, seeds: int = 1, shortlist: int = 1, mixed: Mixed = MixedOp
) -> list[Phase]:
    """Supernets, one a seed; what they found, trained on its own and compared; and all that follows a search.

    With several seeds this is the protocol of DARTS, section 3.1: of the cells of several runs, the one with the best
    validation accuracy after a short training from scratch. With a `shortlist`, what a supernet would end at after each
    of its last so many epochs is compared too: a cell more for the price of a short training, not of a supernet.

    Raises:
        ValueError: No supernet, or more on the shortlist than epochs in which the architecture learns.
    """
    plan, judges = setting.plan, setting.judges
    if seeds < 1:
        raise ValueError(f"seeds={seeds}: at least one supernet is trained")
    epochs = regime.recipe.epochs
    learning = max(1, epochs - math.ceil(regime.start * epochs))
    if not 1 <= shortlist <= learning:
        raise ValueError(
            f"shortlist={shortlist}: expected 1 to {learning}, the epochs in which the architecture learns; each gives one"
        )
    training = SupernetTraining(
        setting.space,
        setting.data,
        make,
        setting.skeletons["search"],
        regime,
        mixed,
        setting.sought,
        setting.counted,
    )
    share = 0.85 if seeds * shortlist == 1 else 0.7  # several have to be compared in the rest
    pauses = range(epochs - shortlist + 1, epochs)
    return [
        supernet(training, seeds, plan.searching(share), plan.first(EARLY), pauses),
        found(judges.search, plan.searching(), plan.first()),
        *conclusion(setting.space, judges, plan),
    ]
