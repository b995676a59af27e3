"""The softmax over all options of every choice, learned by gradient: first-order DARTS."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from morphogen.choice import Choice, Pick
from morphogen.nn.mixture import Mixture, bind
from morphogen.oneshot.distribution import Score, Step, logits_of, refuse_hyperparameters
from morphogen.space import Architecture, Space

__all__ = ["Softmax"]


@final
class Softmax:
    """Every option runs, weighted by a softmax over logits that descend the validation loss.

    Liu et al. 2019, "DARTS" (arXiv:1806.09055), eq. (2) and, for the step, eq. (7) with xi = 0: the
    first-order approximation. A choice that picks several options, each with choices that exist only
    `when` it is picked, such as the inputs of a node, has no logits: all its options run, and its
    children's logits decide (section 2.4).

    **Differs** from the released code, which starts from logits drawn with standard deviation 0.001,
    where no `generator` is given: logits start at zero, as in the paper.

    Args:
        space: Its choices get the logits.
        lr: Of Adam on the logits.
        betas: Of Adam.
        weight_decay: Of Adam.
        generator: Draws the first logits, with standard deviation 0.001.
        device: Of the logits; best that of the network.
        dtype: Of the logits.

    Raises:
        ValueError: A choice that has no softmax: one of a range of picks, or one that only a training can
            read.
    """

    def __init__(
        self,
        space: Space,
        *,
        lr: float = 3e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        weight_decay: float = 1e-3,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        refuse_hyperparameters(space, "Softmax")
        self.space = space
        self._children = {choice.name: _children(space, choice) for choice in space}
        self.logits: dict[str, nn.Parameter] = {}
        """Choice -> alpha, a vector with an entry for each option."""
        for choice in space:
            if not isinstance(choice.pick, int):
                raise ValueError(  # noqa: TRY004  # what was given is a Space; it is one of a kind that cannot be served
                    f"Softmax cannot decide how many options choice '{choice.name}' picks ({choice.pick[0]} to "
                    f"{choice.pick[1]}): use a distribution that samples, or make it a choice of one option for each"
                )
            if not self._by_children(choice):
                first = torch.zeros(len(choice.options), dtype=dtype)
                if generator is not None:
                    first.normal_(std=1e-3, generator=generator)
                self.logits[choice.name] = nn.Parameter(first.to(device))
        self._optimizer = torch.optim.Adam(self.logits.values(), lr, betas, weight_decay=weight_decay)

    def draw(self, generator: torch.Generator) -> Sequence[Mixture]:
        """One mixture of everything; gradients flow to the logits."""
        return [self.mixture()]

    def mixture(self) -> Mixture:
        """The weights as they are: a softmax for each choice, `none` included."""
        mixture: dict[str, dict[str, Tensor | None]] = {}
        for choice in self.space:
            if choice.name in self.logits:
                weights = self.logits[choice.name].softmax(0).unbind()
                mixture[choice.name] = dict(zip(choice.options, weights, strict=True))
            else:
                mixture[choice.name] = dict.fromkeys(choice.options)
        return mixture

    def update(self, step: Step) -> None:
        """One step of Adam on the validation loss, the network's weights held as they are."""
        images, classes = step.valid()
        parameters = list(self.logits.values())
        mixture = self.mixture()
        with bind(step.network, mixture):
            loss = step.loss(logits_of(step.network(images)), classes)
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self._optimizer.step()
        self._optimizer.zero_grad()

    def derive(self, score: Score, generator: torch.Generator) -> Architecture:
        """The most probable architecture, choice by choice, within the limits. Nothing is scored or drawn.

        Section 2.4: an option weighs what the softmax gives it, `none` taking its part but never picked;
        an input weighs what the largest option of its child does. Equal weights: the earlier option.
        """
        with torch.no_grad():
            weights = {
                name: dict(zip(self.space[name].options, logits.softmax(0).tolist(), strict=True))
                for name, logits in self.logits.items()
            }
        picks: dict[str, Pick] = {}
        while (choice := next((c for c in self.space.active(picks) if c.name not in picks), None)) is not None:
            picks[choice.name] = self._top(choice, picks, weights)
        return self.space.architecture(picks)

    def state_dict(self) -> dict[str, Any]:
        logits = {name: parameter.detach().clone() for name, parameter in self.logits.items()}
        return {"logits": logits, "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same space.

        Raises:
            ValueError: The state has other choices than the space.
        """
        if state["logits"].keys() != self.logits.keys():
            raise ValueError(
                f"the state is of another space: it has logits of {len(state['logits'])} choices, expected those of "
                f"{', '.join(list(self.logits)[:3])}, ... ({len(self.logits)} choices)"
            )
        with torch.no_grad():
            for name, parameter in self.logits.items():
                parameter.copy_(state["logits"][name])
        self._optimizer.load_state_dict(state["optimizer"])

    def _by_children(self, choice: Choice) -> bool:
        return choice.pick != 1 and any(self._children[choice.name].values())

    def _top(self, choice: Choice, picks: Mapping[str, Pick], weights: Mapping[str, Mapping[str, float]]) -> Pick:
        """The options of the largest weights, added one by one as far as the limits allow."""
        picked: Pick = ()
        while allowed := self.space.allowed({**picks, choice.name: picked}, choice):
            picked = (*picked, max(allowed, key=lambda option: self._weight(choice, option, weights)))
        return tuple(option for option in choice.options if option in picked)

    def _weight(self, choice: Choice, option: str, weights: Mapping[str, Mapping[str, float]]) -> float:
        if choice.name in weights:
            return weights[choice.name][option]
        children = self._children[choice.name][option]
        return math.prod(max(self._weight(c, o, weights) for o in c.pickable) for c in children)


def _children(space: Space, choice: Choice) -> dict[str, list[Choice]]:
    """Option -> the choices that exist when it is picked."""
    return {
        option: [c for c in space if c.when is not None and c.when.choice == choice.name and option in c.when.any_of]
        for option in choice.options
    }
