"""The gradient through one virtual step of the weights: second-order DARTS.

Liu et al. 2019, "DARTS" (arXiv:1806.09055), section 2.3. With `w' = w - xi (m b + grad_w L_train(w, a) + d w)`,
momentum m, its buffer b and weight decay d, as the released code has them, the gradient is

    grad_a L_val(w', a) - xi grad^2_{a,w} L_train(w, a) v,    v = grad_w' L_val(w', a)

and its second term a finite difference (eq. 8) or an exact Hessian-vector product. The functions know two losses and
two lists of tensors, no networks. Weights are changed in place and are the same bits afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from morphogen.nn.mixture import Mixture, bind
from morphogen.oneshot.distribution import Step
from morphogen.oneshot.gradients import loss_of
from morphogen.oneshot.held import held, still

__all__ = ["RADIUS", "SecondOrder", "Virtual", "exact", "finite_difference", "second_order_exact", "virtual_step"]

RADIUS = 0.01
"""Of eq. (8): the weights are moved by this length to both sides."""

Losses = Callable[[], Tensor]
Tensors = Sequence[Tensor]


@final
@dataclass(frozen=True)
class Virtual:
    """The step that the weights would take.

    Args:
        lr: xi, the learning rate of the weights as it is now.
        momentum: Of SGD.
        weight_decay: Of SGD.
        buffers: The momentum of each weight, None where there is none yet.
    """

    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    buffers: Sequence[Tensor | None] = ()

    def take(self, weights: Tensors, gradients: Sequence[Tensor | None]) -> None:
        """Move the weights, in place. Gradients are not clipped, as in the released code."""
        for i, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            if gradient is None:  # the optimizer leaves a weight alone that took no part
                continue
            step = gradient.add(weight, alpha=self.weight_decay)
            buffer = self.buffers[i] if self.buffers else None
            if buffer is not None:
                step = step.add_(buffer, alpha=self.momentum)
            weight.sub_(step, alpha=self.lr)


def finite_difference(
    train: Losses, valid: Losses, weights: Tensors, parameters: Tensors, virtual: Virtual, radius: float = RADIUS
) -> list[Tensor]:
    """Eq. (7) with eq. (8): the training loss at `w + R v` and `w - R v`, where R is the radius over the norm of v.

    Args:
        train: The training loss of the weights and parameters as they are when it is called.
        valid: Likewise the validation loss.
        weights: w.
        parameters: a.
        virtual: The step from w to w'.
        radius: What R is over the norm of v.

    Returns:
        One gradient for each of the parameters.
    """
    first, v = _at_the_virtual_step(train, valid, weights, parameters, virtual)
    norm = torch.sqrt(sum((x.square().sum() for x in v), torch.zeros((), device=v[0].device, dtype=v[0].dtype)))
    if not norm > 0:  # no direction: the second term is zero
        return first
    r = radius / norm.item()
    sides = []
    with _restored(weights), still(weights), torch.no_grad():
        saved = [w.clone() for w in weights]
        for sign in (1, -1):
            for w, w0, x in zip(weights, saved, v, strict=True):
                w.copy_(w0).add_(x, alpha=sign * r)
            with torch.enable_grad(), _same_draws(weights):  # the difference is of the weights, not of what is dropped
                sides.append(_gradients(train(), parameters))
    return [g - virtual.lr * (p - n) / (2 * r) for g, p, n in zip(first, *sides, strict=True)]


def exact(train: Losses, valid: Losses, weights: Tensors, parameters: Tensors, virtual: Virtual) -> list[Tensor]:
    """Eq. (7) itself, by differentiating the product of v with the training gradient. Arguments as above.

    **Differs** from the paper, which approximates the product: in networks with ReLU and max pooling the two are far
    apart at the published radius.
    """
    first, v = _at_the_virtual_step(train, valid, weights, parameters, virtual)
    gradients = torch.autograd.grad(train(), list(weights), create_graph=True, allow_unused=True)
    product = sum(
        ((g * x).sum() for g, x in zip(gradients, v, strict=True) if g is not None),
        torch.zeros((), device=v[0].device, dtype=v[0].dtype),
    )
    if not product.requires_grad:
        return first
    return [g - virtual.lr * h for g, h in zip(first, _gradients(product, parameters), strict=True)]


def _at_the_virtual_step(
    train: Losses, valid: Losses, weights: Tensors, parameters: Tensors, virtual: Virtual
) -> tuple[list[Tensor], list[Tensor]]:
    """The gradients of the validation loss at w', for the parameters and for the weights."""
    gradients = torch.autograd.grad(train(), list(weights), allow_unused=True)
    with _restored(weights):
        with torch.no_grad():
            virtual.take(weights, gradients)
        found = _gradients(valid(), [*parameters, *weights])
    return found[: len(parameters)], found[len(parameters) :]


def _gradients(loss: Tensor, tensors: Tensors) -> list[Tensor]:
    if not loss.requires_grad:  # it depends on none of them
        return [torch.zeros_like(t) for t in tensors]
    found = torch.autograd.grad(loss, list(tensors), allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(tensors, found, strict=True)]


@contextmanager
def _same_draws(weights: Tensors) -> Iterator[None]:
    """What is drawn inside from torch's own generators is drawn again afterwards."""
    devices = sorted({w.device.index or 0 for w in weights if w.device.type == "cuda"})
    with torch.random.fork_rng(devices):
        yield


@contextmanager
def _restored(weights: Tensors) -> Iterator[None]:
    saved = [w.detach().clone() for w in weights]
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, before in zip(weights, saved, strict=True):
                weight.copy_(before)


# --- for distributions ----------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True)
class SecondOrder:
    """The gradient of a distribution by `finite_difference`.

    Args:
        radius: What R is over the norm of v; 0.01 in the released code.
    """

    radius: float = RADIUS

    def __call__(
        self, step: Step, mixture: Callable[[], Mixture], parameters: Sequence[nn.Parameter]
    ) -> Sequence[Tensor | None]:
        weights, virtual, train, valid = _problem(step, mixture)
        with held(step.network), bind(step.network, None):
            return finite_difference(train, valid, weights, parameters, virtual, self.radius)


def second_order_exact(
    step: Step, mixture: Callable[[], Mixture], parameters: Sequence[nn.Parameter]
) -> Sequence[Tensor | None]:
    """The gradient of a distribution by `exact`."""
    weights, virtual, train, valid = _problem(step, mixture)
    with held(step.network), bind(step.network, None):
        return exact(train, valid, weights, parameters, virtual)


def _problem(step: Step, mixture: Callable[[], Mixture]) -> tuple[list[Tensor], Virtual, Losses, Losses]:
    weights, virtual = virtual_step(step.optimizer)
    batch = step.valid()
    return weights, virtual, lambda: loss_of(step, step.train, mixture()), lambda: loss_of(step, batch, mixture())


def virtual_step(optimizer: torch.optim.Optimizer) -> tuple[list[Tensor], Virtual]:
    """The weights of an optimizer, and the step that it would take with them.

    Raises:
        ValueError: It is not plain SGD with one group of weights.
    """
    groups = optimizer.param_groups
    plain = isinstance(optimizer, torch.optim.SGD) and len(groups) == 1
    if not plain or groups[0]["nesterov"] or groups[0]["dampening"] or groups[0]["maximize"]:
        raise ValueError(
            f"the second order is derived for the step of SGD with momentum, got {type(optimizer).__name__} with "
            f"{len(groups)} groups: train the supernet with optimizer 'sgd', nesterov off"
        )
    weights: list[Tensor] = list(groups[0]["params"])
    buffers = [optimizer.state[w].get("momentum_buffer") if w in optimizer.state else None for w in weights]
    return weights, Virtual(groups[0]["lr"], groups[0]["momentum"], groups[0]["weight_decay"], buffers)
