from itertools import combinations

import numpy as np
import pytest

from morphogen.report.graph import Edge, Graph, graphs_of
from morphogen.report.layout import Box, Layout, Line, layered
from morphogen.space import Space
from report.invented import cells, pairs

SLACK = 1e-6  # of floating point


def graphs(space: Space, seeds: int = 12) -> list[Graph]:
    return [g for s in range(seeds) for g in graphs_of(space.sample(np.random.default_rng(s))).values()]


def overlap(a: Box, b: Box) -> bool:
    return abs(a.x - b.x) < (a.width + b.width) / 2 and abs(a.y - b.y) < (a.height + b.height) / 2


def touches(line: Line, box: Box) -> bool:
    """Whether a line passes a box that is at neither of its ends: along its straight parts, or in its bend."""
    left, right = box.x - box.width / 2, box.x + box.width / 2
    ends = (
        abs(line.x1 - right) < SLACK and abs(line.y1 - box.y) < SLACK,
        abs(line.x2 - left) < SLACK and abs(line.y2 - box.y) < SLACK,
    )
    if any(ends):
        return False
    left, right = left + SLACK, right - SLACK
    if left < line.bend2 and right > line.bend1:
        return True
    spans = (line.x1, line.bend1, line.y1), (line.bend2, line.x2, line.y2)
    return any(left < x2 and right > x1 and abs(y - box.y) < box.height / 2 for x1, x2, y in spans)


@pytest.mark.parametrize(
    "space", [cells(4), cells(7), pairs(5), pairs(7)], ids=["edges4", "edges7", "pairs5", "pairs7"]
)
def test_no_box_overlaps_another_and_no_line_passes_a_box(space: Space) -> None:
    for graph in graphs(space):
        layout = layered(graph)
        assert [] == [(a, b) for a, b in combinations(layout.boxes, 2) if overlap(a, b)]
        assert [] == [(line, box) for line in layout.lines for box in layout.boxes if touches(line, box)]


def test_everything_is_inside_the_picture_and_flows_to_the_right() -> None:
    for graph in graphs(cells(7)):
        layout = layered(graph)
        for box in layout.boxes:
            assert -SLACK <= box.x - box.width / 2
            assert box.x + box.width / 2 <= layout.width + SLACK
            assert -SLACK <= box.y - box.height / 2
            assert box.y + box.height / 2 <= layout.height + SLACK
        assert all(line.x1 - SLACK < line.bend1 < line.bend2 < line.x2 + SLACK for line in layout.lines)


def test_every_node_and_every_labeled_edge_has_a_box() -> None:
    graph = Graph("g", ("a", "b"), (Edge("a", "b", "x"), Edge("a", "b", "x"), Edge("a", "b")))
    assert ["a", "b", "x", "x"] == [box.label for box in layered(graph).boxes]


def test_the_same_graph_is_always_laid_out_the_same() -> None:
    (graph, *_) = graphs(cells())
    assert layered(graph) == layered(graph)


def test_a_cell_whose_second_node_reads_the_first_is_drawn_without_crossings() -> None:
    graph = Graph("g", ("a", "b", "c"), (Edge("a", "b", "x"), Edge("b", "c", "y"), Edge("a", "c")))
    lines = layered(graph).lines
    crossed = [(p, q) for p, q in combinations(lines, 2) if p.bend1 == q.bend1 and (p.y1 - q.y1) * (p.y2 - q.y2) < 0]
    assert [] == crossed


def test_no_nodes_give_an_empty_picture() -> None:
    empty = layered(Graph("g", (), ()))
    assert Layout((), (), empty.width, empty.height) == empty
