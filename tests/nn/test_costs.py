import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from morphogen.nn.complexity import complexity
from morphogen.nn.costs import costs, limited
from morphogen.nn.elastic import ElasticConv2d
from morphogen.nn.mixed import MixedDepth
from morphogen.nn.network import network
from morphogen.space import Choice, Space
from morphogen.spaces import enas_macro, nasbench201, nasnet

IMAGE = (3, 8, 8)


def own_model(space):
    return nn.Sequential(
        ElasticConv2d(1, space["width"], space["kernel"]),
        MixedDepth(space["depth"], lambda i: ElasticConv2d(space["width"], space["width"], 3, bias=False)),
        ElasticConv2d(space["width"], 2, 1, stride=2),
    )


OWN = Space(
    (
        Choice("width", ("2", "4"), ordered=True),
        Choice("kernel", ("1", "3"), ordered=True),
        Choice("depth", ("0", "1", "2"), ordered=True),
    ),
    network=own_model,
)


def counted(space, architecture, skeleton, image):
    with torch.device("meta"):
        return complexity(network(space.fix(architecture), skeleton), image)


def test_costs_of_elastic_layers_are_exact_for_every_architecture():
    found = costs(OWN, network, (1, 6, 6))
    for architecture in OWN.enumerate():
        standalone = counted(OWN, architecture, None, (1, 6, 6))
        picks = architecture.picks
        assert (standalone.params, standalone.macs) == (found["params"](picks), found["macs"](picks))


def test_no_proposal_is_above_a_limit_of_a_table_space():
    space = nasbench201.NASBENCH201
    skeleton = replace(nasbench201.SKELETONS["final"], image=IMAGE, channels=4, cells=3)
    small = limited(space, lambda some: network(some, skeleton), IMAGE, params=8_000)
    found = [counted(space, a, skeleton, IMAGE).params for a in list(small.enumerate())[::400]]
    assert max(found) <= 8_000
    everything = sum(small.limits[0].cost(a.picks) <= 8_000 for a in space.enumerate())
    assert everything == sum(1 for _ in small.enumerate())


@pytest.mark.parametrize("choices", [1, 2])
def test_what_depends_on_which_blocks_are_read_is_refused(choices):
    space = nasnet.nasnet(choices, ("skip_connect", "conv_1x1"), ("add",))
    skeleton = replace(nasnet.SKELETONS["search"], image=IMAGE, channels=4, cells=3)
    with pytest.raises(ValueError, match=re.escape("costs do not add up")):
        costs(space, lambda some: network(some, skeleton), IMAGE)


def test_a_space_whose_costs_do_not_add_up_is_refused():
    space = enas_macro.enas_macro(3)
    skeleton = replace(space.skeletons["final"], image=IMAGE, channels=4)
    with pytest.raises(ValueError, match="costs do not add up: a layer depends on which of choice '1/skips'"):
        costs(space, lambda some: network(some, skeleton), IMAGE)
    shared = replace(space.skeletons["search"], image=IMAGE, channels=4)
    # which outputs are halved depends on who reads them
    with pytest.raises(
        ValueError, match=r"macs of the space do not add up: the network of .*; limit them by rejection"
    ):
        costs(space, lambda some: network(some, shared), IMAGE)


def test_the_supernet_may_be_anywhere_and_nothing_is_left_on_it():
    found = costs(OWN, network, (1, 6, 6))
    assert found["params"]({"width": ("2",), "kernel": ("1",), "depth": ("0",)}) == 2 + 2 + 2 * 2 + 2
    with pytest.raises(ValueError, match="no architecture of the space is within its limits: macs at most 1"):
        limited(OWN, network, (1, 6, 6), macs=1)
