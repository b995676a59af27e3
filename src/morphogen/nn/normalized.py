"""A pointwise convolution with the batch norm behind it as one product, for several side by side.

Batch norm of `p = P d` needs mean and variance of p only, and these follow from those of d: with the covariance S of
its channels, `var p = diag(P S P^T)`. So p is never computed: the output is `A d + b` with `A = a P`,
`a = scale / sqrt(var + eps)` and `b = shift - A mean`, and backward needs nothing but d. Where the outputs are summed,
with the weights of a mixture in their scales, the sum is one product too.

Shapes: `N, H, W` images, `E` blocks side by side, `C` channels in, `O` channels out of each.
"""

from __future__ import annotations

from typing import Any, NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Normalized", "normalized"]

NARROW = 8
"""Up to so many channels a convolution is faster than a matrix product."""


class Normalized(NamedTuple):
    """What `normalized` gives.

    Args:
        y: `[N, E O, H, W]`, or summed `[N, O, H, W]`.
        mean: Of each p, `[E, O]`; without gradient, for running statistics.
        variance: Likewise, the biased one.
    """

    y: Tensor
    mean: Tensor
    variance: Tensor


def normalized(d: Tensor, p: Tensor, scale: Tensor, shift: Tensor, eps: float, *, summed: bool) -> Normalized:
    """`scale * batch_norm(P d) + shift` of every block. Differentiable any number of times.

    Args:
        d: `[N, E C, H, W]` in channels_last.
        p: `[E, O, C]`.
        scale: `[E, O]`.
        shift: `[E, O]`.
        eps: Added to the variance.
        summed: Whether the blocks are added up.
    """
    return Normalized(*_Normalized.apply(d, p, scale, shift, eps, summed))  # type: ignore[no-untyped-call]


@final
class _Normalized(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, d: Tensor, p: Tensor, scale: Tensor, shift: Tensor, eps: float, summed: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.eps, ctx.summed = eps, summed
        mean, covariance = _moments(d, p.shape[0])
        variance = _variance(p, covariance)
        weight, bias = _affine(p, mean, variance, scale, shift, eps)
        ctx.save_for_backward(d, p, scale, mean, covariance)
        out = _sum_of_products(d, weight, bias) if summed else _products(d, weight, bias)
        mean_p = (p @ mean[..., None])[..., 0]
        ctx.mark_non_differentiable(mean_p, variance)
        return out, mean_p, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d, p, scale, mean, covariance = ctx.saved_tensors
        g = gradients[0].contiguous(memory_format=torch.channels_last)
        n, blocks = d.numel() // d.shape[1], p.shape[0]
        if torch.is_grad_enabled():  # to be differentiated once more, also through the moments
            mean, covariance = _moments(d, blocks)
        inverse = (_variance(p, covariance) + ctx.eps).rsqrt()  # [E, O]
        weight = (scale * inverse)[..., None] * p
        total = g.sum((0, 2, 3)).view(1 if ctx.summed else blocks, -1)  # of b: sums of g, [E, O]
        # of A, through the product and through b = shift - A mean
        of_weight = _outer(g, d, blocks, ctx.summed) - total[..., None] * mean[:, None]
        of_a = (of_weight * p).sum(2)
        of_variance = -0.5 * of_a * scale * inverse**3
        p_s = p @ covariance
        of_p = (scale * inverse)[..., None] * of_weight + 2 * of_variance[..., None] * p_s
        of_d = None
        if ctx.needs_input_grad[0]:
            # of S = E[d d^T] - mean mean^T, and of mean, as it stands in both
            of_covariance = p.transpose(1, 2) @ (of_variance[..., None] * p)  # [E, C, C]
            of_mean = -(weight * total[..., None]).sum(1) - 2 * (of_covariance @ mean[..., None])[..., 0]
            constant = (of_mean / n).flatten()
            of_d = _products(d, 2 / n * of_covariance, constant)
            back = weight.transpose(1, 2)  # [E, C, O]
            of_d.add_(_product(g, back.flatten(0, 1)) if ctx.summed else _products(g, back))
        of_scale = of_a * inverse
        return of_d, of_p, of_scale, total.expand_as(scale), None, None


def _moments(d: Tensor, blocks: int) -> tuple[Tensor, Tensor]:
    """Means `[E, C]` and covariances `[E, C, C]` of the channels of each block."""
    n = d.numel() // d.shape[1]
    mean = d.sum((0, 2, 3)).view(blocks, -1) / n
    return mean, _outer(d, d, blocks, False) / n - mean[:, :, None] * mean[:, None]


def _variance(p: Tensor, covariance: Tensor) -> Tensor:
    return ((p @ covariance) * p).sum(2).clamp(min=0)


def _affine(
    p: Tensor, mean: Tensor, variance: Tensor, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """A `[E, O, C]` and b `[E, O]`."""
    weight = (scale * (variance + eps).rsqrt())[..., None] * p
    return weight, shift - (weight @ mean[..., None])[..., 0]


# --- products over pixels: x is [N, channels, H, W] in channels_last --------------------------------------------------


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`[K, C]` times the channels of every pixel."""
    return F.conv2d(x, weight[:, :, None, None], bias)


def _sum_of_products(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`[E, O, C]` times the blocks of every pixel, added up."""
    return _product(x, weight.transpose(0, 1).flatten(1), bias.sum(0))


def _products(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`[E, O, C]` times the blocks of every pixel, side by side."""
    blocks, out, c = weight.shape
    if blocks == 1 or max(c, out) <= NARROW:
        return F.conv2d(x, weight.reshape(-1, c, 1, 1), None if bias is None else bias.flatten(), groups=blocks)
    y = torch.bmm(_blocks(x, blocks), weight.transpose(1, 2))  # [E, pixels, O]
    if bias is not None:
        y.add_(bias.view(blocks, 1, out))
    n, _, h, w = x.shape
    found = torch.empty((n, blocks * out, h, w), dtype=x.dtype, memory_format=torch.channels_last)
    found.permute(0, 2, 3, 1).view(-1, blocks, out).copy_(y.transpose(0, 1))
    return found


def _outer(g: Tensor, x: Tensor, blocks: int, one: bool) -> Tensor:
    """`[E, O, C]`: sums over pixels of the products of channels of g and x; `one`: g has a single block for all."""
    c = x.shape[1] // blocks
    if c <= NARROW:
        groups = 1 if one else blocks
        like = x.new_empty(g.shape[1], x.shape[1] // groups, 1, 1)
        wanted = [False, True, False]
        found: Tensor = torch.ops.aten.convolution_backward(
            g, x, like, None, [1, 1], [0, 0], [1, 1], False, [0, 0], groups, wanted
        )[1]
        return found.view(-1, blocks, c).transpose(0, 1) if one else found.view(blocks, -1, c)
    if one:
        return (_blocks(g, 1)[0].t() @ _blocks(x, 1)[0]).view(-1, blocks, c).transpose(0, 1)
    return torch.bmm(_blocks(g, blocks).transpose(1, 2), _blocks(x, blocks))


def _blocks(x: Tensor, blocks: int) -> Tensor:
    """`[E, pixels, C]`, a view."""
    return x.permute(0, 2, 3, 1).reshape(-1, blocks, x.shape[1] // blocks).transpose(0, 1)
