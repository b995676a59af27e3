"""1x1 convolutions with a stride, on `x: [batch, channels, height, width]`, where torch has them wrong.

The backward pass of a strided 1x1 convolution of fewer than 8 input channels, in channels_last on a CPU, writes outside
of its memory with PyTorch 2.13 (oneDNN #6035): the process dies, or gradients are wrong. Without a stride, on the
pixels that the stride would meet, it is the same convolution and safe.
"""

from __future__ import annotations

from typing import Literal, final

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SAFE_CHANNELS", "StridedPointwise", "conv2d", "pointwise"]

SAFE_CHANNELS = 8
"""From so many input channels on, torch is right."""

Pair = tuple[int, int]
Padding = Literal["zeros", "reflect", "replicate", "circular"]


@final
class StridedPointwise(nn.Conv2d):
    """A 1x1 convolution with a stride, as one without it on every so many pixels.

    What it is called, its parameters and its multiply-adds are those of `nn.Conv2d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        picked = x[:, :, :: self.stride[0], :: self.stride[1]]
        return F.conv2d(picked, self.weight, self.bias, groups=self.groups)


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: int | Pair,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    bias: bool = True,
    padding_mode: Padding = "zeros",
) -> nn.Conv2d:
    """`nn.Conv2d`, or what replaces it where that is not safe. Wherever kernels may be 1x1 and strides above 1."""
    unsafe = _pair(kernel_size) == (1, 1) and _strided(stride, in_channels) and _pair(padding) == (0, 0)
    made = StridedPointwise if unsafe else nn.Conv2d
    return made(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int | Pair = 1, groups: int = 1) -> Tensor:
    """`F.conv2d` of a 1x1 kernel without padding, safe with any stride.

    Args:
        x: Images.
        weight: `[out, in / groups, 1, 1]`.
        bias: `[out]`.
        stride: Of height and width.
        groups: Into which the channels are split.
    """
    if _strided(stride, weight.shape[1] * groups):
        height, width = _pair(stride)
        x, stride = x[:, :, ::height, ::width], 1
    return F.conv2d(x, weight, bias, stride, groups=groups)


def _strided(stride: int | Pair, in_channels: int) -> bool:
    """Whether there is a stride, and too few channels for it."""
    return max(_pair(stride)) > 1 and in_channels < SAFE_CHANNELS


def _pair(size: int | Pair) -> Pair:
    return (size, size) if isinstance(size, int) else size
