from dataclasses import replace

import numpy as np
import pytest
import torch

from morphogen.nn.complexity import complexity
from morphogen.nn.network import network
from morphogen.spaces.costs import limited
from morphogen.spaces.vit import SKELETONS, VIT, TokenSkeleton, vit
from morphogen.strategies.progressive import growth
from morphogen.testing import SpaceSuite
from network_laws import SupernetLaws

SMALL = vit(widths=(24, 32, 48), depths=(1, 2, 3), heads=(1, 2), ratios=(1.5, 2))
TINY = {name: replace(s, patch=2, head_width=8) for name, s in SKELETONS.items()}


class TestSpace(SpaceSuite):
    def make(self):
        return vit()


class TestSpaceWithLimits(SpaceSuite):
    def make(self):
        return limited(SMALL, replace(TINY["search"], image=(1, 8, 8)), params=25_000, macs=400_000)


class TestNetwork(SupernetLaws):
    def make(self):
        return SMALL

    def small(self, image, classes):
        return [replace(s, image=image, classes=classes) for s in TINY.values()]


def test_the_space_has_the_published_options():
    assert 3 * (4**12 + 4**13 + 4**14) == VIT.size
    assert ("3.5", "4") == VIT["13/ratio"].options
    assert ("14",) == VIT["13/heads"].when.any_of


@pytest.mark.parametrize(("option", "params"), [(0, 5_273_512), (-1, 10_409_272)])
def test_the_smallest_and_the_largest_network(option, params):
    architecture = VIT.architecture({c.name: c.options[option] for c in VIT})
    with torch.device("meta"):
        built = network(VIT.fix(architecture), SKELETONS["imagenet"])
    assert params == complexity(built, (3, 224, 224)).params
    # by hand: patches, positions, blocks of four norms' vectors, attention and MLP, the last norm and the head
    d, blocks, inside = (192, 12, 3 * 64) if option == 0 else (240, 14, 4 * 64)
    mlp = int(d * (3.5 if option == 0 else 4))
    attention = 3 * (d * inside + inside) + inside * d + d
    block = 4 * d + attention + d * mlp + mlp + mlp * d + d
    assert params == (768 * d + d) + 196 * d + blocks * block + 2 * d + (d * 1000 + 1000)


def test_it_grows_by_depth():
    assert [3 * 4**depth for depth in (1, 2, 3)] == [level.size for level in growth(SMALL)]


def test_images_are_padded_to_whole_patches():
    skeleton = replace(TINY["search"], image=(3, 5, 8), patch=4)
    assert (2, 2) == skeleton.grid
    built = network(SMALL.fix(SMALL.sample(np.random.default_rng(0))), skeleton)
    x = torch.randn(2, 3, 5, 8)
    assert (2, 4, 48) == built.patches(x).transpose(1, 2).shape
    assert (2, 10) == built(x).shape


def test_a_skeleton_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="sizes from 1 on"):
        TokenSkeleton(patch=0)
    with pytest.raises(ValueError, match="drop_path is a probability below 1, got 1"):
        TokenSkeleton(drop_path=1)
    with pytest.raises(ValueError, match="nothing mixes operations"):
        network(SMALL, TINY["search"], mixed=lambda choice, build: build(choice.options[0]))
