from dataclasses import replace

import numpy as np
import pytest
import torch

from morphogen.nn.complexity import complexity
from morphogen.nn.mixture import picks_to_mixture
from morphogen.nn.network import network
from morphogen.spaces import zoo
from morphogen.spaces.enas_micro import (
    ENAS_MICRO,
    OPERATIONS,
    SKELETONS,
    enas_micro,
    from_arc,
    from_genotype,
    identity,
    to_genotype,
)
from morphogen.spaces.enas_micro_network import Cell, Reduction
from morphogen.spaces.published import GENOTYPES
from morphogen.testing import SpaceSuite
from network_laws import SupernetLaws, checks

FOUND = GENOTYPES["enas-micro"]
TINY = {name: replace(s, channels=4, cells=3) for name, s in SKELETONS.items()}


class TestSpace(SpaceSuite):
    def make(self):
        return enas_micro()


class TestNetwork(SupernetLaws):
    def make(self):
        return enas_micro(blocks=3)

    def small(self, image, classes):
        return [replace(s, image=image, classes=classes) for s in TINY.values()]


def test_the_space_has_the_number_of_architectures_of_the_code():
    assert 25_628_906_250_000_000_000_000_000 == ENAS_MICRO.size
    assert 5_062_500_000_000**2 == ENAS_MICRO.size


def test_the_supernet_has_the_parameters_of_the_released_code():
    with torch.device("meta"):
        supernet = network(ENAS_MICRO, SKELETONS["search"])
    auxiliary = sum(p.numel() for p in supernet.auxiliary.parameters())
    assert (5_373_140, 412_928) == (sum(p.numel() for p in supernet.parameters()) - auxiliary, auxiliary)


def test_the_published_network_has_the_parameters_of_the_released_code():
    with torch.device("meta"):
        built = zoo.build("enas-micro-cifar")
    counted = complexity(built, (3, 32, 32))
    assert (3_894_372, 494_848) == (counted.params, counted.params_auxiliary)


def test_the_published_lists_are_the_genotype():
    arcs = checks("enas_found_arcs.json")
    assert FOUND == to_genotype(from_arc(arcs["micro_normal"], arcs["micro_reduce"]))
    assert FOUND == to_genotype(from_genotype(FOUND))


@pytest.mark.parametrize(("cells", "reductions", "auxiliary"), [(6, [2, 5], 6), (15, [5, 11], 12)])
def test_reductions_and_the_auxiliary_head_stand_where_the_code_has_them(cells, reductions, auxiliary):
    for skeleton in TINY.values():
        with torch.device("meta"):
            built = network(ENAS_MICRO.fix(from_genotype(FOUND)), replace(skeleton, cells=cells))
        found = [cell for cell in built.cells if isinstance(cell, Cell)]
        widths = [cell.features.channels for cell in found]
        assert reductions == [i for i in range(1, len(widths)) if widths[i] > widths[i - 1]]
        assert auxiliary == found.index(built.cells[built.auxiliary_cell])
        halved = [type(cell) for cell in built.cells].count(Reduction)
        assert (2 if skeleton.weight_sharing else 0) == halved


def test_unread_inputs_are_concatenated_too():
    arc = [1, 4, 1, 4, 2, 4, 2, 4, 3, 4, 3, 4, 4, 4, 4, 4, 5, 4, 5, 4]
    architecture = from_arc(arc, arc)
    assert (0, 6) == to_genotype(architecture).normal.concat
    with torch.device("meta"):
        built = network(ENAS_MICRO.fix(architecture), TINY["final"])
    assert [[], ["0"], [], ["0"], []] == [list(cell.outputs) for cell in built.cells]
    assert (2, 10) == built(torch.empty(2, 3, 32, 32, device="meta"))[0].shape


def test_only_the_sampled_path_gets_gradients():
    small = enas_micro(blocks=3)
    supernet, architecture = network(small, TINY["search"]), small.sample(np.random.default_rng(0))
    torch.manual_seed(0)
    y, auxiliary = supernet(torch.randn(2, 3, 32, 32), picks_to_mixture(architecture))
    (y.sum() + auxiliary.sum()).backward()
    standalone = network(small.fix(architecture), TINY["search"])
    got = {name for name, p in supernet.named_parameters() if p.grad is not None}
    # the shared convolution at the end of a cell has weights for all of its states
    assert {name for name, _ in standalone.named_parameters()} == got


def test_the_operation_matters():
    supernet = network(enas_micro(blocks=3), TINY["search"]).eval()
    x = torch.randn(2, 3, 32, 32)
    outputs = []
    for op in range(len(OPERATIONS)):
        arc = [0, op, 1, 4] + [1, 4, 0, 4] * 2
        outputs.append(supernet(x, picks_to_mixture(from_arc(arc, arc, enas_micro(blocks=3)))))
    assert all(not torch.equal(a, b) for i, a in enumerate(outputs) for b in outputs[:i])


def test_blocks_and_sides_can_be_exchanged():
    small = enas_micro(blocks=1)
    # two inputs and five operations: ten sides, of which two are taken in any order
    assert 55**2 == len({identity(a) for a in small.enumerate()})
    arc = [0, 0, 1, 4] + [0, 1, 1, 4] + [2, 2, 3, 3] + [1, 4, 1, 4] * 2
    other = [1, 4, 0, 1] + [0, 0, 1, 4] + [2, 3, 3, 2] + [1, 4, 1, 4] * 2
    third = [1, 4, 0, 1] + [0, 0, 1, 4] + [2, 2, 3, 3] + [1, 4, 1, 4] * 2
    assert identity(from_arc(arc, arc)) == identity(from_arc(other, arc)) != identity(from_arc(third, arc))


def test_a_genotype_that_is_no_point_of_the_space_says_why():
    with pytest.raises(ValueError, match=r"concatenates the states \[2, 4\]; cells of space 'enas-micro' concatenate"):
        from_genotype(replace(FOUND, reduce=replace(FOUND.reduce, concat=(2, 4))))
    with pytest.raises(ValueError, match="has 4 blocks, cells of space 'enas-micro' have 5"):
        from_genotype(replace(FOUND, normal=replace(FOUND.normal, blocks=FOUND.normal.blocks[:4], concat=(2,))))
