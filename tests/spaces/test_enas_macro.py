from dataclasses import replace

import numpy as np
import pytest
import torch

from morphogen.nn.complexity import complexity
from morphogen.nn.mixture import picks_to_mixture
from morphogen.nn.network import network
from morphogen.spaces import zoo
from morphogen.spaces.enas_macro import (
    ENAS_MACRO,
    OPERATIONS,
    SKELETONS,
    enas_macro,
    from_arc,
    published,
)
from morphogen.testing import SpaceSuite
from network_laws import SupernetLaws, checks

SIX = enas_macro(6)
TINY = {name: replace(s, channels=4) for name, s in SIX.skeletons.items()}


class TestSpace(SpaceSuite):
    def make(self):
        return enas_macro()


class TestNetwork(SupernetLaws):
    def make(self):
        return SIX

    def small(self, image, classes):
        return [replace(s, image=image, classes=classes) for s in TINY.values()]


def test_the_space_has_the_published_number_of_architectures():
    assert 160_618_186_625_454_535_808_756_219_904 == ENAS_MACRO.size
    assert 6**24 * 2**276 == enas_macro(24).size


def test_the_supernet_has_the_parameters_of_the_released_code():
    with torch.device("meta"):
        supernet = network(ENAS_MACRO, SKELETONS["search"])
    assert 697_860 == sum(p.numel() for p in supernet.parameters())


def test_the_published_network_has_the_parameters_of_the_released_code():
    with torch.device("meta"):
        built = zoo.build("enas-macro-cifar")
    assert 42_559_392 == complexity(built, (3, 32, 32)).params


def test_the_published_list_is_the_network():
    assert from_arc(checks("enas_found_arcs.json")["macro"]) == published()
    ops = [OPERATIONS.index(published()[f"{layer}/op"]) for layer in range(24)]
    assert [0, 3, 0, 2, 2, 3, 2, 2, 1, 0, 2, 0, 2, 1, 0, 2, 2, 2, 3, 3, 0, 3, 0, 0] == ops
    assert 98 == sum(len(published()[f"{layer}/skips"]) for layer in range(1, 24))


@pytest.mark.parametrize(("layers", "reductions"), [(12, [4, 8]), (24, [8, 16]), (2, [])])
def test_the_resolution_is_halved_in_front_of_each_third(layers, reductions):
    space = enas_macro(layers)
    with torch.device("meta"):
        built = network(space, space.skeletons["search"])
    assert reductions == built.reductions
    halvings = [f"{level}<-{i}" for level, layer in enumerate(reductions) for i in range(layer + 1)]
    assert halvings == list(built.halvings)


@pytest.mark.parametrize("name", ["search", "final"])
def test_every_operation_and_every_connection_matters(name):
    torch.manual_seed(0)
    supernet, x = network(SIX, TINY[name]).eval(), torch.randn(2, 3, 32, 32)
    picks = SIX.sample(np.random.default_rng(0)).json | {"5/skips": ["3"]}
    changes = [{"2/op": op} for op in OPERATIONS] + [{"5/skips": []}, {"5/skips": ["0", "3"]}, {"5/skips": ["1"]}]
    outputs = [supernet(x, picks_to_mixture(SIX.architecture(picks | change))) for change in changes]
    assert len(outputs) - 1 <= len({y.detach().numpy().tobytes() for y in outputs})
    assert all(not torch.equal(a, b) for i, a in enumerate(outputs[:6]) for b in outputs[:i])
    assert all(not torch.equal(a, b) for i, a in enumerate(outputs[6:]) for b in outputs[6:][:i])


def test_weights_of_one_equal_the_subgraph():
    torch.manual_seed(0)
    one, architecture = torch.ones((), dtype=torch.float64), SIX.sample(np.random.default_rng(1))
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    weighted = {name: dict.fromkeys(picked, one) for name, picked in architecture.picks.items()}
    for skeleton in TINY.values():
        supernet = network(SIX, skeleton).double().eval()
        with torch.no_grad():
            torch.testing.assert_close(
                supernet(x, weighted), supernet(x, picks_to_mixture(architecture)), rtol=0, atol=1e-12
            )


def test_space_and_skeleton_have_the_same_number_of_layers():
    with pytest.raises(ValueError, match="space 'enas-macro' has 6 layers and the skeleton 12: make both"):
        network(SIX, SKELETONS["search"])
    with pytest.raises(ValueError, match="a network has one or more"):
        enas_macro(0)


def test_a_list_of_a_wrong_length_or_with_wrong_numbers_is_refused():
    assert "0/op=conv_3x3 1/op=max_pool_3x3 1/skips=0" == from_arc([0, 5, 1]).text
    with pytest.raises(ValueError, match="4 numbers is not that of some number of layers"):
        from_arc([0, 5, 1, 0])
    with pytest.raises(ValueError, match=r"layer 1 is \[6, 1\]; expected an operation of 0 to 5"):
        from_arc([0, 6, 1])
