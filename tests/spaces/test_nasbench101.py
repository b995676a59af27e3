from dataclasses import replace

import numpy as np
import pytest
import torch

from morphogen.moves import mutate
from morphogen.nn.network import network
from morphogen.spaces.nasbench101 import (
    NASBENCH101,
    OPERATIONS,
    SKELETONS,
    Graph,
    from_graph,
    identity,
    nasbench101,
    to_graph,
    vertex_channels,
)
from morphogen.testing import SpaceSuite
from network_laws import NetworkLaws, table

CONV3, CONV1, POOL = OPERATIONS
# of all cells, the one with the highest mean test accuracy
BEST = Graph(((0,), (0,), (2,), (3,), (0, 1, 4), (0, 5)), (CONV1, CONV3, POOL, CONV3, CONV3))


class TestSpace(SpaceSuite):
    def make(self):
        return nasbench101()


class TestNetwork(NetworkLaws):
    def make(self):
        return NASBENCH101

    def small(self, image, classes):
        return [replace(SKELETONS["final"], image=image, classes=classes, channels=8, cells=3)]


def test_it_has_as_many_architectures_as_its_choices_have_answers():
    assert 1 + 3 * 3 + 3**2 * 3 * 7 + 3**3 * 3 * 7 * 15 == nasbench101(vertices=5).size
    assert 150_292_054 == NASBENCH101.size


@pytest.mark.parametrize(("vertices", "cells"), [(2, 1), (3, 7), (4, 91), (5, 2_532)])
def test_every_small_cell_is_in_the_space(vertices, cells):
    # the numbers of unique graphs of 2 to 5 vertices: 1, 6, 84, 2,441
    assert cells == len({identity(a) for a in nasbench101(vertices).enumerate()})


def test_no_cell_has_more_than_nine_edges():
    rng = np.random.default_rng(0)
    assert all(to_graph(NASBENCH101.sample(rng)).edges <= 9 for _ in range(200))
    ring = Graph(((0,), (0, 1), (0, 1, 2), (0, 1, 2), (0, 3, 4)), (CONV3,) * 4)
    with pytest.raises(ValueError, match="outside the limits of the space: edges 12"):
        from_graph(ring)


def test_pruning_drops_what_reaches_nothing():
    loose = Graph(((0,), (1,), (0,), (1, 3)), (CONV3, CONV1, POOL))
    assert Graph(((0,), (0,), (1, 2)), (CONV3, POOL)) == loose.pruned()
    dead = Graph(((), (1,), (0,), (2, 3)), (CONV3, CONV1, POOL))
    assert Graph(((0,), (1,)), (POOL,)) == dead.pruned()
    with pytest.raises(ValueError, match="no path leads from the input"):
        Graph(((0,), ()), (CONV3,)).pruned()


def test_isomorphic_cells_have_one_hash_and_one_network():
    swapped = Graph(((0,), (0,), (1,), (3,), (0, 2, 4), (0, 5)), (CONV3, CONV1, POOL, CONV3, CONV3))
    assert identity(from_graph(BEST)) == identity(from_graph(swapped))
    assert BEST == BEST.ordered() == swapped.ordered()
    changed = Graph(BEST.sources, (CONV1, CONV3, POOL, CONV3, CONV1))
    assert identity(from_graph(BEST)) != identity(from_graph(changed))
    for seed in range(10):
        architecture = NASBENCH101.sample(np.random.default_rng(seed))
        assert identity(architecture) == identity(from_graph(to_graph(architecture)))


def test_the_matrix_of_the_benchmark_reads_and_writes():
    assert [0, 1, 1, 0, 0, 1, 1] == BEST.matrix[0]
    assert BEST == Graph.from_matrix(BEST.matrix, ["input", *BEST.ops, "output"])
    assert BEST == to_graph(from_graph(BEST))


def test_channels_are_split_as_published():
    assert (0, 128) == vertex_channels(Graph(((0,),), ()), 128)
    # three vertices share 128, and vertex 1 is as wide as the widest that reads it
    three = Graph(((0,), (1,), (1,), (0,), (2, 3, 4)), (CONV3, CONV3, CONV1, POOL))
    assert (0, 43, 43, 43, 42, 128) == vertex_channels(three, 128)
    with pytest.raises(ValueError, match="3 vertices to share 2 channels"):
        vertex_channels(three, 2)


@pytest.mark.parametrize(
    ("graph", "params"),
    [
        (Graph(((0,),), ()), 882_570),
        (BEST, 32_426_634),
    ],
    ids=["nothing", "best"],
)
def test_a_network_has_the_published_parameters(graph, params):
    assert params == _params(graph)


def _cell(known, row):
    count, bits, code = (int(known[name][row]) for name in ("n_vertices", "adj_bits", "op_code"))
    sources = tuple(tuple(x for x in range(y) if bits >> (x + y * (y - 1) // 2) & 1) for y in range(1, count))
    return Graph(sources, tuple(OPERATIONS[code // 3**k % 3] for k in range(count - 2)))


def _hashes(known):
    hashes = np.cumsum(known["hash48_delta"], dtype=np.uint64)
    assert 423_624 == len(set(hashes.tolist()))
    return hashes


def test_cells_of_the_table_have_its_hash_order_and_parameters():
    known = table("nasbench101")
    hashes = _hashes(known)
    for n, row in enumerate(np.random.default_rng(0).integers(0, len(hashes), 100)):
        graph = _cell(known, row)
        assert graph == graph.ordered()
        assert int(hashes[row]) == int(identity(from_graph(graph))[:12], 16)
        if n < 5:
            assert known["params"][row] == _params(graph)


@pytest.mark.slow
def test_identities_are_the_423624_of_the_table():
    # every 20th; `benchmarks/spaces.py --table` looks at all of them
    known = table("nasbench101")
    known, hashes = {name: known[name] for name in known.files}, _hashes(known)
    rows = range(7, len(hashes), 20)
    assert [int(hashes[row]) for row in rows] == [int(identity(from_graph(_cell(known, row)))[:12], 16) for row in rows]
    # and what is drawn or is one decision away is in the table
    rng, there = np.random.default_rng(0), set(hashes.tolist())
    for _ in range(1000):
        drawn = NASBENCH101.sample(rng)
        assert {
            int(identity(a)[:12], 16) for a in (drawn, mutate(drawn, rng), NASBENCH101.sample_uniform(rng))
        } <= there


def test_a_supernet_is_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"share no weights, and choice 'vertices' is open \(6 options\)"):
        network(NASBENCH101, SKELETONS["final"])


def _params(graph):
    with torch.device("meta"):
        built = network(NASBENCH101.fix(from_graph(graph)), SKELETONS["final"])
    return sum(p.numel() for p in built.parameters())
