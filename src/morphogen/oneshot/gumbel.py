"""One operation runs, and the gradient reaches its probability: GDAS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from morphogen.choice import Choice
from morphogen.nn.mixture import Mixture
from morphogen.oneshot.distribution import Score, Step
from morphogen.oneshot.gradients import first_order
from morphogen.oneshot.logits import Adam, Logits, Weights, softmax
from morphogen.space import Architecture, Space

__all__ = ["Gumbel"]


@final
class Gumbel:
    """The softmax with Gumbel noise decides which option runs; its weight is one, with the gradient of the softmax.

    Dong and Yang 2019, "Searching for a Robust Neural Architecture in Four GPU Hours" (arXiv:1910.04465), eq. (3) to
    (5): the straight-through estimator, which runs and differentiates the sampled operation only. A choice of several
    options without children takes the largest of the noisy logits; one of any number of them has each or not, with logistic
    noise. The temperature falls linearly with the progress
    of the training, as in the released code.

    **Differs** from the released code, which also adds the weights of the operations that do not run (zero, with a
    gradient of one) to the sum.

    Args:
        space: Its choices get the logits; see `Logits`.
        lr: Of Adam on the logits.
        betas: Of Adam.
        weight_decay: Of Adam.
        hottest: The temperature at the beginning.
        coldest: The temperature at the end.
        generator: Draws the first logits, with standard deviation 0.001.
        device: Of the logits; best that of the network.
        dtype: Of the logits.

    Raises:
        ValueError: A choice that only a training can read, or a temperature that is not above 0.
    """

    def __init__(
        self,
        space: Space,
        *,
        lr: float = 3e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        weight_decay: float = 1e-3,
        hottest: float = 10.0,
        coldest: float = 0.1,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not min(hottest, coldest) > 0:
            raise ValueError(f"temperatures are above 0, got {hottest} to {coldest}")
        adam = Adam(lr, betas, weight_decay)
        self._logits = Logits(space, "Gumbel", adam, generator=generator, device=device, dtype=dtype)
        self.space, self.hottest, self.coldest = space, hottest, coldest
        self.temperature = hottest

    @property
    def logits(self) -> Mapping[str, nn.Parameter]:
        """Choice -> alpha, a vector with an entry for each option."""
        return self._logits.values

    def draw(self, generator: torch.Generator) -> Sequence[Mixture]:
        """One mixture in which every choice runs only what it picked."""
        return [self.sample(generator)]

    def sample(self, generator: torch.Generator) -> Mixture:
        """The same, alone."""
        mixture: dict[str, Mapping[str, Tensor | None]] = {}
        for choice in self.space:
            logits = self._logits.values.get(choice.name)
            mixture[choice.name] = (
                dict.fromkeys(choice.options) if logits is None else self._picked(choice, logits, generator)
            )
        return mixture

    def mixture(self) -> Mixture:
        """Every option with its probability, without noise: what is sampled, on average."""
        return self._logits.mixture(softmax)

    def update(self, step: Step) -> None:
        """One step of Adam on the validation loss of a sample."""
        self.temperature = self.hottest + (self.coldest - self.hottest) * step.progress
        gradients = first_order(step, lambda: self.sample(step.generator), self._logits.parameters)
        self._logits.descend(gradients)

    def derive(self, score: Score, generator: torch.Generator) -> Architecture:
        """The most probable architecture within the limits. Nothing is scored or drawn."""
        return self.likeliest()

    def likeliest(self) -> Architecture:
        """What `derive` gives."""
        return self._logits.discretize(self.probabilities())

    def probabilities(self) -> Weights:
        """How probable every option is to be picked, where one is."""
        return self._logits.probabilities(softmax)

    def state_dict(self) -> dict[str, Any]:
        return {**self._logits.state_dict(), "temperature": self.temperature}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same space.

        Raises:
            ValueError: The state has other choices than the space.
        """
        self._logits.load_state_dict(state)
        self.temperature = state["temperature"]

    def _picked(self, choice: Choice, logits: nn.Parameter, generator: torch.Generator) -> dict[str, Tensor | None]:
        if not isinstance(choice.pick, int):
            return self._subset(choice, logits, generator)
        # on the CPU, so that every device draws the same
        noise = torch.empty(len(choice.options), dtype=logits.dtype).exponential_(generator=generator)
        noisy = logits.log_softmax(0) - noise.log().to(logits.device)
        soft = (noisy / self.temperature).softmax(0)
        picked = noisy.topk(choice.pick).indices.sort().values
        hard = 1 + soft[picked] - soft[picked].detach()
        return {choice.options[i]: weight for i, weight in zip(picked.tolist(), hard.unbind(), strict=True)}

    def _subset(self, choice: Choice, logits: nn.Parameter, generator: torch.Generator) -> dict[str, Tensor | None]:
        """Every option with a weight of one or zero, and the gradient of its sigmoid: logistic noise, as a softmax of two
        has (Maddison et al. 2017, arXiv:1611.00712, section 2.4)."""
        low, high = choice.bounds
        u = torch.rand(len(choice.options), dtype=logits.dtype, generator=generator).clamp_(1e-6, 1 - 1e-6)
        noisy = logits + u.logit().to(logits.device)
        soft = (noisy / self.temperature).sigmoid()
        count = int((noisy > 0).sum().clamp(low, high))
        hard = torch.zeros_like(soft).index_fill(0, noisy.topk(count).indices, 1.0)
        weights = hard + soft - soft.detach()
        return dict(zip(choice.options, weights.unbind(), strict=True))
