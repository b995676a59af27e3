"""The softmax over all options of every choice, learned by gradient: DARTS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import nn

from morphogen.nn.mixture import Mixture
from morphogen.oneshot.distribution import Score, Step
from morphogen.oneshot.gradients import Gradient, first_order
from morphogen.oneshot.logits import Adam, Logits, Weights, softmax
from morphogen.space import Architecture, Space

__all__ = ["Softmax"]


@final
class Softmax:
    """Every option runs, weighted by a softmax over logits that descend the validation loss.

    Liu et al. 2019, "DARTS" (arXiv:1806.09055), eq. (2) and, for the step, eq. (7). What has logits, and how it ends:
    see `Logits`.

    **Differs** from the released code, which starts from logits drawn with standard deviation 0.001,
    where no `generator` is given: logits start at zero, as in the paper.

    Args:
        space: Its choices get the logits.
        lr: Of Adam on the logits.
        betas: Of Adam.
        weight_decay: Of Adam.
        gradient: `first_order` (xi = 0), `SecondOrder()`, or `second_order_exact`.
        edges: Whether inputs are weighted too: the edge normalization of PC-DARTS.
        generator: Draws the first logits, with standard deviation 0.001.
        device: Of the logits; best that of the network.
        dtype: Of the logits.

    Raises:
        ValueError: A choice that only a training can read.
    """

    def __init__(
        self,
        space: Space,
        *,
        lr: float = 3e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        weight_decay: float = 1e-3,
        gradient: Gradient = first_order,
        edges: bool = False,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        adam = Adam(lr, betas, weight_decay)
        self._logits = Logits(space, "Softmax", adam, edges=edges, generator=generator, device=device, dtype=dtype)
        self.gradient = gradient
        self.space = space

    @property
    def logits(self) -> Mapping[str, nn.Parameter]:
        """Choice -> alpha, a vector with an entry for each option."""
        return self._logits.values

    def draw(self, generator: torch.Generator) -> Sequence[Mixture]:
        """One mixture of everything; gradients flow to the logits."""
        return [self.mixture()]

    def mixture(self) -> Mixture:
        """The weights as they are: a softmax for each choice, `none` included."""
        return self._logits.mixture(softmax)

    def update(self, step: Step) -> None:
        """One step of Adam on the validation loss."""
        self._logits.descend(self.gradient(step, self.mixture, self._logits.parameters))

    def derive(self, score: Score, generator: torch.Generator) -> Architecture:
        """The most probable architecture within the limits. Nothing is scored or drawn."""
        return self.likeliest()

    def likeliest(self) -> Architecture:
        """What `derive` gives."""
        return self._logits.discretize(self.probabilities())

    def probabilities(self) -> Weights:
        """The weights of the mixture, as numbers."""
        return self._logits.probabilities(softmax)

    def state_dict(self) -> dict[str, Any]:
        return self._logits.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same space.

        Raises:
            ValueError: The state has other choices than the space.
        """
        self._logits.load_state_dict(state)
