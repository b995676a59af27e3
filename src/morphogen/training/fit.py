"""One plain loop that trains a network, and goes on after an interruption as if there had been none."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn

from morphogen.nn.drop_path import advance
from morphogen.protocols import Context, MorphogenError
from morphogen.training import checkpoint
from morphogen.training.batches import Batches
from morphogen.training.data import Data
from morphogen.training.device import precision, reseed, seeded, torch_device
from morphogen.training.images import Images
from morphogen.training.recipe import Recipe
from morphogen.training.schedules import warm_up
from morphogen.training.task import Classification, Task

__all__ = ["Fit", "evaluate", "fit", "train"]

CHECK_EVERY = 32
"""Steps between looks at the losses: each look waits for the device."""

EVALUATION_BATCH = 256


@final
@dataclass
class Fit:
    """How far a training got.

    Args:
        epochs: Trained, those of the trial that it went on from included.
        images: Trained on.
        metrics: On the validation split, after the last epoch.
        curves: After every epoch: the metrics, `train_loss` and `lr`.
        seconds: This trial's own, all its attempts together.
    """

    epochs: int = 0
    images: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    seconds: float = 0.0


def train(
    build: Callable[[], nn.Module],
    data: Data,
    recipe: Recipe,
    context: Context,
    *,
    epochs: int | None = None,
    images: int | None = None,
) -> tuple[nn.Module, Fit]:
    """Build a network from the context's seed and `fit` it; torch's own random state is left as it was."""
    with seeded(context.seed, torch_device(context.device)):
        network = build()
        return network, fit(network, data, recipe, context, epochs=epochs, images=images)


def fit(
    network: nn.Module,
    data: Data,
    recipe: Recipe,
    context: Context,
    *,
    epochs: int | None = None,
    images: int | None = None,
    task: Task | None = None,
) -> Fit:
    """Train a network in place, up to an epoch of the recipe's horizon.

    After every epoch it evaluates on the validation split, logs, and writes `checkpoint.pt` in `context.folder`. It
    goes on from the checkpoint in that folder, or else from that of `context.warm_start`; either gives, bit for bit on
    one machine, what training straight through gives: learning rates follow the full horizon, and what an epoch draws
    is a function of seed and epoch. A checkpoint that is absent or damaged costs time and changes nothing.
    It seeds torch's own generators; `train` puts them back.

    Args:
        network: Its output is logits `(N, classes)`; in training mode it may be a pair with those of an auxiliary head.
            Its `DropPath` modules are told how much of the horizon is done, before every epoch.
        data: Trained on `train`, evaluated on `valid`.
        recipe: How.
        context: Seed, device, folders, log, and the deadline: when the next epoch would be over only after it, the
            training ends with what it has. The first epoch is always trained.
        epochs: Up to which epoch; by default the last.
        images: How many of the training images, the first of a fixed permutation; by default all.
        task: By default classification with the recipe's label smoothing.

    Raises:
        MorphogenError: The loss became NaN or infinite, the checkpoint is of another network, or the trial that this
            one goes on from was trained on another number of images.
    """
    task = task or Classification(recipe.label_smoothing)
    epochs = recipe.epochs if epochs is None else epochs
    split = data.train if images is None else data.train.first(images, data.split_seed)
    device = torch_device(context.device)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # absent in the stubs
    optimizer = recipe.make_optimizer(network.parameters())
    fitted = _resume(network, optimizer, context, len(split))
    augment = data.augment if recipe.augment is None else recipe.augment
    batches = Batches(data, split, recipe.batch_size, device, augment)
    slowest = 0.0
    while fitted.epochs < epochs:
        started = time.monotonic()
        if fitted.epochs and context.deadline is not None and started + slowest > context.deadline:
            break
        loss = _epoch(network, optimizer, batches, recipe, task=task, seed=context.seed, epoch=fitted.epochs)
        metrics = evaluate(network, data, data.valid, context.device, task)
        fitted.epochs += 1
        fitted.metrics = metrics
        point = {**metrics, "train_loss": loss, "lr": optimizer.param_groups[0]["lr"]}
        for name, value in point.items():
            fitted.curves.setdefault(name, []).append((float(fitted.epochs), value))
        slowest = max(slowest, time.monotonic() - started)
        fitted.seconds += time.monotonic() - started
        if context.folder is not None:
            state = {"fit": vars(fitted), "network": network.state_dict(), "optimizer": optimizer.state_dict()}
            checkpoint.save(context.folder, state)
        context.log(fitted.epochs, point)
    return fitted


@torch.no_grad()
def evaluate(
    network: nn.Module, data: Data, split: Images, device: str = "cpu", task: Task | None = None
) -> dict[str, float]:
    """The means of the task's metrics over a split; the network is in evaluation mode meanwhile.

    Raises:
        MorphogenError: A metric is NaN or infinite.
    """
    task, place = task or Classification(), torch_device(device)
    was_training = network.training
    network.eval()
    totals: dict[str, Tensor] = {}
    for images, target in Batches(data, split, EVALUATION_BATCH, place).in_order():
        with precision(place):
            output = network(images)
        for name, value in task.sums(output, target).items():
            totals[name] = totals[name] + value if name in totals else value
    network.train(was_training)
    metrics = {name: float(total) / len(split) for name, total in totals.items()}
    if bad := [name for name, value in metrics.items() if not math.isfinite(value)]:
        raise MorphogenError(
            f"the {bad[0]} on held-out images is {metrics[bad[0]]}: training diverged; a lower learning rate may help"
        )
    return metrics


def _epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    recipe: Recipe,
    *,
    task: Task,
    seed: int,
    epoch: int,
) -> float:
    """Train for one epoch; the mean loss of its steps."""
    network.train()
    advance(network, epoch / recipe.epochs)
    generator = reseed(seed, epoch)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    losses: list[Tensor] = []
    total = 0.0
    for step, (images, target) in enumerate(batches.shuffled(generator)):
        now = epoch + step / batches.steps
        lr = recipe.schedule(recipe.lr, now, recipe.epochs) * warm_up(now + 1 / batches.steps, recipe.warmup)
        for group in optimizer.param_groups:
            group["lr"] = lr
        with precision(images.device):
            output = network(images)
        auxiliary = None
        if isinstance(output, tuple):
            output, auxiliary = output
        loss = task.loss(output, target)
        if auxiliary is not None and recipe.auxiliary_weight:
            loss = loss + recipe.auxiliary_weight * task.loss(auxiliary, target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(parameters, recipe.clip, foreach=True)
        optimizer.step()
        losses.append(loss.detach())
        if len(losses) == CHECK_EVERY or step + 1 == batches.steps:
            total += _sum(losses, epoch, step + 1 - len(losses), recipe.lr)
            losses.clear()
    return total / batches.steps


def _sum(losses: list[Tensor], epoch: int, before: int, lr: float) -> float:
    """Raises: MorphogenError: A loss is NaN or infinite."""
    values = torch.stack(losses).tolist()
    for step, value in enumerate(values, before + 1):
        if not math.isfinite(value):
            kind = "NaN" if math.isnan(value) else "infinite"
            raise MorphogenError(
                f"the loss became {kind} in epoch {epoch + 1} step {step}; "
                f"a lower learning rate than {lr:g}, a warm-up or clipping may help"
            )
    return math.fsum(values)


def _resume(network: nn.Module, optimizer: torch.optim.Optimizer, context: Context, images: int) -> Fit:
    """Load what this trial has done already, or what the trial has done that it goes on from."""
    own = checkpoint.load(context.folder) if context.folder is not None else None
    state = own
    if state is None and context.warm_start is not None:
        state = checkpoint.load(context.warm_start)
    if state is None:
        return Fit(images=images)
    done = _read(state["fit"])
    if done.images != images:
        raise MorphogenError(
            f"the checkpoint was trained on {done.images} images and this trial trains on {images}: "
            "training goes on over epochs only, so start this trial without a warm start"
        )
    try:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MorphogenError(
            f"the checkpoint that the trial should go on from is of another network or optimizer: {reason}"
        ) from None
    if own is None:
        done.seconds = 0.0
    return done


def _read(fitted: Mapping[str, Any]) -> Fit:
    curves = {name: [(float(s), float(v)) for s, v in points] for name, points in fitted["curves"].items()}
    return Fit(fitted["epochs"], fitted["images"], dict(fitted["metrics"]), curves, fitted["seconds"])
