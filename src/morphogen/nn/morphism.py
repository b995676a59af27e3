"""Network morphisms: a network that begins as the function that a smaller one has learned.

Chen, Goodfellow, Shlens 2016, "Net2Net: Accelerating Learning via Knowledge Transfer" (arXiv:1511.05641), and Wei et
al. 2016, "Network Morphism" (arXiv:1603.01670), in the forms of Elsken, Metzen, Hutter 2017, "Simple and Efficient
Architecture Search for Convolutional Neural Networks" (arXiv:1711.04528), section 3. Between two stand-alone
networks of one space:

- *wider* (their type II): old outputs have zeros where they would read new channels, which begin with new weights;
- *larger kernels*: the old one in the center, zeros around it;
- *deeper* (type I): a new block is the identity. Where it adds to its input, what it adds is zero, by as few zeroed
  layers as will do, the last ones; elsewhere convolutions are the identity, and batch norms undo what they do (Net2Net,
  section 2);
- *another operation*: one that is alike takes over the kernel, a dense convolution a depthwise one as its diagonal, and
  anything takes the place of an identity or of nothing as a new block does.

No such form is known where a network gets smaller, where a layer norm gets wider (it mixes all features), or for most
replaced operations, as of a pooling by a convolution. Then the new network has of the old one what fits, and is another
function; what `morph` gives back says so, by trying.

**Differs** from Net2Net, which replicates channels and divides what reads them: copies have to be told apart by noise
before they learn different things, while new channels are different, and zeros learn from the first step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import final

import torch
from torch import Tensor, nn

from morphogen.nn.mixed import MixedOp
from morphogen.nn.neutral import make_neutral, narrowed

__all__ = ["PRESERVED", "Morphed", "morph"]

PRESERVED = 1e-4
"""Relative difference of outputs below which a function counts as preserved: rounding in float32 stays below."""


@final
@dataclass(frozen=True, slots=True)
class Morphed:
    """What became of the weights of a network.

    Args:
        inherited: Share of the new network's parameters that are the old one's.
        difference: The largest difference of outputs, relative to the largest output (and to 1, where that is less).
    """

    inherited: float
    difference: float

    @property
    def preserved(self) -> bool:
        """Whether both networks compute the same, up to rounding."""
        return self.difference <= PRESERVED


@torch.no_grad()
def morph(parent: nn.Module, child: nn.Module, x: Tensor) -> Morphed:
    """Give a network the weights of another one of its space, so that it computes the same where that can be.

    "The same" is meant in evaluation mode, with running statistics; with those of a batch, new identity norms are only
    nearly the identity. Neither network may be a supernet.

    Args:
        parent: Trained; it does not change. Of the same skeleton.
        child: Newly initialized: what is new in it keeps these weights, as far as the function allows.
        x: Some images `[B, C, H, W]`, best those of the training: new identity norms take statistics from them, and by
            them the two are compared.
    """
    training = {network: network.training for network in (parent, child)}
    for network in training:
        network.eval()
    walk = _Walk()
    walk.pair(parent, child)
    for new, old in walk.new:
        found = _input(child, new, x)
        before = found if old is None else _input(parent, old, x)
        if found is not None and before is not None:
            # of the channels that it shares with what it stands for
            make_neutral(new, found, found if old is None else old(narrowed(found, before.shape)))
    expected, got = parent(x), child(x)
    for network, mode in training.items():
        network.train(mode)
    scale = max(1.0, float(expected.abs().max()))
    total = sum(p.numel() for p in child.parameters())
    return Morphed(walk.taken / max(total, 1), float((got - expected).abs().max()) / scale)


@dataclass
class _Walk:
    """Both trees of modules, side by side."""

    taken: int = 0
    """Numbers of the child's parameters that are the parent's."""
    new: list[tuple[nn.Module, nn.Module | None]] = field(default_factory=list)
    """Modules of the child that stand for one of the parent, or for nothing at all, where they are."""

    def pair(self, old: nn.Module, new: nn.Module) -> None:
        """Everything of a module that stands for another one."""
        if isinstance(old, MixedOp) and isinstance(new, MixedOp):
            self._operation(old, new)
            return
        if type(old) is type(new):
            self._tensors(old, new)
        children = dict(old.named_children())
        for name, child in new.named_children():
            if name in children:
                self.pair(children[name], child)
            elif isinstance(new, nn.ModuleList):  # the blocks of a depth
                self.new.append((child, None))

    def _operation(self, old: MixedOp, new: MixedOp) -> None:
        ((was, source),), ((name, target),) = old.ops.items(), new.ops.items()
        if name == was:
            self.pair(source, target)
            return
        if _alike(source, target):
            self.pair(source, target)
        self.new.append((target, source))

    def _tensors(self, old: nn.Module, new: nn.Module) -> None:
        given = {**old._parameters, **old._buffers}
        for name, tensor in chain(new._parameters.items(), new._buffers.items()):
            found = given.get(name)
            if tensor is None or found is None or found.dim() != tensor.dim():
                continue
            if _depthwise(old) and not _depthwise(new) and tensor.dim() == 4:
                taken = _diagonal(found, tensor)
            else:
                taken = _lay(found, tensor)
            if isinstance(tensor, nn.Parameter):
                self.taken += taken


def _lay(old: Tensor, new: Tensor) -> int:
    """Put weights `[out, in, k, k]`, `[out, in]` or `[out]` into larger or smaller ones; how many numbers they are.

    First outputs, first inputs, the center of a kernel. What an old output reads beyond that is zero.
    """
    if old.shape == new.shape:
        new.copy_(old)
        return old.numel()
    rows = min(len(old), len(new))
    if new.dim() > 1:
        new[:rows] = 0
    to, source = new, old
    for dimension, (a, b) in enumerate(zip(old.shape, new.shape, strict=True)):
        n = min(a, b)
        start, end = ((a - n) // 2, (b - n) // 2) if dimension > 1 else (0, 0)
        source, to = source.narrow(dimension, start, n), to.narrow(dimension, end, n)
    to.copy_(source)
    return to.numel()


def _diagonal(old: Tensor, new: Tensor) -> int:
    """Put a depthwise kernel `[C, 1, k, k]` into a dense one `[C', C', k', k']`."""
    channels = min(len(old), *new.shape[:2])
    new[:channels] = 0
    taken = 0
    for c in range(channels):
        taken += _lay(old[c : c + 1, :], new[c : c + 1, c : c + 1])
    return taken


def _alike(old: nn.Module, new: nn.Module) -> bool:
    """Whether two operations are of the same layers, up to widths, kernels and depthwise convolutions made dense."""
    layers = [list(_layers(module)) for module in (old, new)]
    return (
        len(layers[0]) == len(layers[1])
        and any(module._parameters for module in layers[0])
        and all(
            type(a) is type(b) and _moved(a) == _moved(b) and (_depthwise(a) or not _depthwise(b))
            for a, b in zip(*layers, strict=True)
        )
    )


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    return (layer for layer in module.modules() if not isinstance(layer, nn.Sequential | nn.Identity))


def _moved(layer: nn.Module) -> object:
    """What of a layer says which pixels it reads, beside the kernel."""
    return [_first(getattr(layer, name, None)) for name in ("stride", "dilation")]


def _first(size: object) -> object:
    return size[0] if isinstance(size, tuple) else size


def _depthwise(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return 1 < layer.groups == layer.in_channels == layer.out_channels
    return bool(getattr(layer, "depthwise", False))


def _input(network: nn.Module, module: nn.Module, x: Tensor) -> Tensor | None:
    """What a module of a network reads first; None where it does not run."""
    found: list[Tensor] = []

    def keep(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        found.append(arguments[0].clone())  # what runs may change it in place

    hook = module.register_forward_pre_hook(keep)
    network(x)
    hook.remove()
    return found[0] if found else None
