from collections.abc import Iterator

import numpy as np
import pytest

from morphogen.predictors.encodings import Paths
from morphogen.predictors.graphs import Graph, cell_views, graph
from morphogen.predictors.words import mix, word
from morphogen.space import Choice, Space
from morphogen.spaces import space


def walked(found: Graph, cell: str) -> Iterator[int]:
    """The word of every path of a cell, one step after the other."""

    def onward(node: str, sequence: np.ndarray, steps: int) -> Iterator[int]:
        if steps and node in found.outputs:
            yield int(sequence[0])
        for edge in found.edges:
            if edge.source == node:
                after = sequence
                for operation in (edge.operation, found.operations.get(edge.target, "")):
                    if operation not in ("", "skip_connect", "identity"):
                        after = mix(after + np.uint64(word(operation)))
                yield from onward(edge.target, after, steps + 1)

    for node in found.inputs:
        if node.rpartition("/")[0] == cell:
            yield from onward(node, np.array([word(cell)], np.uint64), 0)


@pytest.mark.parametrize("name", ["nasnet", "darts", "nasbench201", "nasbench101"])
def test_the_paths_are_those_that_walking_the_graph_finds(name: str) -> None:
    some, rng = space(name), np.random.default_rng(0)
    for _ in range(5):
        architecture = some.sample(rng)
        found = graph(architecture)
        assert found is not None
        expected = [w for view in cell_views(some) for w in walked(found, view.name)]
        words = Paths(some)([architecture])
        assert sorted(expected) == sorted(words[words != 0].tolist())


@pytest.mark.parametrize("names", [("{}/2/inputs", "{}/2/op"), ("{}/2/a/input", "{}/2/a/op")], ids=["nodes", "pairs"])
def test_a_cell_may_have_a_path_for_a_name(names: tuple[str, str]) -> None:
    for cell in ("normal", "stage1/normal"):
        inputs, operation = (name.format(cell) for name in names)
        views = cell_views(Space((Choice(inputs, ("0", "1")), Choice(operation, ("conv", "pool")))))
        assert [(cell, ("0", "1", "2"))] == [(view.name, view.nodes) for view in views]


def test_an_operation_without_an_input_is_no_cell() -> None:
    assert () == cell_views(Space((Choice("layer/3/conv/op", ("a", "b")), Choice("4/op", ("a", "b")))))
