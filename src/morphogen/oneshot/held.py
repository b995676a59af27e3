"""The network as it was: what an architecture step or an evaluation must not leave a trace in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["frozen", "held"]


@contextmanager
def held(network: nn.Module) -> Iterator[None]:
    """Every buffer is put back at the end, bit for bit: running statistics keep no trace of what ran inside.

    **Differs** from the released DARTS, whose running statistics also see the batches of its architecture steps.
    """
    buffers = list(network.buffers())
    saved = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in zip(buffers, saved, strict=True):
                buffer.copy_(before)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient meanwhile: what only weight gradients need is not kept in memory."""
    asking = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)
