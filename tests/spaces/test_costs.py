from dataclasses import replace

import numpy as np
import pytest
import torch

from morphogen.nn.complexity import complexity
from morphogen.nn.network import network
from morphogen.spaces import darts, mobilenet, nasbench201, pnas, vit
from morphogen.spaces.costs import costs

IMAGE = (3, 8, 8)
TINY_MOBILE = replace(mobilenet.SKELETONS["search"], stem_channels=4, head_channels=(16, 24))
TINY_TOKENS = replace(vit.SKELETONS["search"], patch=2, head_width=8)
SPACES = {
    "darts": (darts.darts(nodes=2), replace(darts.SKELETONS["search"], image=IMAGE, channels=4, cells=3)),
    "mobilenet": (mobilenet.MOBILENET, TINY_MOBILE),
    "mobilenet-small": (
        mobilenet.mobilenet(widths=[(4, 6), (4, 8)], depths=(1, 2), kernels=(3, 5), expansions=(1, 2)),
        TINY_MOBILE,
    ),
    "nasbench201": (
        nasbench201.NASBENCH201,
        replace(nasbench201.SKELETONS["final"], image=IMAGE, channels=4, cells=3),
    ),
    # a cell of two blocks is as wide as the operations of the next one, where that doubles: it is not squeezed
    "pnas": (
        pnas.pnas(2, ("sep_conv_3x3", "skip_connect", "max_pool_3x3")),
        replace(pnas.SKELETONS["search"], image=(3, 9, 7), channels=5, cells=4, auxiliary=True),
    ),
    "vit": (vit.VIT, None),
    "vit-small": (vit.vit(widths=(24, 32, 48), depths=(1, 2, 3), heads=(1, 2), ratios=(1.5, 2)), TINY_TOKENS),
}
"""Spaces whose costs add up, each with a skeleton; None: the space's own for the search."""


@pytest.mark.parametrize("name", SPACES)
def test_costs_are_those_of_the_networks(name):
    space, skeleton = SPACES[name]
    found = costs(space, skeleton)
    skeleton = skeleton or space.skeletons["search"]
    for seed in range(5):
        architecture = space.sample(np.random.default_rng(seed + 10))
        with torch.device("meta"):
            counted = complexity(network(space.fix(architecture), skeleton), skeleton.image)
        picks = architecture.picks
        assert (counted.params, counted.macs) == (found["params"](picks), found["macs"](picks))
