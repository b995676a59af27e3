"""Weights drawn from a Dirichlet distribution over the options: DrNAS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.choice import Choice
from morphogen.nn.mixture import Mixture
from morphogen.oneshot.distribution import Score, Step
from morphogen.oneshot.gradients import first_order
from morphogen.oneshot.logits import Adam, Logits, Weights
from morphogen.space import Architecture, Space

__all__ = ["Dirichlet"]


@final
class Dirichlet:
    """Every option runs, with weights drawn anew each step; the concentration is learned through the draw.

    Chen et al. 2021, "DrNAS: Dirichlet Neural Architecture Search" (arXiv:2006.10355), section 3.1. The
    concentration is `elu(alpha) + 1`; the weight decay of Adam pulls alpha to zero, the concentration to one: the
    paper's regularizer towards the uniform Dirichlet distribution, as in the released code. Gradients are pathwise:
    a Dirichlet draw is a normalized vector of gamma draws, which PyTorch differentiates implicitly. It ends at the
    largest means. A choice of any number of options draws a weight for each by itself, from the Beta distribution of
    `elu(alpha) + 1` and `elu(-alpha) + 1`.

    **Differs**: without the progressive pruning and the partial channels of section 3.3.

    Args:
        space: Its choices get the logits; see `Logits`.
        lr: Of Adam on alpha.
        betas: Of Adam.
        weight_decay: Of Adam.
        generator: Draws the first alpha, with standard deviation 0.001.
        device: Of alpha; best that of the network.
        dtype: Of alpha.

    Raises:
        ValueError: A choice that only a training can read.
    """

    def __init__(
        self,
        space: Space,
        *,
        lr: float = 6e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        weight_decay: float = 1e-3,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        adam = Adam(lr, betas, weight_decay)
        self._logits = Logits(space, "Dirichlet", adam, generator=generator, device=device, dtype=dtype)
        self.space = space

    @property
    def logits(self) -> Mapping[str, nn.Parameter]:
        """Choice -> alpha, a vector with an entry for each option."""
        return self._logits.values

    def draw(self, generator: torch.Generator) -> Sequence[Mixture]:
        """One mixture of everything, with weights that sum to one for each choice."""
        return [self.sample(generator)]

    def sample(self, generator: torch.Generator) -> Mixture:
        """The same, alone."""

        def weights(choice: Choice, alpha: Tensor) -> Tensor:
            # on the CPU, so that every device draws the same
            concentration = _concentration(choice, alpha).cpu()
            gammas = torch._standard_gamma(concentration, generator=generator)
            gammas = gammas.clamp_min(torch.finfo(gammas.dtype).tiny)  # small concentrations underflow
            return _share(gammas).to(alpha.device)

        return self._logits.mixture(weights)

    def mixture(self) -> Mixture:
        """Every option with its mean weight."""
        return self._logits.mixture(_mean)

    def update(self, step: Step) -> None:
        """One step of Adam on the validation loss of a draw."""
        gradients = first_order(step, lambda: self.sample(step.generator), self._logits.parameters)
        self._logits.descend(gradients)

    def derive(self, score: Score, generator: torch.Generator) -> Architecture:
        """The architecture of the largest mean weights within the limits. Nothing is scored or drawn."""
        return self.likeliest()

    def likeliest(self) -> Architecture:
        """What `derive` gives."""
        return self._logits.discretize(self.probabilities())

    def probabilities(self) -> Weights:
        """The means."""
        return self._logits.probabilities(_mean)

    def state_dict(self) -> dict[str, Any]:
        return self._logits.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same space.

        Raises:
            ValueError: The state has other choices than the space.
        """
        self._logits.load_state_dict(state)


def _concentration(choice: Choice, alpha: Tensor) -> Tensor:
    """`[options]`; where any number of them is picked `[2, options]`, for an option and against it (Beta)."""
    both = alpha if isinstance(choice.pick, int) else torch.stack((alpha, -alpha))
    return F.elu(both) + 1


def _share(parts: Tensor) -> Tensor:
    """What sums to one over the options, or over the two sides of each."""
    return parts / parts.sum() if parts.dim() == 1 else parts[0] / parts.sum(0)


def _mean(choice: Choice, alpha: Tensor) -> Tensor:
    return _share(_concentration(choice, alpha))
