from xml.etree import ElementTree

import numpy as np

from morphogen.report.draw import PALETTE, colors_of, svg
from morphogen.report.graph import Edge, Graph, graphs_of
from report.invented import cells

SVG = "{http://www.w3.org/2000/svg}"


def test_a_cell_is_well_formed_and_has_all_its_labels() -> None:
    graph = graphs_of(cells().sample(np.random.default_rng(0)))["normal"]
    drawn = [text.text for text in ElementTree.fromstring(svg(graph)).iter(f"{SVG}text")]
    assert sorted([*map(graph.label, graph.nodes), *(e.label for e in graph.edges if e.label)]) == sorted(
        map(str, drawn)
    )


def test_labels_are_escaped() -> None:
    hostile = "</script><img src=x onerror=\"alert('1')\">&"
    drawn = svg(Graph(hostile, ("a", "b"), (Edge("a", "b", hostile),), {"a": hostile}))
    texts = [text.text for text in ElementTree.fromstring(drawn).iter(f"{SVG}text")]
    assert 2 == texts.count(hostile)
    assert "<img" not in drawn


def test_colors_from_a_caller_are_escaped_too() -> None:
    drawn = svg(Graph("g", ("a", "b"), (Edge("a", "b", "x"),)), {"x": '"><script>'})
    assert "<script" not in drawn


def test_published_operations_have_the_same_color_everywhere_and_others_are_distinct() -> None:
    colors = colors_of(["mine", "sep_conv_3x3", "yours", "skip_connect"])
    assert colors["sep_conv_3x3"] == colors_of(["sep_conv_3x3"])["sep_conv_3x3"]
    assert 4 == len(set(colors.values()))
    assert set(colors.values()) <= set(PALETTE)
    assert 40 == len(colors_of(map(str, range(40))))
