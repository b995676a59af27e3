"""Statistics of batch norm, computed anew for the weights as they are."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["recalibrate"]


@torch.no_grad()
def recalibrate(network: nn.Module, images: Iterable[Tensor]) -> None:
    """Set running means and variances of every batch norm to their averages over some batches.

    For averaged weights (Izmailov et al. 2018, arXiv:1803.05407, section 3.2) and for sub-graphs of a supernet (Guo et
    al. 2020, arXiv:1904.00420, section 3.2). Only batch norms are in training mode meanwhile, so nothing is dropped.

    Args:
        network: Its weights stay; so do the mode and the momentum of every module.
        images: Normalized batches `(N, C, H, W)`.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    modes = {m: m.training for m in network.modules()}
    momenta = {m: m.momentum for m in norms}
    network.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # every batch weighs the same
            norm.training = True
        for batch in images:
            network(batch)
    finally:
        for norm in norms:
            norm.momentum = momenta[norm]
        for module, mode in modes.items():
            module.training = mode
