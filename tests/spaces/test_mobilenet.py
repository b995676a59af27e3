from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from morphogen.moves import crossover, mutate
from morphogen.nn.complexity import complexity
from morphogen.nn.mixture import picks_to_mixture
from morphogen.nn.network import network
from morphogen.spaces.costs import limited
from morphogen.spaces.mobilenet import (
    MOBILENET,
    SKELETONS,
    MobileSkeleton,
    growth,
    mobilenet,
)
from morphogen.strategies.nesting import require_nested
from morphogen.testing import SpaceSuite
from network_laws import SupernetLaws

PUBLISHED = mobilenet(widths=[(24,), (40,), (80,), (112,), (160,)])
SMALL = mobilenet(widths=[(4, 6), (4, 8)], depths=(1, 2), kernels=(3, 5), expansions=(1, 2))
TINY = {name: replace(s, stem_channels=4, head_channels=(16, 24)) for name, s in SKELETONS.items()}


class TestSpace(SpaceSuite):
    def make(self):
        return mobilenet()


class TestSpaceWithLimits(SpaceSuite):
    def make(self):
        return limited(SMALL, TINY["search"], params=2_500, macs=600_000)


class TestNetwork(SupernetLaws):
    def make(self):
        return SMALL

    def small(self, image, classes):
        return [replace(s, image=image, classes=classes) for s in TINY.values()]


def test_the_space_has_the_published_number_of_architectures():
    assert (9**2 + 9**3 + 9**4) ** 5 == PUBLISHED.size
    assert 2**5 * PUBLISHED.size == MOBILENET.size


@pytest.mark.parametrize(("option", "params", "macs"), [(-1, 7_664_760, 566_170_656), (0, 3_410_792, 121_278_672)])
def test_the_largest_and_the_smallest_network(option, params, macs):
    # 7.7M parameters are published for the supernet, which has those of its largest network
    architecture = PUBLISHED.architecture({c.name: c.options[option] for c in PUBLISHED})
    with torch.device("meta"):
        built = network(PUBLISHED.fix(architecture), SKELETONS["imagenet"])
    counted = complexity(built, (3, 224, 224))
    assert (params, macs) == (counted.params, counted.macs)


def test_nothing_that_is_proposed_is_above_the_limits():
    space, rng = limited(MOBILENET, SKELETONS["imagenet"], params=5e6, macs=250e6), np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(50)]
    drawn += [mutate(a, rng) for a in drawn] + [crossover(a, b, rng) for a, b in pairwise(drawn)]
    for limit in space.limits:
        assert max(limit.cost(a.picks) for a in drawn) <= limit.at_most
    with pytest.raises(ValueError, match="no architecture of the space is within its limits: params at most 1000"):
        limited(SMALL, TINY["search"], params=1000)


def test_it_grows_by_stages():
    levels = growth(MOBILENET)
    require_nested(MOBILENET, levels, "growth")
    stage = round(MOBILENET.size ** (1 / 5))
    assert [stage**n for n in range(1, 6)] == [level.size for level in levels]
    assert MOBILENET.size == levels[-1].size
    assert "2" == levels[0].sample(np.random.default_rng(0))["stage5/depth"]


def test_smaller_options_are_parts_of_larger_ones():
    supernet = network(SMALL, TINY["search"])
    picks = {c.name: c.options[-1] for c in SMALL}
    x = torch.randn(2, 3, 32, 32)
    supernet.eval()
    y = supernet(x, picks_to_mixture(SMALL.architecture(picks)))
    with torch.no_grad():
        # the second block of the second stage, and the border of a kernel
        for p in supernet.stages[1].blocks.blocks[1].parameters():
            p.fill_(torch.nan)
        kernel = supernet.stages[0].blocks.blocks[0].module.depthwise.conv.weight
        border = torch.ones(5, 5, dtype=torch.bool)
        border[1:-1, 1:-1] = False
        kernel[..., border] = torch.nan
    smaller = picks | {"stage2/depth": "1", "stage1/0/kernel": "3"}
    assert torch.isnan(supernet(x, picks_to_mixture(SMALL.architecture(picks)))).all()
    assert torch.isfinite(supernet(x, picks_to_mixture(SMALL.architecture(smaller)))).all()
    assert torch.isfinite(y).all()


def test_space_and_skeleton_have_to_fit():
    with pytest.raises(ValueError, match="space 'mobilenet' has 2 stages, the skeleton strides for 1"):
        network(SMALL, replace(TINY["search"], strides=(2,)))
    with pytest.raises(ValueError, match="one to 5 stages, got widths of 6"):
        mobilenet(widths=[(8,)] * 6)
    with pytest.raises(ValueError, match="sizes from 1 on"):
        MobileSkeleton(classes=0)
    with pytest.raises(ValueError, match="nothing mixes operations"):
        network(SMALL, TINY["search"], mixed=lambda choice, build: build(choice.options[0]))
