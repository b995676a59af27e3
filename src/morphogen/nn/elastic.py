"""Layers whose width or kernel is a choice, with the weights of all options in one tensor.

A hard pick slices: the first channels, the centre of the kernel (Cai et al. 2020, "Once-for-All",
arXiv:1908.09791). Weighted options mask: a channel has the summed weight of the options that contain it
(Wan et al. 2020, "FBNetV2", arXiv:2004.05565, section 3.1), and so has each position of a kernel. Both are
`y = sum_k w_k op_k(x)`, where option k's output is zero in the channels that it does not have. Batch norm
would undo a mask in front of it, so it masks again after itself.

Where each choice has one option left, these are the layers of `torch.nn`; `plain` gives them.

Shapes: `B` batch, `C` channels, `H`, `W` height and width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.choice import Choice, Pick
from morphogen.nn.mixture import Mixing, Mixture
from morphogen.nn.pointwise import pointwise
from morphogen.nn.sizes import Size, choices_of, first, largest, part, picked, sizes_of

__all__ = ["ElasticBatchNorm2d", "ElasticConv2d", "ElasticLinear"]


@final
class ElasticConv2d(Mixing):
    """A convolution of chosen width and kernel size, padded to keep `ceil(H / stride)`.

    Args:
        in_channels: As of its input; the choice that made the input has masked it.
        out_channels: Of its output.
        kernel_size: Odd.
        stride: Of height and width.
        dilation: Of the kernel.
        groups: 1, or what `in_channels` and `out_channels` are: a depthwise convolution. Any number where
            both are fixed.
        bias: Whether there is one.

    Raises:
        ValueError: An even kernel, or grouped channels that are a choice.
    """

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: Size,
        stride: int = 1,
        *,
        dilation: int = 1,
        groups: Size = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(*choices_of(in_channels, out_channels, kernel_size, groups))
        if even := [k for k in sizes_of(kernel_size) if k % 2 == 0]:
            raise ValueError(f"kernel_size is odd, so that every kernel has a centre; got {even[0]}")
        self.depthwise = groups == in_channels == out_channels
        if groups != 1 and not self.depthwise and choices_of(in_channels, out_channels, groups):
            raise ValueError(
                "groups is 1, or the same choice as in_channels and out_channels (depthwise), "
                f"where channels are a choice; got groups={_shown(groups)}"
            )
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.dilation, self.groups = stride, dilation, groups
        conv = self._conv2d(bias)
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        """`[B, C_in, H, W]` -> `[B, C_out, H / stride, W / stride]`, with the widths of the mixture."""
        c_in, _ = self._part(self.in_channels, mixture)
        c_out, channel_mask = self._part(self.out_channels, mixture)
        k, kernel_mask = self._part(self.kernel_size, mixture, dimensions=2)
        weight, bias = self._slice(c_in, c_out, k)
        if kernel_mask is not None:
            weight = weight * kernel_mask
            # the centre is in every kernel: its weight is the sum of all
            bias = None if bias is None else bias * kernel_mask[k // 2, k // 2]
        groups = c_in if self.depthwise else self._largest_groups
        if k == 1:
            y = pointwise(x, weight, bias, self.stride, groups)
        else:
            y = F.conv2d(x, weight, bias, self.stride, self.dilation * (k // 2), self.dilation, groups)
        return y if channel_mask is None else y * channel_mask.to(y.dtype).view(-1, 1, 1)

    def narrow(self, picks: Mapping[str, Pick]) -> dict[str, Tensor]:
        """The state of the stand-alone layer: first channels, centre of the kernel."""
        sizes = (picked(s, picks) for s in (self.in_channels, self.out_channels, self.kernel_size))
        return _state(*self._slice(*sizes))

    def plain(self) -> nn.Conv2d:
        """The same layer of `torch.nn`, sharing the parameters.

        Raises:
            ValueError: A choice of it has several options.
        """
        _refuse_open(self)
        conv = self._conv2d(self.bias is not None)
        conv.weight, conv.bias = self.weight, self.bias
        return conv

    @property
    def _largest_groups(self) -> int:
        return largest(self.groups)

    def _conv2d(self, bias: bool) -> nn.Conv2d:
        c_in, c_out, k = map(largest, (self.in_channels, self.out_channels, self.kernel_size))
        padding = self.dilation * (k // 2)
        return nn.Conv2d(c_in, c_out, k, self.stride, padding, self.dilation, self._largest_groups, bias)

    def _slice(self, c_in: int, c_out: int, k: int) -> tuple[Tensor, Tensor | None]:
        border = (self.weight.shape[-1] - k) // 2
        weight = self.weight
        if border:
            weight = weight[:, :, border : border + k, border : border + k]
        if self.depthwise or isinstance(self.in_channels, int):
            return first(weight, c_out), first(self.bias, c_out)
        return first(first(weight, c_out), c_in, dimension=1), first(self.bias, c_out)

    def _part(self, size: Size, mixture: Mixture | None, dimensions: int = 1) -> tuple[int, Tensor | None]:
        return part(self, size, mixture, self.weight, dimensions)


@final
class ElasticBatchNorm2d(Mixing):
    """Batch norm of a chosen width. Every option shares the running statistics of its channels.

    Args:
        channels: As of its input.
        eps: Added to the variance.
        momentum: Of the running statistics.
        affine: Whether it has a trained scale and shift.
    """

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: Size, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        super().__init__(*choices_of(channels))
        self.channels, self.eps, self.momentum, self.affine = channels, eps, momentum, affine
        norm = nn.BatchNorm2d(largest(channels), eps, momentum, affine)
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        """`[B, C, H, W]` -> the same shape."""
        c, mask = part(self, self.channels, mixture, self.running_mean)
        mean, variance = first(self.running_mean, c), first(self.running_var, c)
        weight, bias = first(self.weight, c), first(self.bias, c)
        if self.training:
            self.num_batches_tracked += 1
        y = F.batch_norm(x, mean, variance, weight, bias, self.training, self.momentum, self.eps)
        return y if mask is None else y * mask.to(y.dtype).view(-1, 1, 1)

    def narrow(self, picks: Mapping[str, Pick]) -> dict[str, Tensor]:
        """The state of the stand-alone layer: first channels."""
        c = picked(self.channels, picks)
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        return {name: first(tensor, c) if tensor.dim() else tensor for name, tensor in tensors.items()}

    def plain(self) -> nn.BatchNorm2d:
        """The same layer of `torch.nn`, sharing parameters and statistics.

        Raises:
            ValueError: The choice of it has several options.
        """
        _refuse_open(self)
        norm = nn.BatchNorm2d(largest(self.channels), self.eps, self.momentum, self.affine)
        for name, tensor in (*self.named_parameters(), *self.named_buffers()):
            setattr(norm, name, tensor)
        return norm.train(self.training)


@final
class ElasticLinear(Mixing):
    """A linear layer of chosen width.

    Args:
        in_features: As of its input; the choice that made the input has masked it.
        out_features: Of its output.
        bias: Whether there is one.
        masked: Whether weighted options mask the output. Not, where only what comes of it later is to be weighted.
    """

    def __init__(self, in_features: Size, out_features: Size, bias: bool = True, masked: bool = True) -> None:
        super().__init__(*choices_of(in_features, out_features))
        self.in_features, self.out_features, self.masked = in_features, out_features, masked
        linear = nn.Linear(largest(in_features), largest(out_features), bias)
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        """`[..., in]` -> `[..., out]`, with the widths of the mixture."""
        n_in, _ = part(self, self.in_features, mixture, self.weight)
        n_out, mask = part(self, self.out_features, mixture, self.weight)
        y = F.linear(x, *self._slice(n_in, n_out))
        return y if mask is None or not self.masked else y * mask.to(y.dtype)

    def narrow(self, picks: Mapping[str, Pick]) -> dict[str, Tensor]:
        """The state of the stand-alone layer: first features."""
        return _state(*self._slice(picked(self.in_features, picks), picked(self.out_features, picks)))

    def plain(self) -> nn.Linear:
        """The same layer of `torch.nn`, sharing the parameters.

        Raises:
            ValueError: A choice of it has several options.
        """
        _refuse_open(self)
        linear = nn.Linear(largest(self.in_features), largest(self.out_features), self.bias is not None)
        linear.weight, linear.bias = self.weight, self.bias
        return linear

    def _slice(self, n_in: int, n_out: int) -> tuple[Tensor, Tensor | None]:
        return first(first(self.weight, n_out), n_in, dimension=1), first(self.bias, n_out)


def _shown(size: Size) -> str:
    return f"choice '{size.name}'" if isinstance(size, Choice) else str(size)


def _state(weight: Tensor, bias: Tensor | None) -> dict[str, Tensor]:
    return {"weight": weight} if bias is None else {"weight": weight, "bias": bias}


def _refuse_open(layer: Mixing) -> None:
    for choice in layer.choices:
        if len(choice.options) > 1:
            options = len(choice.options)
            raise ValueError(f"choice '{choice.name}' is open ({options} options): build from space.fix(architecture)")
