from dataclasses import replace

import pytest
import torch

from morphogen.nn.drop_path import DropPath
from morphogen.spaces import DARTS
from morphogen.spaces.darts import SKELETONS, from_genotype, network
from morphogen.spaces.darts_genotype import Network, genotype_network
from morphogen.spaces.published import GENOTYPES

TINY = replace(SKELETONS["final"], image=(1, 7, 9), classes=3, channels=4, cells=3)


def test_a_point_of_the_space_has_the_network_of_the_space():
    expected = network(DARTS.fix(from_genotype(GENOTYPES["darts-v2"])), TINY)
    built = genotype_network(GENOTYPES["darts-v2"], TINY)
    built.load_state_dict(expected.state_dict())
    x = torch.randn(2, 1, 7, 9)
    assert torch.equal(expected.eval()(x), built.eval()(x))


def test_both_networks_compute_the_same():
    torch.manual_seed(0)
    genotype = GENOTYPES["darts-v1"]
    space_network = genotype_network(genotype, TINY)
    other = Network(genotype, TINY)
    # the same tensors under other names, and within a block in another order: by rising input
    assert sum(p.numel() for p in space_network.parameters()) == sum(p.numel() for p in other.parameters())
    assert [tuple(p.shape) for p in space_network.auxiliary.parameters()] == [
        tuple(p.shape) for p in other.auxiliary.parameters()
    ]
    for ours, theirs in zip(space_network.cells, other.cells, strict=True):
        theirs.preprocess0.load_state_dict(ours.preprocess0.state_dict())
        theirs.preprocess1.load_state_dict(ours.preprocess1.state_dict())
        for i, node in enumerate(ours.nodes):
            for (_, state), op in zip(theirs.pairs[2 * i : 2 * i + 2], theirs.ops[2 * i : 2 * i + 2], strict=True):
                (edge,) = node.edges[str(state)].ops.values()
                op.load_state_dict(edge.state_dict())
    for name in ("stem", "classifier"):
        getattr(other, name).load_state_dict(getattr(space_network, name).state_dict())
    x = torch.randn(2, 1, 7, 9)
    torch.testing.assert_close(space_network.eval()(x), other.eval()(x))


def test_paths_drop_as_in_the_network_of_the_space():
    genotype = GENOTYPES["darts-v1"]
    for built in (genotype_network(genotype, TINY), Network(genotype, TINY)):
        assert [5, 5, 5] == [sum(isinstance(m, DropPath) for m in cell.modules()) for cell in built.cells]


def test_a_cell_that_concatenates_an_input_is_refused():
    with pytest.raises(ValueError, match=r"concatenates the states \[0, 2, 3, 4, 5, 6\]; networks of DARTS concat"):
        genotype_network(GENOTYPES["nasnet-a"], TINY)
