"""How good a part of a supernet is, with the weights that it shares."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from morphogen.nn.mixture import Mixture, bind
from morphogen.oneshot.held import held
from morphogen.training.batches import Batches
from morphogen.training.batchnorm import recalibrate
from morphogen.training.data import Data
from morphogen.training.fit import evaluate

__all__ = ["calibration", "judge"]


def judge(
    network: nn.Module, mixture: Mixture, data: Data, calibration: Sequence[Tensor], device: str = "cpu"
) -> dict[str, float]:
    """Metrics of a mixture on the validation split. The network stays as it is.

    Running statistics of a supernet are averages over all that ran in it, and belong to none: they are computed anew
    for what is judged (Guo et al. 2020, arXiv:1904.00420, section 3.2).

    Args:
        network: The supernet.
        mixture: A sub-graph, or a sum of all.
        data: Judged on `valid`.
        calibration: Normalized batches `(N, C, H, W)` for the statistics; none: they stay as they are.
        device: Where the network is.
    """
    with torch.no_grad(), held(network), bind(network, mixture):
        recalibrate(network, calibration)
        return evaluate(network, data, data.valid, device)


def calibration(data: Data, images: int, size: int, device: torch.device) -> list[Tensor]:
    """Batches of training images for the statistics: the first of a fixed permutation, not augmented."""
    split = data.train.first(images, data.split_seed)
    return [batch for batch, _ in Batches(data, split, size, device).in_order()]
