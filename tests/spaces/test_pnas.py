import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from morphogen.nn.complexity import complexity
from morphogen.nn.mixture import picks_to_mixture
from morphogen.nn.network import network
from morphogen.spaces import PNAS, Genotype, space
from morphogen.spaces.nasnet_network import places
from morphogen.spaces.pnas import OPERATIONS, SKELETONS, from_genotype, pnas, to_genotype
from morphogen.spaces.published import GENOTYPES
from morphogen.strategies.progressive import growth
from morphogen.testing import SpaceSuite
from network_laws import SupernetLaws

CHECKS = Path(os.environ.get("MORPHOGEN_CHECKS", Path(__file__).parents[3] / "shared" / "checks"))
SIZES = CHECKS / "space_sizes.json"
ORDERED = {"1": 256, "2": 147_456, "3": 150_994_944, "4": 241_591_910_400, "5": 556_627_761_561_600}
TINY = replace(SKELETONS["search"], image=(1, 7, 7), classes=3, channels=2, cells=4)
TINY_FINAL = replace(TINY, auxiliary=True, pool_norm=True)
TINY_IMAGENET = replace(TINY, stem="imagenet", stem_multiplier=1, image=(1, 17, 18), channels=6, cells=2)


def rng(seed=0):
    return np.random.default_rng(seed)


def only(blocks):
    return PNAS.restrict({"blocks": (str(blocks),)})


class TestTheSpace(SpaceSuite):
    draws = 20

    def make(self):
        return pnas()


class TestTheNetwork(SupernetLaws):
    image = TINY_IMAGENET.image

    def make(self):
        return pnas()

    def small(self, image, classes):
        some = [TINY, TINY_FINAL] if min(image[1:]) < 3 else [TINY_IMAGENET, TINY, TINY_FINAL]
        return [replace(s, image=image, classes=classes) for s in some]


# --- how many there are -----------------------------------------------------------------------------------------------


def test_cells_of_each_size_have_the_published_number_of_architectures():
    assert ORDERED == {blocks: only(blocks).size for blocks in ORDERED}
    assert sum(ORDERED.values()) == PNAS.size == space("pnas").size


@pytest.mark.skipif(
    not SIZES.exists(), reason=f"no file {SIZES}: MORPHOGEN_CHECKS names the folder of the reference's numbers"
)
def test_sizes_are_those_of_the_reference():
    expected = json.loads(SIZES.read_text())["pnas"]
    assert {blocks: expected[blocks]["ordered"] for blocks in ORDERED} == {b: only(b).size for b in ORDERED}


def test_136_cells_of_one_block_are_different():
    one = only(1)
    assert 136 == len({PNAS.identity(architecture) for architecture in one.enumerate()})


@pytest.mark.parametrize(("operations", "blocks", "unique"), [(2, 2, 165), (3, 2, 735), (1, 3, 97)])
def test_small_spaces_have_as_many_identities_as_isomorphism_classes(operations, blocks, unique):
    small = pnas(blocks, OPERATIONS[:operations]).restrict({"blocks": (str(blocks),)})
    assert unique == len({small.identity(architecture) for architecture in small.enumerate()})


@pytest.mark.slow
@pytest.mark.parametrize(("operations", "blocks", "unique"), [(8, 2, 31_620), (2, 3, 3_840)])
def test_larger_spaces_have_as_many_identities_as_isomorphism_classes(operations, blocks, unique):
    small = pnas(blocks, OPERATIONS[:operations]).restrict({"blocks": (str(blocks),)})
    assert unique == len({small.identity(architecture) for architecture in small.enumerate()})


def test_uniform_samples_hit_every_ordered_cell_of_one_block_alike():
    one, generator = only(1), rng()
    draws = 256 * 40
    counts = Counter(one.sample_uniform(generator).text for _ in range(draws))
    assert 256 == len(counts)
    chi_square = sum((count - 40) ** 2 / 40 for count in counts.values())
    # 255 degrees of freedom: mean 255, standard deviation 22.6
    assert 165 < chi_square < 345


def test_growth_is_by_blocks_and_each_cell_has_the_published_number_of_extensions():
    levels = growth(PNAS)
    assert list(ORDERED.values()) == [level.size for level in levels]
    one = levels[0].sample(rng())
    kept = {name: picked for name, picked in one.picks.items() if name != "blocks"}
    assert 576 == sum(1 for _ in levels[1].enumerate(kept))


# --- the network ------------------------------------------------------------------------------------------------------


def test_one_hot_weights_equal_the_subgraph():
    torch.manual_seed(0)
    small = pnas(3, ("sep_conv_3x3", "max_pool_3x3", "skip_connect"))
    skeleton = replace(TINY, cells=2, reductions=())
    supernet, x = network(small, skeleton).double(), torch.randn(2, 1, 7, 7, dtype=torch.float64)
    one = torch.ones((), dtype=torch.float64)
    for seed in range(10):
        architecture = small.sample(rng(seed))
        if architecture["blocks"] == "1":
            continue  # what such a cell gives needs no 1x1, and weights cannot say so
        # choices of blocks that there are not may have any weights
        picked = {c.name: architecture.get(c.name, c.options[0]) for c in small}
        weighted = {c.name: {o: one if o == picked[c.name] else 0 * one for o in c.options} for c in small}
        with torch.no_grad():
            y = supernet(x, picks_to_mixture(architecture))
            torch.testing.assert_close(supernet(x, weighted), y, rtol=0, atol=1e-12)


def test_a_weighted_depth_weighs_the_blocks():
    small = pnas(2, ("max_pool_3x3",))
    supernet = network(small, replace(TINY, cells=1, reductions=()))
    mixture = {c.name: {c.options[0]: None} for c in small}
    shallow, deep = torch.tensor(0.75), torch.tensor(0.25)
    outputs = supernet.cells[0].output
    states = [torch.ones(1, 2, 1, 1) * i for i in range(4)]
    y = outputs(states, {**mixture, "blocks": {"1": shallow, "2": deep}})
    # block 2 is there in both depths
    assert [2, 2, 0.75, 0.75] == y.flatten().tolist()


def test_blocks_that_there_are_not_do_not_run():
    supernet, architecture = network(PNAS, TINY), only(2).sample(rng())
    architecture = PNAS.architecture(architecture.picks)
    supernet(torch.randn(2, 1, 7, 7), picks_to_mixture(architecture)).sum().backward()
    standalone = network(PNAS.fix(architecture), TINY)
    got = {name for name, p in supernet.named_parameters() if p.grad is not None}
    assert {name for name, _ in standalone.named_parameters()} <= got
    assert not any(f"blocks.{i}." in name for i in (2, 3, 4) for name in got)


def test_reductions_are_cells_of_the_row_and_the_auxiliary_head_is_in_front_of_the_second():
    final = list(places(SKELETONS["final"]))
    assert 9 == len(final)
    assert [3, 6] == [i for i, place in enumerate(final) if place.reduces]
    assert [5] == [i for i, place in enumerate(final) if place.auxiliary]
    assert [48] * 3 + [96] * 3 + [192] * 3 == [place.channels for place in final]


# --- other forms ------------------------------------------------------------------------------------------------------


def test_pnasnet_5_is_a_point_of_the_space():
    architecture = from_genotype(GENOTYPES["pnasnet-5"])
    assert "5" == architecture["blocks"]
    assert GENOTYPES["pnasnet-5"] == to_genotype(architecture)


def test_genotypes_and_architectures_are_two_forms_of_one_thing():
    for seed in range(20):
        architecture = PNAS.sample(rng(seed))
        assert architecture == from_genotype(Genotype.parse(str(to_genotype(architecture))))


@pytest.mark.parametrize(
    ("genotype", "message"),
    [
        (GENOTYPES["nasnet-a"], "the two cells differ, and space 'pnas' has one cell for both strides"),
        (
            Genotype(*[replace(GENOTYPES["pnasnet-5"].normal, concat=(2, 3, 5, 6))] * 2),
            r"the cell concatenates the states \[2, 3, 5, 6\]; cells of space 'pnas' concatenate all blocks, 2 to 6",
        ),
        (
            Genotype(*[replace(GENOTYPES["nasnet-a"].reduce, blocks=GENOTYPES["nasnet-a"].reduce.blocks * 2)] * 2),
            "the cell has 10 blocks, cells of space 'pnas' have 1 or 2 or 3 or 4 or 5",
        ),
    ],
)
def test_a_genotype_that_is_no_point_of_the_space_says_why(genotype, message):
    with pytest.raises(ValueError, match=message):
        from_genotype(genotype)


def test_identities_are_equal_only_where_the_costs_are():
    small, generator, seen = pnas(2, ("max_pool_3x3", "sep_conv_3x3")).restrict({"cell/2/a/input": ("0",)}), rng(), {}
    for _ in range(16):
        architecture = small.sample(generator)
        with torch.device("meta"):
            counted = complexity(network(small.fix(architecture), TINY), TINY.image)
        assert counted == seen.setdefault(small.identity(architecture), counted)
    assert len(seen) < 16
