"""A depthwise convolution whose backward pass keeps pace with its forward pass: the seam for a kernel of one's own.

Forward is torch's. Backward in PyTorch 2.13 on a CPU takes up to twenty times as long as forward where a kernel is
wider than 3 or dilated; here it is put together from the cases that are fast:

- the gradient of the input is a convolution with the flipped kernel,
- a dilated convolution is a dense one on each of the four interleaved images of half the size,
- the gradient of a wide kernel is computed three columns at a time.

Shapes: `x: [N, C, H, W]`, best in channels_last, `weight: [C, 1, k, k]` with k odd; zeros are added at the borders so
that stride 1 keeps the size.
"""

from __future__ import annotations

from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["depthwise"]

FAST_COLUMNS = 3
"""oneDNN has a fast gradient for kernels of so many columns."""


def depthwise(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """Each channel with its own kernel: `[N, C, ceil(H / stride), ceil(W / stride)]`. Differentiable any number of
    times."""
    if stride == dilation > 1:
        # it reads only every `stride`-th pixel, so it is a dense convolution of these
        x, stride, dilation = x[:, :, ::stride, ::stride], 1, 1
    y: Tensor = _Depthwise.apply(_channels_last(x), weight, stride, dilation)  # type: ignore[no-untyped-call]
    return y


@final
class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.dilation = stride, dilation
        return F.conv2d(x, weight, None, stride, dilation * (weight.shape[-1] // 2), dilation, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        g = _channels_last(gradients[0])
        of_x, of_weight = ctx.needs_input_grad[:2]
        if ctx.stride > 1:
            found = _convolution_backward(g, x, weight, ctx.stride, ctx.dilation, (of_x, of_weight))
            return *found, None, None
        reach = ctx.dilation * (weight.shape[-1] // 2)
        return (
            F.conv2d(g, weight.flip(2, 3), None, 1, reach, ctx.dilation, x.shape[1]) if of_x else None,
            _kernel_gradient(g, x, weight, ctx.dilation) if of_weight else None,
            None,
            None,
        )


def _kernel_gradient(g: Tensor, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """Of a convolution with stride 1."""
    c, k = weight.shape[0], weight.shape[-1]
    if dilation == 2:
        twice = weight.new_empty(2 * c, 1, k, k)
        return _kernel_gradient(_interleaved(g), _interleaved(x), twice, 1).view(2, c, 1, k, k).sum(0)
    if k <= FAST_COLUMNS or dilation > 1:
        found = _convolution_backward(g, x, weight, 1, dilation, (False, True))[1]
        assert found is not None
        return found
    reach = k // 2
    # where the kernel is larger than the image, images one below the other, zeros between them
    below = reach if x.shape[2] < k else 0
    wide = _stacked(F.pad(x, (reach - 1, reach - 1, 0, below)), below)
    columns: list[Tensor] = []
    for left in range(0, k - 1, FAST_COLUMNS - 1):  # the last column of a piece is the first of the next one
        shifted = _stacked(F.pad(g, (left, 2 * (reach - 1) - left, 0, below)), below)
        kernel = weight.new_empty(c, 1, k, FAST_COLUMNS)
        piece = _convolution_backward(shifted, wide, kernel, 1, 1, (False, True))[1]
        assert piece is not None
        columns.append(piece[..., 1 if left else 0 :])
    return torch.cat(columns, dim=-1)


def _convolution_backward(
    g: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    padding = [dilation * (n // 2) for n in weight.shape[2:]]
    found = torch.ops.aten.convolution_backward(
        g, x, weight, None, [stride] * 2, padding, [dilation] * 2, False, [0, 0], x.shape[1], [*wanted, False]
    )
    return found[0], found[1]


def _interleaved(x: Tensor) -> Tensor:
    """`[2 N, 2 C, H / 2, W / 2]`: rows of equal parity as images, columns of equal parity as channels; an odd size is
    filled up with zeros."""
    if x.shape[2] % 2 or x.shape[3] % 2:
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    n, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2 * c)
    return rows.transpose(1, 2).reshape(2 * n, h // 2, w // 2, 2 * c).permute(0, 3, 1, 2)


def _stacked(x: Tensor, below: int) -> Tensor:
    """All images as one, one below the other; as it is where they have no zeros below them."""
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(1, n * h, w, c).permute(0, 3, 1, 2) if below else x


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
