"""The loop of every one-shot method: draw mixtures, let the architecture learn, let the weights learn."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn

from morphogen.nn.drop_path import advance
from morphogen.nn.mixture import Mixture, bind, picks_to_mixture
from morphogen.objective import Objective, objective
from morphogen.oneshot.curvature import Relaxed, sharpness
from morphogen.oneshot.distribution import Batch, Distribution, Step
from morphogen.oneshot.health import SHARPNESS, Weighing, health, most_skips
from morphogen.oneshot.ranks import alike, average, barrier, decided, part, rank
from morphogen.oneshot.recompute import recompute
from morphogen.oneshot.regime import Learned, Regime, parts
from morphogen.oneshot.rejection import Fits, within
from morphogen.oneshot.sub_graphs import calibration, judge
from morphogen.protocols import Context, MorphogenError
from morphogen.space import Architecture, Space
from morphogen.training import checkpoint
from morphogen.training.batches import Batches
from morphogen.training.data import Data
from morphogen.training.device import precision, reseed, torch_device
from morphogen.training.schedules import warm_up
from morphogen.training.task import smoothed

__all__ = ["learn", "sharpness_of"]


def learn(
    network: nn.Module,
    distribution: Distribution,
    space: Space,
    data: Data,
    regime: Regime,
    context: Context,
    *,
    epochs: int | None = None,
    sought: Objective | None = None,
    fits: Fits | None = None,
) -> Learned:
    """Train a supernet and its distribution in place, up to an epoch of the recipe's horizon.

    Each step: the architecture learns from a batch of its own part of the training split, then the weights from a
    batch of theirs, with the loss averaged over the mixtures that are drawn. After every epoch `checkpoint.pt` is
    written to `context.folder`: weights, optimizers, distribution. What an epoch draws is a function of seed and
    epoch, so going on gives, bit for bit on one machine, what going straight through gives.

    It seeds torch's own generators; the caller puts them back. Under `torchrun`, with `torch.distributed` initialized
    and the same arguments in every process, they train it together: see `ranks`. The first one writes checkpoints.

    Args:
        network: Built from the space.
        distribution: Over the space.
        space: Of the architectures.
        data: Trained on `train`, judged on `valid`.
        regime: How.
        context: Seed, device, folder, log and deadline: when the next epoch would be over only after it, training
            ends with what it has. The first epoch is always trained.
        epochs: Up to which epoch; by default the last.
        sought: By which of the task's metrics architectures are compared, and controllers rewarded; by default the
            first.
        fits: Whether an architecture is within limits that the space does not know, which costs something to find out:
            what is derived is redrawn until it is, so many times. None: there are none.

    Raises:
        MorphogenError: The loss became NaN or infinite, or the checkpoint is of another network; of several
            processes, not all found the same.
    """
    device = torch_device(context.device)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # absent in the stubs
    loop = _Loop(network, distribution, space, data, regime, seed=context.seed, device=device, sought=sought)
    learned = loop.resume(context)
    if not alike(learned.epochs):
        raise MorphogenError(
            f"the processes found different checkpoints in {context.folder}: they all have to see the same run folder"
        )
    epochs = regime.recipe.epochs if epochs is None else epochs
    slowest = 0.0
    while learned.epochs < epochs and not learned.stopped:
        started = time.monotonic()
        # judging what was found at the end takes less than an epoch
        late = context.deadline is not None and started + slowest > context.deadline
        if learned.epochs and decided(late):
            break
        with recompute(network) if regime.recompute else nullcontext():
            loss = loop.epoch(learned.epochs)
        point = {"train_loss": loss, **loop.judged(), "lr": loop.optimizer.param_groups[0]["lr"]}
        learned.epochs += 1
        for name, value in point.items():
            learned.curves.setdefault(name, []).append((float(learned.epochs), value))
        loop.watch(learned)
        slowest = max(slowest, time.monotonic() - started)
        learned.seconds += time.monotonic() - started
        if context.folder is not None:
            if rank() == 0:
                checkpoint.save(context.folder, loop.state(learned))
            barrier()
        context.log(learned.epochs, point)
    started = time.monotonic()
    loop.conclude(learned, fits)
    learned.seconds += time.monotonic() - started
    return learned


def sharpness_of(
    network: nn.Module,
    distribution: Distribution,
    space: Space,
    data: Data,
    regime: Regime,
    context: Context,
    say: Callable[[str], None] | None = None,
) -> float:
    """The sharpness that the curves of a supernet have (see `Regime`), of the checkpoint that a trial left.

    Args:
        network: Built from the space, with any weights.
        distribution: Over the space, `Relaxed`; its logits are read from the checkpoint.
        space: Of the architectures.
        data: As in the training.
        regime: As in the training.
        context: Seed and folder of the trial, and a device.
        say: Is told the price before anything is computed.

    Raises:
        MorphogenError: There is no checkpoint, or one of another network.
    """
    device = torch_device(context.device)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # absent in the stubs
    loop = _Loop(network, distribution, space, data, regime, seed=context.seed, device=device)
    if loop.resume(context).epochs == 0:
        raise MorphogenError(f"{context.folder} has no checkpoint of a supernet, or only a damaged one")
    return loop.sharpness(say)


@final
class _Loop:
    """A supernet with everything that an epoch needs."""

    def __init__(
        self,
        network: nn.Module,
        distribution: Distribution,
        space: Space,
        data: Data,
        regime: Regime,
        *,
        seed: int,
        device: torch.device,
        sought: Objective | None = None,
    ) -> None:
        self.network, self.distribution, self.space, self.data, self.regime = network, distribution, space, data, regime
        self.seed, self.device = seed, device
        recipe = regime.recipe
        self.optimizer = recipe.make_optimizer(network.parameters())
        self.task = smoothed(data.task, recipe.label_smoothing)
        self.sought = sought or objective(data.task.metrics[0])
        augment = data.augment if recipe.augment is None else recipe.augment
        train, valid = parts(data.train, regime.share, data.split_seed)
        self.train = Batches(data, train, recipe.batch_size, device, augment)
        self.valid = Batches(data, valid, recipe.batch_size, device, augment)
        self.calibration = calibration(data, regime.calibration, recipe.batch_size, device)

    def epoch(self, epoch: int) -> float:
        """One epoch; the mean loss of the weights' steps."""
        recipe, network = self.regime.recipe, self.network
        network.train()
        advance(network, epoch / recipe.epochs)
        shuffling = reseed(self.seed, epoch)
        # each in a stream of its own: what one draws does not shift the others
        choosing, drawing = (torch.Generator().manual_seed(_number(shuffling)) for _ in range(2))
        valid = _endless(self.valid, choosing)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        learning = epoch >= self.regime.start * recipe.epochs
        losses: list[Tensor] = []
        for number, batch in enumerate(map(part, self.train.shuffled(shuffling))):
            now = epoch + number / self.train.steps
            self._set_lr(now)
            if learning:
                last = number + 1 == self.train.steps
                step = Step(
                    network,
                    self.optimizer,
                    batch,
                    lambda: part(next(valid)),
                    epoch,
                    last,
                    drawing,
                    self.task.loss,
                    now / recipe.epochs,
                    self._reward,
                )
                self.distribution.update(step)
            losses.append(self._weights(batch, self.distribution.draw(drawing)))
            average([p.grad for p in parameters])
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(parameters, recipe.clip, foreach=True)
            self.optimizer.step()
        average([buffer for buffer in network.buffers() if buffer.is_floating_point()])
        mean_losses = torch.stack(losses)
        average([mean_losses])
        values = mean_losses.tolist()
        for number, value in enumerate(values, start=1):
            if not math.isfinite(value):
                kind = "NaN" if math.isnan(value) else "infinite"
                raise MorphogenError(
                    f"the loss of the supernet became {kind} in epoch {epoch + 1} "
                    f"step {number}; a lower learning rate than {recipe.lr:g}, a warm-up or clipping may help"
                )
        return math.fsum(values) / len(values)

    def _set_lr(self, now: float) -> None:
        recipe = self.regime.recipe
        lr = recipe.schedule(recipe.lr, now, recipe.epochs) * warm_up(now + 1 / self.train.steps, recipe.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def _reward(self, output: Tensor, target: Tensor) -> float:
        """What is sought, on a batch."""
        total = self.data.task.sums(output, target)[self.sought.metric]
        return self.sought.gain(float(total.float() / len(target)))

    def _weights(self, batch: Batch, mixtures: Sequence[Mixture]) -> Tensor:
        """Gradients of the weights, averaged over mixtures; what the mixtures depend on gets none."""
        images, classes = batch
        self.optimizer.zero_grad()
        total = torch.zeros((), device=self.device)
        for mixture in mixtures:
            with bind(self.network, _detached(mixture)):
                with precision(self.device):
                    output = self.network(images)
                auxiliary = None
                if isinstance(output, tuple):
                    output, auxiliary = output
                loss = self.task.loss(output, classes)
                if auxiliary is not None and self.regime.recipe.auxiliary_weight:
                    loss = loss + self.regime.recipe.auxiliary_weight * self.task.loss(auxiliary, classes)
                loss = loss / len(mixtures)
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def judged(self) -> dict[str, float]:
        """Metrics of a mixture, and signs of health."""
        generator = torch.Generator().manual_seed(self.seed)
        mixture = _detached(self.distribution.draw(generator)[0])
        metrics = judge(self.network, mixture, self.data, self.calibration[:2], str(self.device))
        signs = {**metrics, **health(self.distribution)}
        return {**signs, SHARPNESS: self.sharpness()} if self.regime.sharpness else signs

    def sharpness(self, say: Callable[[str], None] | None = None) -> float:
        """Of the mean mixture, on one batch that is the same after every epoch."""
        assert isinstance(self.distribution, Relaxed)
        self.network.train()
        batch = next(self.valid.in_order())
        generator = torch.Generator().manual_seed(self.seed)
        step = Step(self.network, self.optimizer, batch, lambda: batch, 0, False, generator, self.task.loss)
        return sharpness(step, self.distribution.mixture, list(self.distribution.logits.values()), say=say)

    def watch(self, learned: Learned) -> None:
        """Stop, with the last architecture that was sound, where skips take over."""
        if self.regime.most_skips is None or not isinstance(self.distribution, Weighing):
            return
        now = self.distribution.likeliest()
        learned.stopped = most_skips(now) >= self.regime.most_skips
        if not learned.stopped or learned.found is None:
            learned.found = now

    def conclude(self, learned: Learned, fits: Fits | None) -> None:
        """The architecture found, and its metrics with the shared weights."""
        # of the epoch, too: what a pause names should not be drawn like what the pause before named
        generator = reseed(self.seed, learned.epochs)
        if not learned.stopped:
            learned.found = self.distribution.derive(self._score, generator)
        assert learned.found is not None
        if fits is not None and not fits(learned.found):
            learned.found = within(self.distribution, learned.found, fits, self._score, generator)
        learned.metrics = self._of(learned.found)
        if points := learned.curves.get(self.sought.metric):
            learned.metrics[f"supernet_{self.sought.metric}"] = points[-1][1]

    def _score(self, architecture: Architecture) -> float:
        return self.sought.gain(self._of(architecture)[self.sought.metric])

    def _of(self, architecture: Architecture) -> dict[str, float]:
        return judge(self.network, picks_to_mixture(architecture), self.data, self.calibration, str(self.device))

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def state(self, learned: Learned) -> dict[str, Any]:
        done = {**vars(learned), "found": None if learned.found is None else learned.found.text}
        return {
            "learned": done,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "distribution": self.distribution.state_dict(),
        }

    def resume(self, context: Context) -> Learned:
        """Load what this trial has done already, or what the trial has done that it goes on from."""
        own = checkpoint.load(context.folder) if context.folder is not None else None
        state = own
        if state is None and context.warm_start is not None:
            state = checkpoint.load(context.warm_start)
        if state is None:
            return Learned()
        try:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.distribution.load_state_dict(state["distribution"])
            done = state["learned"]
        except (RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise MorphogenError(
                f"the checkpoint that the supernet should go on from is of another one: {reason}"
            ) from None
        curves = {name: [(float(s), float(v)) for s, v in points] for name, points in done["curves"].items()}
        found = None if done["found"] is None else self.space.parse(done["found"])
        learned = Learned(done["epochs"], {}, curves, found, done["seconds"], done["stopped"])
        return learned if own is not None else replace(learned, seconds=0.0)


def _detached(mixture: Mixture) -> Mixture:
    return {
        choice: {option: None if weight is None else weight.detach() for option, weight in options.items()}
        for choice, options in mixture.items()
    }


def _endless(batches: Batches, generator: torch.Generator) -> Iterator[Batch]:
    """Batches without end: every image once before any comes again.

    **Differs** from the released DARTS, which draws a fresh order for every batch.
    """
    while True:
        yield from batches.shuffled(generator)


def _number(generator: torch.Generator) -> int:
    return int(torch.randint(2**63 - 1, (), generator=generator))
