"""Statistics of batch norm, computed anew for the weights as they are."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["recalibrate"]


@torch.no_grad()
def recalibrate(network: nn.Module, images: Iterable[Tensor]) -> None:
    """Set running means and variances of every norm that has some, elastic ones too, to their averages over batches.

    For averaged weights (Izmailov et al. 2018, arXiv:1803.05407, section 3.2) and for sub-graphs of a supernet (Guo et
    al. 2020, arXiv:1904.00420, section 3.2). Only norms are in training mode meanwhile, so nothing is dropped.

    Args:
        network: Its weights stay; so do the mode and the momentum of every module.
        images: Normalized batches `(N, C, H, W)`, each of which weighs the same; none: the statistics stay.
    """
    norms = [m for m in network.modules() if "running_mean" in m._buffers and m.running_mean is not None]
    modes = {m: m.training for m in network.modules()}
    momenta = {m: m.momentum for m in norms}
    network.eval()
    try:
        for number, batch in enumerate(images, start=1):
            for norm in norms:
                if number == 1:  # zero times what was there is NaN where it was infinite
                    norm.running_mean.zero_()  # type: ignore[operator]  # both are tensors
                    norm.running_var.fill_(1)  # type: ignore[operator]
                norm.training = True
                # the mean of the batches so far: 1/n of the new one
                norm.momentum = 1 / number  # type: ignore[assignment]  # a float, in every norm that has one
            network(batch)
    finally:
        for norm in norms:
            norm.momentum = momenta[norm]
        for module, mode in modes.items():
            module.training = mode
