"""One plain loop that trains a network, and goes on after an interruption as if there had been none."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
from morphogen.training.task import Task, smoothed

__all__ = ["Fit", "evaluate", "fit", "out_of_memory", "train"]

_log = logging.getLogger(__name__)

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
        image_size: Height and width that images were resized to; empty: as they are.
        metrics: On the validation split, after the last epoch.
        curves: After every epoch: the metrics, `train_loss` and `lr`; `pieces`, where batches were divided.
        seconds: This trial's own, all its attempts together.
        pieces: Into how many a batch is divided, whose gradients are added up: 2 once memory was not enough for it.
        inherited: Share of the weights that it began with from another trial, which it does not continue.
    """

    epochs: int = 0
    images: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    seconds: float = 0.0
    image_size: tuple[int, ...] = ()
    pieces: int = 1
    inherited: float = 0.0


def train(
    build: Callable[[], nn.Module],
    data: Data,
    recipe: Recipe,
    context: Context,
    *,
    epochs: int | None = None,
    images: int | None = None,
    image_size: tuple[int, int] | None = None,
    task: Task | None = None,
) -> tuple[nn.Module, Fit]:
    """Build a network from the context's seed and `fit` it; torch's own random state is left as it was."""
    with seeded(context.seed, torch_device(context.device)):
        network = build()
        how: dict[str, Any] = {"epochs": epochs, "images": images, "image_size": image_size, "task": task}
        return network, fit(network, data, recipe, context, **how)


def fit(
    network: nn.Module,
    data: Data,
    recipe: Recipe,
    context: Context,
    *,
    epochs: int | None = None,
    images: int | None = None,
    image_size: tuple[int, int] | None = None,
    task: Task | None = None,
) -> Fit:
    """Train a network in place, up to an epoch of the recipe's horizon.

    After every epoch it evaluates on the validation split, logs, and writes `checkpoint.pt` in `context.folder`. It
    goes on from the checkpoint in that folder, or else from that of `context.warm_start`; either gives, bit for bit on
    one machine, what training straight through gives: learning rates follow the full horizon, and what an epoch draws
    is a function of seed and epoch. A checkpoint that is absent or damaged costs time and changes nothing. Where
    `context.warm_start` was another network, or was trained on other images or on another number of them, there is nothing
    to go on with: training starts from the weights of it that fit, those of the same name and shape, at its first epoch.
    Where memory is not enough for a batch, once in a training, every batch is from then on divided in two whose
    gradients are added up (batch norm sees halves); where that is not enough either, the error is the caller's.
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
        image_size: Height and width that images are resized to; by default they stay as they are.
        task: By default the data set's, with the recipe's label smoothing where it is classification.

    Raises:
        MorphogenError: The loss became NaN or infinite, or the trial's own checkpoint is of another training.
    """
    task = smoothed(task or data.task, recipe.label_smoothing)
    epochs = recipe.epochs if epochs is None else epochs
    split = data.train if images is None else data.train.first(images, data.split_seed)
    device = torch_device(context.device)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # absent in the stubs
    optimizer = recipe.make_optimizer(network.parameters())
    fitted = _resume(network, optimizer, context, Fit(images=len(split), image_size=image_size or ()))
    augment = data.augment if recipe.augment is None else recipe.augment
    batches = Batches(data, split, recipe.batch_size, device, augment, image_size)
    slowest = 0.0
    while fitted.epochs < epochs:
        started = time.monotonic()
        if fitted.epochs and context.deadline is not None and started + slowest > context.deadline:
            break
        loss = _epoch(network, optimizer, batches, recipe, task=task, seed=context.seed, fitted=fitted)
        metrics = evaluate(network, data, data.valid, context.device, task, image_size)
        fitted.epochs += 1
        fitted.metrics = metrics
        point = {**metrics, "train_loss": loss, "lr": optimizer.param_groups[0]["lr"]}
        if fitted.pieces > 1:
            point["pieces"] = float(fitted.pieces)
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
    network: nn.Module,
    data: Data,
    split: Images,
    device: str = "cpu",
    task: Task | None = None,
    image_size: tuple[int, int] | None = None,
) -> dict[str, float]:
    """The means of the task's metrics over a split; the network is in evaluation mode meanwhile.

    Raises:
        MorphogenError: A metric is NaN or infinite.
    """
    task, place = task or data.task, torch_device(device)
    was_training = network.training
    network.eval()
    totals: dict[str, Tensor] = {}
    for images, target in Batches(data, split, EVALUATION_BATCH, place, image_size=image_size).in_order():
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
    fitted: Fit,
) -> float:
    """Train for one epoch; the mean loss of its steps. `fitted.pieces` becomes 2 where memory is not enough for 1."""
    epoch = fitted.epochs
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
        optimizer.zero_grad()
        loss = _gradients(network, images, target, task, recipe.auxiliary_weight, fitted)
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(parameters, recipe.clip, foreach=True)
        optimizer.step()
        losses.append(loss)
        if len(losses) == CHECK_EVERY or step + 1 == batches.steps:
            total += _sum(losses, epoch, step + 1 - len(losses), recipe.lr)
            losses.clear()
    return total / batches.steps


def _gradients(
    network: nn.Module, images: Tensor, target: Tensor, task: Task, auxiliary_weight: float, fitted: Fit
) -> Tensor:
    """The gradients of a batch, as a whole or in pieces; its loss."""
    if fitted.pieces == 1:
        try:
            return _backward(network, images, target, task, auxiliary_weight)
        except (MemoryError, RuntimeError) as error:
            if len(images) < 2 or not out_of_memory(error):
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
        # out of the handler: its traceback holds the tensors of the attempt
        fitted.pieces = 2
        network.zero_grad()
        if images.is_cuda:
            torch.cuda.empty_cache()
        _log.warning(
            "memory was not enough for a batch of %d (%s): from here on, the gradients of two halves are added up",
            len(images),
            reason,
        )
    total = torch.zeros((), device=images.device)
    for some, wanted in zip(images.tensor_split(fitted.pieces), target.tensor_split(fitted.pieces), strict=True):
        total += _backward(network, some, wanted, task, auxiliary_weight, len(some) / len(images))
    return total


def _backward(
    network: nn.Module, images: Tensor, target: Tensor, task: Task, auxiliary_weight: float, share: float = 1.0
) -> Tensor:
    """Add the gradients of `share` times the loss; that, detached."""
    with precision(images.device):
        output = network(images)
    auxiliary = None
    if isinstance(output, tuple):
        output, auxiliary = output
    loss = task.loss(output, target)
    if auxiliary is not None and auxiliary_weight:
        loss = loss + auxiliary_weight * task.loss(auxiliary, target)
    if share != 1.0:
        loss = loss * share
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory was not enough, on a CPU or elsewhere."""
    # the CPU allocator of torch has no exception class of its own
    allocator = "can't allocate memory" in str(error) or "not enough memory" in str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and allocator)


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


def _resume(network: nn.Module, optimizer: torch.optim.Optimizer, context: Context, fresh: Fit) -> Fit:
    """Load what this trial has done already, or what the trial has done that it goes on from; else a fresh start."""
    own = checkpoint.load(context.folder) if context.folder is not None else None
    if own is not None:
        done = _read(own["fit"])
        if (done.images, done.image_size) != (fresh.images, fresh.image_size):
            raise MorphogenError(
                f"the trial's own checkpoint was trained on {_what(done)} and it trains on {_what(fresh)}: "
                "empty its folder to start again"
            )
        try:
            network.load_state_dict(own["network"])
            optimizer.load_state_dict(own["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise MorphogenError(f"the trial's own checkpoint is of another network or optimizer: {reason}") from None
        return done
    before = checkpoint.load(context.warm_start) if context.warm_start is not None else None
    if before is None:
        return fresh
    done = _read(before["fit"])
    if (done.images, done.image_size) == (fresh.images, fresh.image_size) and _equal(network, before["network"]):
        try:
            optimizer.load_state_dict(before["optimizer"])
        except (RuntimeError, ValueError, KeyError):  # of another kind: there is no going on with its state
            return replace(fresh, inherited=_inherit(network, before["network"]))
        network.load_state_dict(before["network"])
        return replace(done, seconds=0.0)
    return replace(fresh, inherited=_inherit(network, before["network"]))


def _what(fitted: Fit) -> str:
    size = "x".join(map(str, fitted.image_size))
    return f"{fitted.images} images{f' of {size}' if size else ''}"


def _equal(network: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Whether a state has exactly the network's names and shapes."""
    return {n: t.shape for n, t in network.state_dict().items()} == {n: t.shape for n, t in state.items()}


@torch.no_grad()
def _inherit(network: nn.Module, state: Mapping[str, Tensor]) -> float:
    """Copy what has the same name and shape; the share of the parameters that came over."""
    parameters, total, taken = dict(network.named_parameters()), 0, 0
    for name, mine in network.state_dict().items():
        found = state.get(name)
        fits = found is not None and found.shape == mine.shape
        if found is not None and fits:
            mine.copy_(found)
        if name in parameters:
            total += mine.numel()
            taken += mine.numel() * fits
    return taken / max(total, 1)


def _read(fitted: Mapping[str, Any]) -> Fit:
    curves = {name: [(float(s), float(v)) for s, v in points] for name, points in fitted["curves"].items()}
    size = tuple(int(side) for side in fitted.get("image_size", ()))
    return Fit(
        fitted["epochs"],
        fitted["images"],
        dict(fitted["metrics"]),
        curves,
        fitted["seconds"],
        size,
        fitted.get("pieces", 1),
        fitted.get("inherited", 0.0),
    )
