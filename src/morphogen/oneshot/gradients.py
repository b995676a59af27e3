"""The gradient of the validation loss with respect to what a distribution learns: first order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from morphogen.nn.mixture import Mixture, bind
from morphogen.oneshot.distribution import Batch, Step, logits_of
from morphogen.oneshot.held import frozen, held
from morphogen.training.device import precision

__all__ = ["Gradient", "first_order", "loss_of"]

Gradient = Callable[[Step, Callable[[], Mixture], Sequence[nn.Parameter]], Sequence[Tensor | None]]
"""`gradient(step, mixture, parameters)`: of the validation loss, for parameters that the mixture depends on. It
leaves the network as it was, running statistics included."""


def loss_of(step: Step, batch: Batch, mixture: Mixture) -> Tensor:
    """The loss of the supernet under a mixture, which stays bound: backward may run parts of forward again."""
    images, classes = batch
    bind(step.network, mixture)
    with precision(images.device):
        output = step.network(images)
    return step.loss(logits_of(output), classes)


def first_order(
    step: Step, mixture: Callable[[], Mixture], parameters: Sequence[nn.Parameter]
) -> Sequence[Tensor | None]:
    """The weights held as they are: Liu et al. 2019, "DARTS" (arXiv:1806.09055), eq. (7) with xi = 0.

    Gradients of the weights are not computed.
    """
    weighed = mixture()
    with held(step.network), frozen(step.network), bind(step.network, weighed):
        loss = loss_of(step, step.valid(), weighed)
        return torch.autograd.grad(loss, list(parameters), allow_unused=True)
