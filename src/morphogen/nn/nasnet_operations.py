"""The operations of the NASNet family, on `x: [batch, channels, height, width]`.

Zoph et al. 2018, "Learning Transferable Architectures for Scalable Image Recognition" (arXiv:1707.07012),
appendix A.4, as in the code released with TensorFlow (slim); convolutions that are not separable as in the
TPU code of AmoebaNet (Real et al. 2019, arXiv:1802.01548), the only released definition of them.

Each takes any number of channels and gives `c_out`; stride 2 halves the resolution, rounded up. Borders are
TensorFlow's `SAME`: with stride 2 on even sizes, one pixel less at the top and left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.nn.mixture import Mixture, run
from morphogen.nn.pointwise import conv2d

__all__ = ["NASNET_OPERATIONS", "FactorizedReduction", "Norms", "SamePad", "nasnet_operation", "squeeze"]


@final
@dataclass(frozen=True, slots=True)
class Norms:
    """How a network normalizes and pools.

    Args:
        eps: Added to the variance.
        momentum: Of the running statistics, as torch counts it: one minus TensorFlow's decay.
        affine: Whether there is a trained scale and shift.
        pool_norm: Whether a batch norm, never affine, follows each pooling.
        pool_zeros: Whether average pooling with stride 2 counts zeros beyond the border as pixels. timm's
            networks do; in TensorFlow's the mean is of the pixels that are there.
    """

    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = True
    pool_norm: bool = False
    pool_zeros: bool = False

    def __call__(self, channels: int) -> nn.BatchNorm2d:
        """The batch norm of so many channels."""
        return nn.BatchNorm2d(channels, self.eps, self.momentum, self.affine)


@final
class SamePad(nn.Module):
    """The zeros that TensorFlow's `SAME` adds around an image; the convolution after it pads nothing.

    Args:
        kernel_size: Of height and width; odd, and counted with the gaps of a dilation.
        stride: Of height and width: 1 or 2.
    """

    def __init__(self, kernel_size: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: Tensor) -> Tensor:
        (k_h, k_w), (s_h, s_w) = self.kernel_size, self.stride
        left, top = _before(x.shape[3], k_w, s_w), _before(x.shape[2], k_h, s_h)
        return F.pad(x, (left, k_w // 2, top, k_h // 2))

    def extra_repr(self) -> str:
        return f"{self.kernel_size}, {self.stride}"


@final
class MaxPool(nn.Module):
    """Max pooling with stride 2 and `SAME` borders."""

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size

    def forward(self, x: Tensor) -> Tensor:
        k = self.kernel_size
        # what `ceil_mode` adds at the bottom and right is beyond the border, as the padding is
        return F.max_pool2d(x, k, 2, (_before(x.shape[2], k), _before(x.shape[3], k)), ceil_mode=True)


@final
class AvgPool(nn.Module):
    """Average pooling with stride 2 and `SAME` borders.

    Args:
        kernel_size: Odd.
        zeros: Whether zeros beyond the border count as pixels.
    """

    def __init__(self, kernel_size: int, zeros: bool) -> None:
        super().__init__()
        self.kernel_size, self.zeros = kernel_size, zeros

    def forward(self, x: Tensor) -> Tensor:
        k = self.kernel_size
        top, left = _before(x.shape[2], k), _before(x.shape[3], k)
        if self.zeros:
            return F.avg_pool2d(F.pad(x, (left, k // 2, top, k // 2)), k, 2)
        return F.avg_pool2d(x, k, 2, (top, left), ceil_mode=True, count_include_pad=False)


def _before(size: int, kernel_size: int, stride: int = 2) -> int:
    """How many zeros `SAME` adds before the first pixel; behind the last one are `kernel_size // 2`.

    (With stride 2 and a kernel of 1 there are none, which is up to the caller.)
    """
    return kernel_size // 2 if stride == 1 else kernel_size // 2 - 1 + size % 2


def squeeze(c_in: int, c_out: int, norms: Norms, stride: int = 1) -> nn.Sequential:
    """ReLU, 1x1 convolution, batch norm: wherever the number of channels changes."""
    return nn.Sequential(nn.ReLU(), conv2d(c_in, c_out, 1, stride, bias=False), norms(c_out))


@final
class FactorizedReduction(nn.Module):
    """Half the resolution by two 1x1 convolutions of stride 2, the second one pixel further; concatenated and
    normalized. No ReLU.

    Args:
        conv1: 1x1, stride 2. A mixing module gets the mixture.
        conv2: Likewise.
        norm: Of all channels.
    """

    def __init__(self, conv1: nn.Module, conv2: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.conv1, self.conv2, self.norm = conv1, conv2, norm

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        # zeros come in at the bottom and right, which stride 2 only meets on odd sizes
        shifted = F.pad(x, (-1, 1, -1, 1))
        halves = (run(self.conv1, x, mixture), run(self.conv2, shifted, mixture))
        y: Tensor = self.norm(torch.cat(halves, dim=1))
        return y


# --- the operations ---------------------------------------------------------------------------------------------------


def _conv(
    c_in: int, c_out: int, kernel: tuple[int, int], stride: tuple[int, int], dilation: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution with `SAME` borders."""
    reach = (dilation * (kernel[0] - 1) + 1, dilation * (kernel[1] - 1) + 1)
    if stride == (1, 1):
        padding = (reach[0] // 2, reach[1] // 2)
        return [nn.Conv2d(c_in, c_out, kernel, 1, padding, dilation, groups, bias=False)]
    return [SamePad(reach, stride), nn.Conv2d(c_in, c_out, kernel, stride, 0, dilation, groups, bias=False)]


def _identity(c_in: int, c_out: int, stride: int, norms: Norms) -> nn.Module:
    return nn.Identity() if stride == 1 and c_in == c_out else squeeze(c_in, c_out, norms, stride)


def _conv_1x1(c_in: int, c_out: int, stride: int, norms: Norms) -> nn.Module:
    return squeeze(c_in, c_out, norms, stride)


def _separable(kernel_size: int, c_in: int, c_out: int, stride: int, norms: Norms) -> nn.Module:
    """Twice ReLU, depthwise, pointwise convolution and norm; the first one strides and changes the channels."""
    k = (kernel_size, kernel_size)
    return nn.Sequential(
        nn.ReLU(),
        *_conv(c_in, c_in, k, (stride, stride), groups=c_in),
        nn.Conv2d(c_in, c_out, 1, bias=False),
        norms(c_out),
        nn.ReLU(),
        *_conv(c_out, c_out, k, (1, 1), groups=c_out),
        nn.Conv2d(c_out, c_out, 1, bias=False),
        norms(c_out),
    )


def _bottleneck(
    core: Callable[[int, int, int, Norms], list[nn.Module]],
    share: float,
    c_in: int,
    c_out: int,
    stride: int,
    norms: Norms,
) -> nn.Module:
    """A convolution on a share of the channels, between two 1x1; on all, where the share is none."""
    c = int(share * c_out)
    if c < 1:
        return nn.Sequential(nn.ReLU(), *core(c_in, c_out, stride, norms), norms(c_out))
    inside = [nn.ReLU(), *core(c, c, stride, norms), norms(c)]
    return nn.Sequential(*squeeze(c_in, c, norms), *inside, *squeeze(c, c_out, norms))


def _square(dilation: int, c_in: int, c_out: int, stride: int, norms: Norms) -> list[nn.Module]:
    return _conv(c_in, c_out, (3, 3), (stride, stride), dilation)


def _pair(k: int, c_in: int, c_out: int, stride: int, norms: Norms) -> list[nn.Module]:
    """1xk, then kx1, each striding along its kernel."""
    across, down = _conv(c_in, c_out, (1, k), (1, stride)), _conv(c_out, c_out, (k, 1), (stride, 1))
    return [*across, norms(c_out), nn.ReLU(), *down]


def _pool(kernel_size: int, average: bool, c_in: int, c_out: int, stride: int, norms: Norms) -> nn.Module:
    pool: nn.Module
    if stride == 2:
        pool = AvgPool(kernel_size, norms.pool_zeros) if average else MaxPool(kernel_size)
    elif average:
        pool = nn.AvgPool2d(kernel_size, 1, kernel_size // 2, count_include_pad=False)
    else:
        pool = nn.MaxPool2d(kernel_size, 1, kernel_size // 2)
    norm = [nn.BatchNorm2d(c_in, norms.eps, norms.momentum, affine=False)] if norms.pool_norm else []
    # the channels change after the pooling, without a ReLU
    change = [nn.Conv2d(c_in, c_out, 1, bias=False), norms(c_out)] if c_in != c_out else []
    return nn.Sequential(pool, *norm, *change) if norm or change else pool


NASNET_OPERATIONS: Mapping[str, Callable[[int, int, int, Norms], nn.Module]] = {
    "skip_connect": _identity,
    "conv_1x3_3x1": partial(_bottleneck, partial(_pair, 3), 3 / 8),
    "conv_1x7_7x1": partial(_bottleneck, partial(_pair, 7), 1 / 4),
    "dil_conv_3x3": partial(_bottleneck, partial(_square, 2), 1 / 4),
    "avg_pool_3x3": partial(_pool, 3, True),
    "max_pool_3x3": partial(_pool, 3, False),
    "max_pool_5x5": partial(_pool, 5, False),
    "max_pool_7x7": partial(_pool, 7, False),
    "conv_1x1": _conv_1x1,
    "conv_3x3": partial(_bottleneck, partial(_square, 1), 1 / 4),
    "sep_conv_3x3": partial(_separable, 3),
    "sep_conv_5x5": partial(_separable, 5),
    "sep_conv_7x7": partial(_separable, 7),
}
"""Name -> builder of (input channels, output channels, stride, norms), in the order of the paper."""


def nasnet_operation(name: str, c_in: int, c_out: int, stride: int, norms: Norms) -> nn.Module:
    """The operation of a published name.

    **Differs**: a dilated convolution with stride 2, which TensorFlow refuses, pads as one whose kernel has
    the gaps filled.

    Args:
        name: One of `NASNET_OPERATIONS`.
        c_in: Channels of its input.
        c_out: Channels of its output.
        stride: 1 or 2.
        norms: How it normalizes and pools.

    Raises:
        ValueError: There is no operation of that name.
    """
    if name not in NASNET_OPERATIONS:
        raise ValueError(f"there is no NASNet operation '{name}'; there are {', '.join(NASNET_OPERATIONS)}")
    return NASNET_OPERATIONS[name](c_in, c_out, stride, norms)
