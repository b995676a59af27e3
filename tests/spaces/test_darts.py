import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from morphogen.moves import mutate
from morphogen.nn.complexity import complexity
from morphogen.nn.drop_path import DropPath, advance
from morphogen.nn.inherit import inherit
from morphogen.nn.mixed import fuse
from morphogen.nn.mixture import picks_to_mixture
from morphogen.nn.network import network
from morphogen.spaces import DARTS, Genotype, Skeleton, space
from morphogen.spaces.darts import OPERATIONS, SKELETONS, darts, from_genotype, identity, to_genotype

CHECKS = Path(os.environ.get("MORPHOGEN_CHECKS", Path(__file__).parents[3] / "shared" / "checks"))
VECTOR = CHECKS / "darts_supernet_vector.json"
with_vector = pytest.mark.skipif(
    not VECTOR.exists(), reason=f"no file {VECTOR}: MORPHOGEN_CHECKS names the folder of the reference's numbers"
)
V1 = Genotype.parse(
    "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1), "
    "('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])"
)
V2 = Genotype.parse(
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
IMAGENET = Skeleton((3, 224, 224), classes=1000, channels=48, cells=14, stem="imagenet", auxiliary=True)
TINY = replace(SKELETONS["search"], image=(1, 7, 7), classes=3, channels=2, cells=3)
# keeps what differs in the final network: affine norms, bare pools, drop path, the second head
TINY_FINAL = replace(SKELETONS["final"], image=(1, 7, 7), classes=3, channels=2, cells=3)


def meta(of, skeleton):
    with torch.device("meta"):
        return network(of, skeleton)


def rng(seed=0):
    return np.random.default_rng(seed)


# --- the space --------------------------------------------------------------------------------------------------------


def test_the_space_has_the_published_number_of_architectures():
    assert 1_076_746_950_455_072_400 == DARTS.size
    assert 1_037_664_180**2 == DARTS.size


def test_none_is_in_every_mixture_and_in_no_architecture():
    edges = [choice for choice in DARTS if "<-" in choice.name]
    assert 28 == len(edges)
    assert all(OPERATIONS == edge.options and "none" not in edge.pickable for edge in edges)


def test_the_name_gives_the_space():
    assert DARTS == space("darts")
    assert DARTS == space("morphogen.spaces.darts:DARTS")
    with pytest.raises(ValueError, match="there is no space 'dart', did you mean 'darts'"):
        space("dart")
    with pytest.raises(ValueError, match="is a tuple, expected a Space or a function"):
        space("morphogen.spaces.darts:OPERATIONS")
    with pytest.raises(ValueError, match="cannot be imported"):
        space("nowhere:space")


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("genotype", "skeleton", "params", "auxiliary", "macs"),
    [
        (V1, SKELETONS["final"], 3_169_414, 476_426, 500_987_520),
        (V2, SKELETONS["final"], 3_349_342, 476_426, 528_359_040),
        (V1, IMAGENET, 4_510_432, 1_260_776, 505_864_704),
        (V2, IMAGENET, 4_718_752, 1_260_776, 529_911_552),
    ],
    ids=["v1-cifar", "v2-cifar", "v1-imagenet", "v2-imagenet"],
)
def test_published_networks_have_the_counts_of_the_released_code(genotype, skeleton, params, auxiliary, macs):
    counted = complexity(meta(DARTS.fix(from_genotype(genotype)), skeleton), skeleton.image)
    assert (params, auxiliary, macs) == (counted.params, counted.params_auxiliary, counted.macs)


@pytest.mark.parametrize(("channels", "cells", "params"), [(16, 8, 1_930_618), (36, 20, 19_932_310)])
def test_supernets_have_the_counts_of_the_released_code(channels, cells, params):
    supernet = meta(DARTS, replace(SKELETONS["search"], channels=channels, cells=cells))
    assert params == sum(p.numel() for p in supernet.parameters())


@with_vector
@pytest.mark.parametrize("together", [True, False])
def test_the_supernet_computes_what_the_released_code_does(together):
    expected = json.loads(VECTOR.read_text())
    supernet = network(DARTS, Skeleton((3, 8, 8), 5, channels=4, cells=3, affine=False, pool_norm=True)).double()
    fuse(supernet, together)
    parameters = list(supernet.parameters())
    assert [shape for _, shape in expected["params"]] == [list(p.shape) for p in parameters]
    with torch.no_grad():
        for k, p in enumerate(parameters):
            p.copy_((torch.arange(p.numel(), dtype=torch.float64) * 0.7 + 1.3 * (k + 1)).sin().mul(0.3).view_as(p))
    x = torch.arange(4 * 3 * 8 * 8, dtype=torch.float64).mul(0.11).cos().view(4, 3, 8, 8)
    alphas = {
        cell: torch.arange(14 * 8, dtype=torch.float64).mul(0.31).add(k).sin().mul(0.5).view(14, 8).requires_grad_()
        for k, cell in enumerate(("normal", "reduce"))
    }
    mixture = {choice.name: dict.fromkeys(choice.options) for choice in DARTS}
    for cell, alpha in alphas.items():
        edges = [choice for choice in DARTS if choice.name.startswith(f"{cell}/") and "<-" in choice.name]
        for choice, row in zip(edges, alpha.softmax(1), strict=True):
            mixture[choice.name] = dict(zip(choice.options, row, strict=True))
    logits = supernet(x, mixture)
    loss = F.cross_entropy(logits, torch.arange(4))
    loss.backward()
    torch.testing.assert_close(logits.tolist(), expected["logits"], rtol=1e-9, atol=1e-12)
    assert math.isclose(expected["loss"], loss.item(), rel_tol=1e-9)
    torch.testing.assert_close(alphas["normal"].grad.tolist(), expected["grad_alphas_normal"], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(alphas["reduce"].grad.tolist(), expected["grad_alphas_reduce"], rtol=1e-9, atol=1e-12)
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in parameters if p.grad is not None))
    assert math.isclose(expected["grad_weight_norm"], norm, rel_tol=1e-9)


def test_cells_of_the_search_network_have_the_published_shapes():
    supernet, shapes = meta(DARTS, SKELETONS["search"]), []
    for cell in supernet.cells:
        cell.register_forward_hook(lambda module, args, y: shapes.append(tuple(y.shape[1:])))
    supernet(torch.empty(2, 3, 32, 32, device="meta"), picks_to_mixture(DARTS.sample(rng())))
    assert [(64, 32, 32)] * 2 + [(128, 16, 16)] * 3 + [(256, 8, 8)] * 3 == shapes


@pytest.mark.parametrize("skeleton", [TINY, TINY_FINAL], ids=["search", "final"])
@pytest.mark.parametrize("training", [True, False])
def test_every_subgraph_equals_the_standalone_network_after_inherit(skeleton, training):
    torch.manual_seed(0)
    supernet = network(DARTS, skeleton).double()
    x = torch.randn(2, 1, 7, 7, dtype=torch.float64)
    supernet(x, picks_to_mixture(DARTS.sample(rng(1))))  # so that running statistics are not the initial ones
    supernet.train(training)
    keys = set(supernet.state_dict())
    for seed in range(10):
        architecture = DARTS.sample(rng(seed))
        standalone = network(DARTS.fix(architecture), skeleton).double().train(training)
        assert set(standalone.state_dict()) < keys
        inherit(supernet, standalone, architecture)
        with torch.no_grad():
            torch.testing.assert_close(
                standalone(x), supernet(x, picks_to_mixture(architecture)), rtol=0, atol=1e-12, msg=architecture.text
            )


def test_one_hot_weights_equal_the_subgraph():
    torch.manual_seed(0)
    supernet, x = network(DARTS, TINY).double(), torch.randn(2, 1, 7, 7, dtype=torch.float64)
    architecture = DARTS.sample(rng())
    one = torch.ones((), dtype=torch.float64)
    weighted = {
        c.name: dict.fromkeys(c.options)
        if c.pick == 2
        else {o: one if o == architecture.get(c.name, "none") else 0 * one for o in c.options}
        for c in DARTS
    }
    with torch.no_grad():
        y = supernet(x, picks_to_mixture(architecture))
        torch.testing.assert_close(supernet(x, weighted), y, rtol=0, atol=1e-12)


def test_only_the_picked_operations_get_gradients():
    supernet, architecture = network(DARTS, TINY), DARTS.sample(rng())
    supernet(torch.randn(2, 1, 7, 7), picks_to_mixture(architecture)).sum().backward()
    standalone = network(DARTS.fix(architecture), TINY)
    got = {name for name, p in supernet.named_parameters() if p.grad is not None}
    assert {name for name, _ in standalone.named_parameters()} == got


@pytest.mark.parametrize("image", [(1, 8, 8), (1, 28, 28), (3, 5, 9), (3, 1, 1)])
def test_any_image_size_works_with_both_skeletons(image):
    architecture = DARTS.sample(rng())
    for preset in SKELETONS.values():
        skeleton = replace(preset, image=image, classes=7, channels=4, cells=5)
        standalone = network(DARTS.fix(architecture), skeleton)
        assert (2, 7) == standalone.eval()(torch.randn(2, *image)).shape


def test_the_auxiliary_head_speaks_in_training_only():
    standalone = network(DARTS.fix(from_genotype(V2)), replace(TINY_FINAL, image=(3, 32, 32)))
    x = torch.randn(2, 3, 32, 32)
    logits, auxiliary = standalone(x)
    assert (2, 3) == logits.shape == auxiliary.shape
    assert (2, 3) == standalone.eval()(x).shape


def test_drop_path_is_on_every_operation_that_does_something():
    standalone = network(DARTS.fix(from_genotype(V2)), replace(TINY_FINAL, cells=3))
    # of eight operations, two skips of stride 1 in the normal cell and three in the reduction, from node 2
    drops = [sum(isinstance(m, DropPath) for m in cell.modules()) for cell in standalone.cells]
    assert [6, 5, 5] == drops
    x = torch.randn(16, 1, 7, 7)
    standalone.eval()
    advance(standalone, 1.0)
    assert torch.equal(standalone(x), standalone(x))


def test_a_skeleton_without_normal_cells_does_not_fit():
    with pytest.raises(ValueError, match=r"nothing in the network .* reads choice 'normal/2/inputs'"):
        meta(DARTS, replace(TINY, cells=2))


# --- other forms ------------------------------------------------------------------------------------------------------


def test_genotypes_and_architectures_are_two_forms_of_one_thing():
    for seed in range(20):
        architecture = DARTS.sample(rng(seed))
        assert architecture == from_genotype(Genotype.parse(str(to_genotype(architecture))))
    for genotype in (V1, V2):
        again = to_genotype(from_genotype(genotype))
        assert [sorted(block) for block in genotype.normal.blocks] == [sorted(block) for block in again.normal.blocks]
        assert [sorted(block) for block in genotype.reduce.blocks] == [sorted(block) for block in again.reduce.blocks]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("normal_concat=[2, 3, 4, 5]", "normal_concat=[4, 5]"),
            r"concatenates the states \[4, 5\]; cells of space 'darts'",
        ),
        (
            ("('sep_conv_3x3', 0), ('sep_conv_3x3', 1)", "('sep_conv_3x3', 1), ('sep_conv_3x3', 1)"),
            "reads input 1 twice",
        ),
        (("dil_conv_3x3", "sep_conv_7x7"), r"choice 'normal/5<-2' cannot pick \['sep_conv_7x7'\]"),
        (("dil_conv_3x3", "none"), r"choice 'normal/5<-2' cannot pick \['none'\]"),
        (
            (", ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5]", "], normal_concat=[2]"),
            "has 3 blocks",
        ),
    ],
)
def test_a_genotype_that_is_no_point_of_the_space_says_why(change, message):
    with pytest.raises(ValueError, match=message):
        from_genotype(Genotype.parse(str(V2).replace(*change)))


def test_the_order_of_nodes_does_not_change_the_identity():
    # nodes 2 and 3 of the normal cell change places, and node 4 follows
    a = V2.normal.blocks
    swapped = (a[1], (("dil_conv_3x3", 0), ("sep_conv_5x5", 1)), (("skip_connect", 2), ("avg_pool_3x3", 3)), a[1])
    back = (swapped[1], swapped[0], (("skip_connect", 3), ("avg_pool_3x3", 2)), a[1])
    one, other = (from_genotype(replace(V2, normal=replace(V2.normal, blocks=blocks))) for blocks in (swapped, back))
    assert one != other
    assert DARTS.identity(one) == DARTS.identity(other)


def test_a_small_space_has_as_many_identities_as_isomorphism_classes():
    small = darts(nodes=2, operations=("none", "max_pool_3x3", "skip_connect")).restrict(
        {f"reduce/{n}<-{s}": ("skip_connect",) for n, s in ((2, 0), (2, 1), (3, 0), (3, 1), (3, 2))}
        | {"reduce/3/inputs": ("0", "1")}
    )
    # two independent nodes: 4 labelings each, unordered pairs 10; a node on the other one: 4 * (2 * 4) = 32
    assert 10 + 32 == len({identity(a) for a in small.enumerate()})
    assert 16 + 32 == small.size


def test_identities_are_equal_only_where_the_costs_are():
    seen = {}
    small = darts(nodes=2, operations=("max_pool_3x3", "sep_conv_3x3", "skip_connect"))
    architecture, generator = small.sample(rng()), rng(1)
    for _ in range(12):
        counted = complexity(meta(small.fix(architecture), TINY), TINY.image)
        assert counted == seen.setdefault(identity(architecture), counted)
        architecture = mutate(architecture, generator)
