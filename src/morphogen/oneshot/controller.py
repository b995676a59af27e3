"""A recurrent controller that learns from the rewards of sub-graphs with shared weights: ENAS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn

from morphogen.nn.mixture import Mixture, bind, picks_to_mixture
from morphogen.oneshot.distribution import Score, Step, logits_of, refuse_hyperparameters
from morphogen.oneshot.enas_any import AnyPolicy
from morphogen.oneshot.enas_macro import MacroPolicy
from morphogen.oneshot.enas_micro import MicroPolicy
from morphogen.oneshot.enas_writing import Policy, Written, greedy, sampling
from morphogen.oneshot.health import BASELINE, REWARD, SURPRISE
from morphogen.oneshot.held import held
from morphogen.oneshot.ranks import mean_number
from morphogen.space import Architecture, Space
from morphogen.training.device import precision

__all__ = ["Controller", "MakePolicy", "controller_loss", "policy_of"]

MakePolicy = Callable[..., Policy]
"""`make(space, generator=..., dtype=...)`: a policy of `oneshot/enas_*.py`, or `functools.partial` of one with other
numbers. It must pickle."""


def policy_of(space: Space, *, generator: torch.Generator | None = None, dtype: torch.dtype | None = None) -> Policy:
    """The controller that the released code has for such a space: of layers, of cells of blocks; else one for any."""
    if MacroPolicy.serves(space):
        return MacroPolicy(space, generator=generator, dtype=dtype)
    if MicroPolicy.serves(space):
        return MicroPolicy(space, generator=generator, dtype=dtype)
    return AnyPolicy(space, generator=generator, dtype=dtype)


def controller_loss(written: Written, advantage: float, skip_weight: float) -> Tensor:
    """What one sample is descended by: `-log p (R - b)`, and the penalty of its skips."""
    return written.surprise * advantage + skip_weight * written.penalty


@final
class Controller:
    """Every step of the weights trains one sampled architecture; after each epoch, the controller has its own steps.

    Pham et al. 2018, "Efficient Neural Architecture Search via Parameter Sharing" (arXiv:1802.03268), section 2.2, as
    in the released code (melodyguan/enas): a sample's reward is its accuracy (`Step.reward`) on one batch that the weights do not
    learn from, plus its weighted entropy; the moving average of rewards is moved before it is subtracted; gradients of
    `aggregate` samples are averaged for a step of Adam. `derive` samples some architectures and keeps the best.

    **Differs**: the controller learns in front of the epoch's last step of the weights, not behind it; `derive` scores
    on the whole validation split, not on one batch of it; with `batch_statistics`, networks of layers are normalized by
    the batch too (the code does so for cells only, and reads moving averages for layers, which mix all architectures).

    Args:
        space: What is written.
        policy: Makes the controller.
        lr: Of Adam; 0.00035 in the paper, in the scripts 0.001 for layers and 0.0035 for cells.
        betas: Of Adam.
        eps: Of Adam.
        steps: Of Adam, after each epoch; 30 for cells.
        aggregate: Samples a step; 10 for cells.
        decay: Of the moving average.
        baseline: Its first value; None: the first reward.
        entropy: Weight of the entropy in the reward.
        skip_weight: Weight of the penalty in the loss.
        batch_statistics: Whether a reward normalizes by the statistics of its batch, else by the running ones.
        candidates: How many architectures `derive` scores.
        generator: Draws the first weights.
        device: Holds nothing: so small a controller is fastest on the CPU.
        dtype: Of the weights.

    Raises:
        ValueError: A number that cannot be, or choices that only a training can read.
    """

    def __init__(
        self,
        space: Space,
        *,
        policy: MakePolicy = policy_of,
        lr: float = 3.5e-4,
        betas: tuple[float, float] = (0.0, 0.999),
        eps: float = 1e-3,
        steps: int = 50,
        aggregate: int = 20,
        decay: float = 0.99,
        baseline: float | None = 0.0,
        entropy: float = 1e-4,
        skip_weight: float = 0.8,
        batch_statistics: bool = True,
        candidates: int = 10,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        refuse_hyperparameters(space, "Controller")
        for name, value in {"steps": steps, "aggregate": aggregate, "candidates": candidates}.items():
            if value < 1:
                raise ValueError(f"{name}={value} of a controller: at least 1 is needed")
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay} of a controller: expected a number of [0, 1)")
        self.space, self.steps, self.aggregate, self.candidates = space, steps, aggregate, candidates
        self.decay, self.entropy, self.skip_weight = decay, entropy, skip_weight
        self.batch_statistics = batch_statistics
        self.baseline = baseline
        self.reward: float | None = None
        """The mean of the last steps' samples, without their entropy."""
        self.surprise: float | None = None
        """The mean of their `-log p`, which estimates the entropy of the controller, in nats."""
        self.policy = policy(space, generator=generator, dtype=dtype)
        self._optimizer = torch.optim.Adam(self.policy.module.parameters(), lr, betas, eps)

    def draw(self, generator: torch.Generator) -> Sequence[Mixture]:
        return [picks_to_mixture(self.sample(generator))]

    @torch.no_grad()
    def sample(self, generator: torch.Generator) -> Architecture:
        """One architecture."""
        return self.policy.write(sampling(generator)).architecture

    def update(self, step: Step) -> None:
        """At the last step of an epoch: the controller's own steps, the weights held as they are."""
        if not step.last:
            return
        choose, rewards, surprises = sampling(step.generator), [], []
        with _judging(step.network, self.batch_statistics):
            for _ in range(self.steps):
                self._optimizer.zero_grad()
                for _ in range(self.aggregate):
                    written = self.policy.write(choose)
                    rewards.append(mean_number(_reward(step, written.architecture)))
                    surprises.append(written.surprise.item())
                    loss = controller_loss(written, self.advantage(rewards[-1], written.bonus), self.skip_weight)
                    if loss.requires_grad:  # a space of one point has nothing to learn
                        (loss / self.aggregate).backward()  # type: ignore[no-untyped-call]
                self._optimizer.step()
        self._optimizer.zero_grad()
        self.reward = sum(rewards) / len(rewards)
        self.surprise = sum(surprises) / len(surprises)

    def advantage(self, reward: float, entropy: float) -> float:
        """A sample's reward over the moving average, which this reward has moved already: the code's order, by which
        it is `decay` times the reward over the old average."""
        reward += self.entropy * entropy
        before = reward if self.baseline is None else self.baseline
        self.baseline = before - (1 - self.decay) * (before - reward)
        return reward - self.baseline

    def derive(self, score: Score, generator: torch.Generator) -> Architecture:
        """The best by `score` of the sampled candidates; of equally good ones, the first."""
        return max((self.sample(generator) for _ in range(self.candidates)), key=score)

    def signs(self) -> dict[str, float]:
        """For `health`: the last steps' mean reward, the moving average that rewards are compared with, and the
        entropy of the controller in nats; nothing before its first steps."""
        if self.reward is None or self.surprise is None or self.baseline is None:
            return {}
        return {REWARD: self.reward, BASELINE: self.baseline, SURPRISE: self.surprise}

    @torch.no_grad()
    def likeliest(self) -> Architecture:
        """What the controller writes where it always takes the most probable answer."""
        return self.policy.write(greedy).architecture

    def state_dict(self) -> dict[str, Any]:
        policy = {name: value.detach().clone() for name, value in self.policy.module.state_dict().items()}
        optimizer = self._optimizer.state_dict()
        learned = {"baseline": self.baseline, "reward": self.reward, "surprise": self.surprise}
        return {"policy": policy, "optimizer": optimizer, **learned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same space.

        Raises:
            RuntimeError: The state is that of another controller.
        """
        self.policy.module.load_state_dict(state["policy"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.baseline, self.reward = state["baseline"], state["reward"]
        self.surprise = state.get("surprise")  # checkpoints of earlier versions have none


@contextmanager
def _judging(network: nn.Module, batch_statistics: bool) -> Iterator[None]:
    """Nothing is dropped and no running statistics keep a trace."""
    modes = {module: module.training for module in network.modules()}
    with held(network):
        network.eval()
        if batch_statistics:
            for module in modes:
                module.training = "running_mean" in module._buffers
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode


@torch.no_grad()
def _reward(step: Step, architecture: Architecture) -> float:
    images, classes = step.valid()
    with bind(step.network, picks_to_mixture(architecture)), precision(images.device):
        logits = logits_of(step.network(images))
    return step.reward(logits, classes)
