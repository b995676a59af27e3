"""The network as it was: what an architecture step or an evaluation must not leave a trace in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["frozen", "held", "still"]


@contextmanager
def held(network: nn.Module) -> Iterator[None]:
    """Every buffer is put back at the end, bit for bit: running statistics keep no trace of what ran inside.

    **Differs** from the released DARTS, whose running statistics also see the batches of its architecture steps.
    """
    found = [(module, name, b) for module in network.modules() for name, b in module._buffers.items() if b is not None]
    buffers = [buffer for _, _, buffer in found]
    saved = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            if buffers:  # there are thousands, and each is small
                torch._foreach_copy_(buffers, saved)
        for module, name, buffer in found:
            module._buffers[name] = buffer  # a module may have put another tensor in its place


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient meanwhile: what only weight gradients need is not kept in memory."""
    with still(network.parameters()):
        yield


@contextmanager
def still(tensors: Iterable[Tensor]) -> Iterator[None]:
    """None of these leaves asks for a gradient meanwhile."""
    asking = [tensor for tensor in tensors if tensor.requires_grad]
    for tensor in asking:
        tensor.requires_grad_(False)
    try:
        yield
    finally:
        for tensor in asking:
            tensor.requires_grad_(True)
