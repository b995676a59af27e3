"""AmoebaNet: the cells of NASNet with 8 operations, always added.

Real, Aggarwal, Huang, Le 2019, "Regularized Evolution for Image Classifier Architecture Search" (arXiv:1802.01548),
section 3: the space of NASNet with fewer operations; the two of a block are added.
"""

from __future__ import annotations

from dataclasses import replace

from morphogen.space import Space
from morphogen.spaces.nasnet import nasnet
from morphogen.spaces.pnas import OPERATIONS

__all__ = ["OPERATIONS", "amoebanet"]


def amoebanet(blocks: int = 5) -> Space:
    """The space: for each block of a normal and a reduction cell two inputs and two operations, which are added.

    The operations are those that PNAS took over.

    **Differs**: the dilated convolution is not separable.

    Args:
        blocks: Blocks of a cell.
    """
    return replace(nasnet(blocks, OPERATIONS, combine=()), name="amoebanet")
