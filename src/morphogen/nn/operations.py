"""Operations by their published names, on `x: [batch, channels, height, width]`.

Liu et al. 2019, "DARTS" (arXiv:1806.09055), as in its released code. Every operation keeps the number of
channels; stride 2 halves the resolution, rounded up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.nn.pointwise import conv2d

__all__ = ["OPERATIONS", "FactorizedReduce", "ReLUConvBN", "Zero", "operation"]


@final
class Zero(nn.Module):
    """Nothing: zeros of the shape that the operation would have. A mixed operation leaves it out of its
    sum."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


@final
class ReLUConvBN(nn.Sequential):
    """ReLU, convolution without bias, batch norm; the resolution stays."""

    def __init__(self, c_in: int, c_out: int, affine: bool, kernel_size: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(c_in, c_out, kernel_size, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(c_out, affine=affine),
        )


@final
class FactorizedReduce(nn.Module):
    """Half the resolution by two 1x1 convolutions of stride 2, the second shifted by one pixel;
    concatenated, normalized.

    **Differs** from the released code, which needs even sizes, where a size is odd: a row or column of
    zeros is added at the bottom or right, as the TensorFlow networks do. On even sizes nothing changes.
    """

    def __init__(self, c_in: int, c_out: int, affine: bool) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.conv2 = conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(c_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        # one pixel is cut off at the top and left, one of zeros added at the bottom and right, which stride 2
        # never meets on even sizes
        shifted = F.pad(x, (-1, 1, -1, 1))
        y: Tensor = self.norm(torch.cat((self.conv1(x), self.conv2(shifted)), dim=1))
        return y


def _separable(kernel_size: int, stride: int, c: int, affine: bool, dilation: int = 1) -> list[nn.Module]:
    """ReLU, depthwise convolution, pointwise convolution, batch norm."""
    padding = dilation * (kernel_size // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(c, c, kernel_size, stride, padding, dilation, groups=c, bias=False),
        nn.Conv2d(c, c, 1, bias=False),
        nn.BatchNorm2d(c, affine=affine),
    ]


def _sep_conv(kernel_size: int) -> Callable[[int, int, bool, bool], nn.Module]:
    def build(c: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
        return nn.Sequential(*_separable(kernel_size, stride, c, affine), *_separable(kernel_size, 1, c, affine))

    return build


def _dil_conv(kernel_size: int) -> Callable[[int, int, bool, bool], nn.Module]:
    def build(c: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
        return nn.Sequential(*_separable(kernel_size, stride, c, affine, dilation=2))

    return build


def _conv_7x1_1x7(c: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(c, c, (1, 7), (1, stride), (0, 3), bias=False),
        nn.Conv2d(c, c, (7, 1), (stride, 1), (3, 0), bias=False),
        nn.BatchNorm2d(c, affine=affine),
    )


def _pool(pool: nn.Module, c: int, pool_norm: bool) -> nn.Module:
    # never affine: the released code normalizes pools in the search only, without scale
    return nn.Sequential(pool, nn.BatchNorm2d(c, affine=False)) if pool_norm else pool


def _max_pool(c: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
    return _pool(nn.MaxPool2d(3, stride, padding=1), c, pool_norm)


def _avg_pool(c: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
    return _pool(nn.AvgPool2d(3, stride, padding=1, count_include_pad=False), c, pool_norm)


def _skip_connect(c: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(c, c, affine)


def _none(c: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
    return Zero(stride)


OPERATIONS: Mapping[str, Callable[[int, int, bool, bool], nn.Module]] = {
    "none": _none,
    "max_pool_3x3": _max_pool,
    "avg_pool_3x3": _avg_pool,
    "skip_connect": _skip_connect,
    "sep_conv_3x3": _sep_conv(3),
    "sep_conv_5x5": _sep_conv(5),
    "sep_conv_7x7": _sep_conv(7),
    "dil_conv_3x3": _dil_conv(3),
    "dil_conv_5x5": _dil_conv(5),
    "conv_7x1_1x7": _conv_7x1_1x7,
}
"""Name -> builder of (channels, stride, affine, pool_norm)."""


def operation(name: str, channels: int, stride: int, *, affine: bool = True, pool_norm: bool = False) -> nn.Module:
    """The operation of a published name.

    Args:
        name: Such as `sep_conv_3x3`; the names are the keys of `OPERATIONS`.
        channels: Of input and output.
        stride: 1, or 2 to halve the resolution.
        affine: Whether its batch norms have a trained scale and shift.
        pool_norm: Whether a batch norm (never affine) follows a pooling.

    Raises:
        ValueError: There is no operation of that name.
    """
    if name not in OPERATIONS:
        raise ValueError(f"there is no operation '{name}'; there are {', '.join(OPERATIONS)}")
    return OPERATIONS[name](channels, stride, affine, pool_norm)
