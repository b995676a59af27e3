"""Less memory for more time: cells that run again in backward instead of keeping what they computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from morphogen.oneshot.held import held

__all__ = ["cells_of", "recompute"]


@contextmanager
def recompute(network: nn.Module) -> Iterator[None]:
    """Inside, every cell of a network keeps only its inputs for backward and runs a second time then.

    Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost" (arXiv:1604.06174). Gradients are the same bits;
    running statistics see each batch once; what is dropped is dropped again. A second-order gradient by an exact
    product, which differentiates backward itself, needs the cells without it.

    Args:
        network: Its cells are the modules of its `cells`.

    Raises:
        ValueError: It has none.
    """
    cells = cells_of(network)
    for cell in cells:
        cell.forward = partial(_run, cell, cell.forward)
    try:
        yield
    finally:
        for cell in cells:
            del cell.forward  # the class has one


def cells_of(network: nn.Module) -> nn.ModuleList:
    """What can run again.

    Raises:
        ValueError: There is nothing.
    """
    cells = getattr(network, "cells", None)
    if not isinstance(cells, nn.ModuleList):
        raise ValueError(
            f"{type(network).__name__} has no module list 'cells' of what could be recomputed: train it without "
            "recomputation, or keep its repeated blocks in one"
        )
    return cells


def _run(cell: nn.Module, forward: Any, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), held(cell)

    return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)
