from dataclasses import replace

import numpy as np
import pytest
import torch

from morphogen.nn.network import network
from morphogen.spaces.nas_rl import GROWING, NAS_RL, SKELETONS, Network, PlainSkeleton, identity, nas_rl
from morphogen.strategies.progressive import growth
from morphogen.testing import SpaceSuite
from network_laws import NetworkLaws, checks

STRIDED = nas_rl(6, strides=True)
SKELETON = SKELETONS["search"]


class TestSpace(SpaceSuite):
    def make(self):
        return nas_rl()


class TestSpaceOfSeveralDepths(SpaceSuite):
    def make(self):
        return nas_rl((1, 2, 3), skips=False)


class TestSpaceWithStrides(SpaceSuite):
    def make(self):
        return STRIDED


class TestNetwork(NetworkLaws):
    def make(self):
        return nas_rl(3)

    def small(self, image, classes):
        return [replace(SKELETON, image=image, classes=classes)]


class TestNetworkWithStrides(NetworkLaws):
    def make(self):
        return nas_rl(3, strides=True)

    def small(self, image, classes):
        return [replace(SKELETON, image=image, classes=classes)]


@pytest.mark.parametrize(("strides", "size"), [(False, 2_251_799_813_685_248), (True, 1_196_698_744_784_701_882_368)])
def test_six_layers_have_as_many_architectures_as_the_paper_says(strides, size):
    assert size == nas_rl(6, strides=strides).size
    assert strides or size == NAS_RL.size
    for layers, sizes in checks("space_sizes.json")["zoph_le"].items():
        assert sizes["strides" if strides else "stride1"] == nas_rl(int(layers), strides=strides).size


def test_it_grows_by_two_layers():
    levels = growth(GROWING)
    assert [nas_rl(layers).size for layers in range(6, 21, 2)] == [level.size for level in levels]
    assert sum(level.size for level in levels) == GROWING.size
    first = levels[0].sample(np.random.default_rng(0))
    assert "6" == GROWING.architecture(first.json)["layers"]


def test_without_skips_each_layer_reads_the_one_before():
    chain = nas_rl(4, skips=False)
    assert 64**4 == chain.size
    built = _network(chain, chain.sample(np.random.default_rng(0)))
    assert [(), (0,), (1,), (2,)] == [join.sources for join in built.joins]
    assert (3,) == built.last.sources


def test_a_layer_without_inputs_reads_the_image_and_loose_ends_go_to_the_classifier():
    built = _network(STRIDED, _architecture(inputs={1: [], 2: [0], 3: [0, 2], 4: [], 5: [4]}))
    assert [(), (), (0,), (0, 2), (), (4,)] == [join.sources for join in built.joins]
    assert (1, 3, 5) == built.last.sources
    assert [3, 3, 24, 48, 3, 24] == [convolution[0].in_channels for convolution in built.convolutions]
    assert 3 * 24 == built.classifier.in_features


def test_smaller_maps_are_padded_with_zeros_to_the_largest():
    built = _network(STRIDED, _architecture(inputs={1: [], 2: [0, 1]}, strides={0: (2, 3)})).eval()
    join = built.joins[2]
    assert (32, 32) == join.size
    assert [(0, 21, 0, 16), (0, 0, 0, 0)] == join.missing
    small, large = torch.ones(1, 1, 16, 11), torch.ones(1, 1, 32, 32)
    y = join([small, large])
    assert (1, 2, 32, 32) == y.shape
    assert 16 * 11 == y[0, 0].sum() == y[0, 0, :16, :11].sum()
    assert (2, 10) == built(torch.randn(2, 3, 32, 32)).shape


def test_the_largest_network_has_more_filters():
    built = network(STRIDED.fix(_architecture(inputs={5: [4]})), replace(SKELETON, more_filters=40))
    assert {64} == {convolution[0].out_channels for convolution in built.convolutions}
    with pytest.raises(ValueError, match=r"got image=\(3, 32\)"):
        PlainSkeleton(image=(3, 32))


def test_every_string_of_the_controller_builds():
    for seed in range(20):
        architecture = STRIDED.sample(np.random.default_rng(seed))
        with torch.device("meta"):
            assert (1, 10) == _network(STRIDED, architecture)(torch.empty(1, 3, 32, 32)).shape


def test_the_order_of_layers_does_not_change_the_identity():
    one = _architecture(inputs={1: [], 2: [1], 3: [0, 2]}, filters={0: "36", 1: "48"})
    other = _architecture(inputs={1: [], 2: [0], 3: [1, 2]}, filters={1: "36", 0: "48"})
    third = _architecture(inputs={1: [], 2: [0], 3: [1, 2]}, filters={0: "36", 1: "48"})
    assert identity(one) == identity(other) != identity(third)
    counts = [sum(p.numel() for p in _network(STRIDED, a).parameters()) for a in (one, other)]
    assert counts[0] == counts[1]


def test_a_supernet_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="the networks of nas-rl share no weights, and choice '0/height' is open"):
        network(nas_rl(2), SKELETON)


def _architecture(inputs, filters=None, strides=None):
    picks = {c.name: c.options[0] for c in STRIDED if not c.name.endswith("inputs")}
    picks |= {f"{layer}/inputs": list(map(str, inputs.get(layer, []))) for layer in range(1, 6)}
    picks |= {f"{layer}/filters": number for layer, number in (filters or {}).items()}
    for layer, (height, width) in (strides or {}).items():
        picks |= {f"{layer}/stride_height": str(height), f"{layer}/stride_width": str(width)}
    return STRIDED.architecture(picks)


def _network(space, architecture):
    built = network(space.fix(architecture), SKELETON)
    assert isinstance(built, Network)
    return built
