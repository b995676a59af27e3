"""A mixed operation on a part of the channels: PC-DARTS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.choice import Choice
from morphogen.nn.mixed import MixedOp
from morphogen.nn.mixture import Mixing, Mixture, run
from morphogen.nn.pointwise import StridedPointwise, conv2d
from morphogen.nn.side_by_side import Shared, Term, serves, weighted_sum

__all__ = ["PartialChannels", "narrowed"]

CHANNELS_LAST = torch.channels_last


@final
@dataclass(frozen=True)
class PartialChannels:
    """The `mixed` of PC-DARTS: only one of k channels goes through the operations, the others pass by.

    Xu et al. 2020, "PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search" (arXiv:1907.05737),
    section 3.2. Channels are shuffled afterwards, so that others take their turn. Where operations halve the
    resolution, what passes by is max-pooled, as in the released code.

    Args:
        k: One of how many channels.
    """

    k: int = 4

    def __post_init__(self) -> None:
        if self.k < 2:
            raise ValueError(f"k={self.k}: partial channels are one of 2 or more")

    def __call__(self, choice: Choice, build: Callable[[str], nn.Module]) -> nn.Module:
        return _PartialOp(self.k, choice, build)


@final
class _PartialOp(Mixing):
    def __init__(self, k: int, choice: Choice, build: Callable[[str], nn.Module]) -> None:
        super().__init__()
        self.k = k
        self.mixed = MixedOp(choice, lambda option: narrowed(build(option), k))

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        y = self.mixed(self._part(x), mixture)
        rest = self._rest(x)
        return self._shuffled(y, rest if y.shape[2:] == rest.shape[2:] else _halved(rest))

    def joined(self, edges: Sequence[Term], mixture: Mixture | None, shared: Shared) -> Tensor | None:
        """Sums of parts and sums of what passes by, put together and shuffled once."""

        def part(x: Tensor) -> Tensor:
            y: Tensor = shared.get(("part", self.k), [x], lambda: self._part(x).contiguous(memory_format=CHANNELS_LAST))
            return y

        def rest(x: Tensor, like: Tensor) -> Tensor:
            y: Tensor = shared.get(("rest", self.k), [x], lambda: self._rest(x))
            return y if y.shape[2:] == like.shape[2:] else shared.get(("halved",), [y], lambda: _halved(y))

        def alone(op: nn.Module, x: Tensor) -> Tensor:
            return run(op, x, mixture)

        ops = [op.mixed for op, _, _ in edges if isinstance(op, _PartialOp)]  # all of them
        terms = [
            term for op, (_, x, weight) in zip(ops, edges, strict=True) for term in op.terms(part(x), mixture, weight)
        ]
        if not serves(terms, ops[0].fused):
            return None
        y = weighted_sum(terms, alone, shared)
        passing = [Term(nn.Identity(), rest(x, y), weight) for _, x, weight in edges]
        return self._shuffled(y, weighted_sum(passing, alone, shared))

    def _part(self, x: Tensor) -> Tensor:
        return x[:, : x.shape[1] // self.k]

    def _rest(self, x: Tensor) -> Tensor:
        return x[:, x.shape[1] // self.k :]

    def _shuffled(self, part: Tensor, rest: Tensor) -> Tensor:
        both = torch.cat((part, rest), dim=1)
        batch, channels, height, width = both.shape
        # channel i of group g comes to place g + i k
        return both.view(batch, self.k, channels // self.k, height, width).transpose(1, 2).reshape(both.shape)


def _halved(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


def narrowed(module: nn.Module, k: int) -> nn.Module:
    """The same operation on one of k channels: every convolution and batch norm inside becomes k times narrower.

    It is changed in place.

    Raises:
        ValueError: Channels that k does not divide, or another kind of layer with parameters.
    """
    for name, child in module.named_children():
        setattr(module, name, narrowed(child, k))
    if type(module) in (nn.Conv2d, StridedPointwise):  # one's own convolution may compute something else
        return _narrow_conv(module, k)  # type: ignore[arg-type]  # just looked at
    if type(module) is nn.BatchNorm2d:
        return nn.BatchNorm2d(
            _divided(module.num_features, k), module.eps, module.momentum, module.affine, module.track_running_stats
        )
    if next(module.parameters(recurse=False), None) is not None:
        raise ValueError(
            f"partial channels cannot make a {type(module).__name__} narrower: operations have to be made of "
            "Conv2d, BatchNorm2d and layers without parameters"
        )
    return module


def _narrow_conv(conv: nn.Conv2d, k: int) -> nn.Conv2d:
    # what few channels are left may make a strided convolution unsafe
    return conv2d(
        _divided(conv.in_channels, k),
        _divided(conv.out_channels, k),
        conv.kernel_size,  # type: ignore[arg-type]  # tuples of unknown length in the stubs
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        1 if conv.groups == 1 else _divided(conv.groups, k),
        conv.bias is not None,
        conv.padding_mode,
    )


def _divided(channels: int, k: int) -> int:
    if channels % k:
        raise ValueError(
            f"partial channels take one of {k} channels, but an operation has {channels}: choose channels that are a "
            f"multiple of {2 * k}, or another k"
        )
    return channels // k
