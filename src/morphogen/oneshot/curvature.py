"""How sharp the minimum is that an architecture sits in: the sign by which a collapse of DARTS announces itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from morphogen.nn.mixture import Mixture, bind
from morphogen.oneshot.distribution import Step
from morphogen.oneshot.gradients import loss_of
from morphogen.oneshot.held import frozen, held

__all__ = ["Relaxed", "largest_eigenvalue", "sharpness"]


@runtime_checkable
class Relaxed(Protocol):
    """A distribution that learns logits by gradient, through a mixture of all options."""

    @property
    def logits(self) -> Mapping[str, nn.Parameter]:
        """Choice -> alpha, a vector with an entry for each option."""
        ...

    def mixture(self) -> Mixture:
        """All options with the weights that they have on average; gradients flow to the logits."""
        ...


def sharpness(
    step: Step,
    mixture: Callable[[], Mixture],
    parameters: Sequence[nn.Parameter],
    *,
    iterations: int = 10,
    say: Callable[[str], None] | None = None,
) -> float:
    """The largest eigenvalue of the Hessian of the validation loss, on one batch, with respect to what is learned.

    Zela et al. 2020, "Understanding and Robustifying Differentiable Architecture Search" (arXiv:1909.09656), section 4:
    where it grows over the epochs, what is discretized loses much. It costs one forward and backward pass, and one
    backward pass through these for each iteration; memory is that of a second-order step. The network stays as it is.

    Args:
        step: Gives network, loss, validation batch and generator.
        mixture: As it depends on the parameters.
        parameters: Such as the logits of `Softmax`.
        iterations: Of the method of Lanczos.
        say: Is told the price before anything runs.
    """
    if say is not None:
        say(f"sharpness of the architecture: {iterations} Hessian-vector products, about {2 + 2 * iterations} passes")
    weighed = mixture()
    with held(step.network), frozen(step.network), bind(step.network, weighed):
        return largest_eigenvalue(loss_of(step, step.valid(), weighed), parameters, step.generator, iterations)


def largest_eigenvalue(
    loss: Tensor, parameters: Sequence[Tensor], generator: torch.Generator, iterations: int = 10
) -> float:
    """The largest eigenvalue of the Hessian of a loss, by the method of Lanczos (1950).

    The Hessian of an architecture has negative eigenvalues of similar size, which the power method would mix in.

    Args:
        loss: Twice differentiable; parameters that it does not depend on have rows of zeros.
        parameters: On one device.
        generator: Of the CPU; draws the first vector.
        iterations: Products with the Hessian. What is found is never above the eigenvalue (but for rounding), and exact
            where there are no more distinct eigenvalues than iterations.
    """
    gradients = torch.autograd.grad(
        loss, list(parameters), create_graph=True, allow_unused=True, materialize_grads=True
    )
    gradient = torch.cat([g.flatten() for g in gradients])
    v = torch.randn(gradient.shape, generator=generator, dtype=gradient.dtype).to(gradient.device)
    if not gradient.requires_grad:  # the loss is linear
        return 0.0
    basis = [v / v.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(min(iterations, len(v))):
        rows = torch.autograd.grad(
            gradient @ basis[-1], list(parameters), retain_graph=True, allow_unused=True, materialize_grads=True
        )
        product = torch.cat([r.flatten() for r in rows])
        diagonal.append(float(basis[-1] @ product))
        size = float(product.norm())
        known = torch.stack(basis)
        for _ in range(2):  # once is not orthogonal enough
            product = product - known.T @ (known @ product)
        beside.append(float(product.norm()))
        if beside[-1] <= 1e-6 * size:  # the basis spans all that it would ever reach
            break
        basis.append(product / product.norm())
    found = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    for i, value in enumerate(beside[: len(diagonal) - 1]):
        found[i, i + 1] = found[i + 1, i] = value
    return float(torch.linalg.eigvalsh(found)[-1])
