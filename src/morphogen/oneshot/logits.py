"""Logits over the options of every choice: what gradient methods learn, and the architecture they end at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from morphogen.choice import Choice
from morphogen.nn.mixture import Mixture
from morphogen.oneshot.discretize import Discretization, Weights
from morphogen.oneshot.distribution import refuse_hyperparameters
from morphogen.oneshot.ranks import average
from morphogen.space import Architecture, Space

__all__ = ["Adam", "Logits", "Weights", "softmax"]


@final
@dataclass(frozen=True, slots=True)
class Adam:
    """Numbers of Adam (Kingma and Ba 2015, arXiv:1412.6980); the defaults are those of DARTS, section 3.1.

    Args:
        lr: The learning rate.
        betas: Decay of the two averages.
        weight_decay: Times the logits, added to the gradient.
    """

    lr: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 1e-3


@final
class Logits:
    """A vector for each choice, Adam on all of them, and the rule that discretizes.

    A choice that picks any number of its options, such as the connections of a layer, has a logit for each: the weight
    of an option is its sigmoid, whatever the others weigh, and it is picked where that is above one half. (No paper has
    these; ENAS's controller decides about connections in this way.)

    A choice that picks several options, each with choices that exist only `when` it is picked, such as the inputs
    of a node, has no logits unless `edges`: all its options run, and its children's logits decide (Liu et al. 2019,
    arXiv:1806.09055, section 2.4).

    Args:
        space: Its choices get the logits.
        who: Whose logits they are, for messages.
        adam: Of the logits.
        edges: Whether those choices have logits too, whose weights are multiplied with their children's (the edge
            normalization of PC-DARTS).
        generator: Draws the first logits, with standard deviation 0.001; None: all are zero.
        device: Best that of the network.
        dtype: Of the logits.

    Raises:
        ValueError: A choice that only a training can read.
    """

    def __init__(
        self,
        space: Space,
        who: str,
        adam: Adam,
        *,
        edges: bool = False,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        refuse_hyperparameters(space, who)
        self.space = space
        self._discretization = Discretization(space)
        self.values: dict[str, nn.Parameter] = {}
        for choice in space:
            if edges or not self._discretization.by_children(choice):
                first = torch.zeros(len(choice.options), dtype=dtype)
                if generator is not None:
                    first.normal_(std=1e-3, generator=generator)
                self.values[choice.name] = nn.Parameter(first.to(device))
        self._optimizer = torch.optim.Adam(
            self.values.values(), adam.lr, adam.betas, weight_decay=adam.weight_decay, foreach=True
        )

    @property
    def parameters(self) -> list[nn.Parameter]:
        return list(self.values.values())

    def mixture(self, weights: Callable[[Choice, Tensor], Tensor]) -> Mixture:
        """Everything runs, with the weights that a function gives for a choice and its logits."""
        mixture: dict[str, dict[str, Tensor | None]] = {}
        for choice in self.space:
            if choice.name in self.values:
                given = weights(choice, self.values[choice.name]).unbind()
                mixture[choice.name] = dict(zip(choice.options, given, strict=True))
            else:
                mixture[choice.name] = dict.fromkeys(choice.options)
        return mixture

    def descend(self, gradients: Sequence[Tensor | None]) -> None:
        """One step of Adam, for gradients in the order of `parameters`; under `torchrun`, for their means."""
        average(gradients)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self._optimizer.step()
        self._optimizer.zero_grad()

    @torch.no_grad()
    def probabilities(self, weights: Callable[[Choice, Tensor], Tensor]) -> Weights:
        """The weights as numbers."""
        return {
            name: dict(zip(self.space[name].options, weights(self.space[name], logits).tolist(), strict=True))
            for name, logits in self.values.items()
        }

    def discretize(self, weights: Weights) -> Architecture:
        """The architecture that the weights stand for."""
        return self._discretization(weights)

    def state_dict(self) -> dict[str, Any]:
        logits = {name: parameter.detach().clone() for name, parameter in self.values.items()}
        return {"logits": logits, "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same space.

        Raises:
            ValueError: The state has other choices than the space.
        """
        if state["logits"].keys() != self.values.keys():
            raise ValueError(
                f"the state is of another space: it has logits of {len(state['logits'])} choices, expected those of "
                f"{', '.join(list(self.values)[:3])}, ... ({len(self.values)} choices)"
            )
        with torch.no_grad():
            for name, parameter in self.values.items():
                parameter.copy_(state["logits"][name])
        self._optimizer.load_state_dict(state["optimizer"])


def softmax(choice: Choice, logits: Tensor) -> Tensor:
    """The weights of the options of a choice; sigmoids where it picks any number of them."""
    return logits.softmax(0) if isinstance(choice.pick, int) else logits.sigmoid()
