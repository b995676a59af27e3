"""New modules that begin as the identity, or as whatever they stand for: how a trained network gets deeper.

Which weights make a module of anybody's own neutral is found by trying: no module has to say it of itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from morphogen.nn.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear

__all__ = ["make_neutral", "narrowed"]

EPSILONS = 100
"""Rounding that is let pass, in units of the dtype's."""


@torch.no_grad()
def make_neutral(module: nn.Module, x: Tensor, wanted: Tensor) -> bool:
    """Change weights of a module so that what it makes of `x` is `wanted`, if one of two ways leads there.

    First, by zeros: where it is so with all of its layers at zero (a residual block adds nothing; a convolution in the
    place of nothing is nothing), layers get their weights back, in their order, as long as it stays so. Those that
    remain at zero have a gradient, since what they read is not zero. Else, where `wanted` is `x`, by identities.

    A batch norm without scale and shift leaves no way: training would at once blow up what is zero in front of it.

    Args:
        module: In evaluation mode. Where neither way leads there, its weights are as before.
        x: What it reads.
        wanted: What it should give; where that has fewer channels, its first ones.

    Returns:
        Whether it gives that.
    """
    if _gives(module, x, wanted):
        return True
    if any(_unscaled(layer) for layer in module.modules()):
        return False
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    if _by_zeros(module, x, wanted):
        return True
    module.load_state_dict(before)
    if _near(x, wanted) and _by_identities(module, x):
        return True
    module.load_state_dict(before)
    return False


def _by_zeros(module: nn.Module, x: Tensor, wanted: Tensor) -> bool:
    layers = [[p for p in layer._parameters.values() if p is not None] for layer in module.modules()]
    layers = [parameters for parameters in layers if parameters]
    before = [[p.clone() for p in parameters] for parameters in layers]
    for parameters in layers:
        _zero(parameters)
    if not layers or not _gives(module, x, wanted):
        return False
    for parameters, values in zip(layers, before, strict=True):
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
        if not _gives(module, x, wanted):
            _zero(parameters)
    return True


def _by_identities(module: nn.Module, x: Tensor) -> bool:
    """Net2Net (arXiv:1511.05641), section 2: identity weights, and norms that put back mean and variance."""
    hooks = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | ElasticConv2d | nn.Linear | ElasticLinear):
            if not _identity(layer.weight, layer.bias):
                return False
        elif isinstance(layer, nn.BatchNorm2d | ElasticBatchNorm2d):
            # in the order in which they run: each reads what those before it have become
            hooks.append(layer.register_forward_pre_hook(_undo))
    module(x)
    for hook in hooks:
        hook.remove()
    return _gives(module, x, x)


def _identity(weight: Tensor, bias: Tensor | None) -> bool:
    """Make a layer the identity: `[C, C, ...]`, or depthwise `[C, 1, k, k]`. False where its shape is another."""
    out, channels, *kernel = weight.shape
    if channels not in (1, out):
        return False
    weight.zero_()
    center = weight if not kernel else weight[:, :, kernel[0] // 2, kernel[1] // 2]
    center.copy_(torch.ones_like(center) if channels < out else torch.eye(out).to(center))
    if bias is not None:
        bias.zero_()
    return True


def _undo(norm: nn.Module, arguments: tuple[Tensor, ...]) -> None:
    """Before a batch norm runs on `[B, C, H, W]`: statistics of what it reads, and scale and shift that undo it."""
    assert isinstance(norm, nn.BatchNorm2d | ElasticBatchNorm2d)
    if norm.weight is None or norm.bias is None or norm.running_mean is None or norm.running_var is None:
        return  # without statistics of its own, it cannot be undone
    variance, mean = torch.var_mean(arguments[0], dim=(0, 2, 3), correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean)


def _unscaled(layer: nn.Module) -> bool:
    return isinstance(layer, nn.BatchNorm2d | ElasticBatchNorm2d) and layer.weight is None


def _zero(parameters: list[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.zero_()


def _gives(module: nn.Module, x: Tensor, wanted: Tensor) -> bool:
    return _near(module(x), wanted)


def _near(y: Tensor, wanted: Tensor) -> bool:
    y = narrowed(y, wanted.shape)
    slack = EPSILONS * torch.finfo(wanted.dtype).eps * (1.0 + float(wanted.abs().max()))
    return y.shape == wanted.shape and float((y - wanted).abs().max()) <= slack


def narrowed(x: Tensor, shape: torch.Size) -> Tensor:
    """The first of every dimension; as it is where it has other dimensions."""
    if x.dim() == len(shape):
        for dimension, n in enumerate(shape):
            x = x.narrow(dimension, 0, min(n, x.shape[dimension]))
    return x
