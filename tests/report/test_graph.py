import numpy as np
import pytest

from morphogen.report.graph import Edge, Graph, dot, graphs_of, groups_of, mermaid
from morphogen.space import Choice, Space
from report.invented import TRAINING, cells, pairs

HOSTILE = '"];</script><img src=x onerror=alert(1)>'


def test_picked_inputs_with_operations_are_a_cell_that_concatenates_its_nodes() -> None:
    space = cells(nodes=2, names=("normal",))
    architecture = space.architecture(
        {
            "normal/2/inputs": ["0", "1"],
            "normal/2<-0": "sep_conv_3x3",
            "normal/2<-1": "skip_connect",
            "normal/3/inputs": ["0", "2"],
            "normal/3<-0": "max_pool_3x3",
            "normal/3<-2": "sep_conv_5x5",
        }
    )
    expected = Graph(
        "normal",
        ("0", "1", "2", "3", "output"),
        (
            Edge("0", "2", "sep_conv_3x3"),
            Edge("1", "2", "skip_connect"),
            Edge("0", "3", "max_pool_3x3"),
            Edge("2", "3", "sep_conv_5x5"),
            Edge("2", "output"),
            Edge("3", "output"),
        ),
        {"0": "c(k-2)", "1": "c(k-1)"},
    )
    assert {"normal": expected} == graphs_of(architecture)


def test_pairs_of_input_and_operation_are_a_cell_that_concatenates_its_loose_ends() -> None:
    architecture = pairs(nodes=2).architecture(
        {
            **{f"normal/2/{slot}/input": "1" for slot in "ab"},
            **{f"normal/2/{slot}/op": "sep_conv_3x3" for slot in "ab"},
            **{f"normal/3/{slot}/input": "2" for slot in "ab"},
            **{f"normal/3/{slot}/op": "skip_connect" for slot in "ab"},
        }
    )
    graph = graphs_of(architecture)["normal"]
    assert [Edge("1", "2", "sep_conv_3x3")] * 2 == list(graph.edges[:2])
    assert [Edge("3", "output")] == list(graph.edges[4:])


def test_edges_alone_are_a_cell_whose_last_node_is_the_output_and_none_is_no_edge() -> None:
    operations = ("none", "skip_connect", "nor_conv_3x3")
    space = Space(tuple(Choice(f"cell/{i}<-{j}", operations) for i in range(1, 4) for j in range(i)))
    picks = {c.name: "nor_conv_3x3" for c in space} | {"cell/2<-0": "none"}
    graph = graphs_of(space.architecture(picks))["cell"]
    assert ("0", "1", "2", "3") == graph.nodes
    assert ("input", "output") == (graph.label("0"), graph.label("3"))
    assert 5 == len(graph.edges)


def test_the_nodes_that_are_concatenated_can_be_named() -> None:
    architecture = cells().sample(np.random.default_rng(0))
    graph = graphs_of(architecture, outputs={"normal": ("4", "5")})["normal"]
    assert [Edge("4", "output"), Edge("5", "output")] == [e for e in graph.edges if e.target == "output"]


def test_everything_else_is_grouped_by_its_path() -> None:
    stages = Space(
        (
            Choice("depth", ("2", "3")),
            Choice("stage1/width", ("16", "32")),
            Choice("stage1/skips", ("a", "b"), pick=(0, 2)),
        )
    )
    architecture = stages.architecture({"depth": "3", "stage1/width": "16", "stage1/skips": []})
    assert {} == graphs_of(architecture)
    assert {"": [("depth", "3")], "stage1": [("width", "16"), ("skips", "nothing")]} == groups_of(architecture)


def test_decisions_beside_a_cell_are_in_a_group_and_those_of_the_cell_are_not() -> None:
    architecture = (cells() | TRAINING).sample(np.random.default_rng(0))
    assert ["normal", "reduce"] == list(graphs_of(architecture))
    assert ["train"] == list(groups_of(architecture))


@pytest.mark.parametrize("name", ["layer/3/conv/op", "a/inputs", "a/1/input"])
def test_names_that_only_look_like_a_cell_are_shown_once(name: str) -> None:
    architecture = Space((Choice(name, ("x", "y")),)).sample(np.random.default_rng(0))
    shown = len(graphs_of(architecture)) + sum(map(len, groups_of(architecture).values()))
    assert 1 == shown


def test_names_of_a_cell_with_a_cycle_fall_back_to_groups() -> None:
    space = Space((Choice("cell/1<-2", ("conv",)), Choice("cell/2<-1", ("conv",))))
    architecture = space.sample(np.random.default_rng(0))
    assert {} == graphs_of(architecture)
    assert {"cell": [("1<-2", "conv"), ("2<-1", "conv")]} == groups_of(architecture)


def test_dot_and_mermaid_have_every_node_and_edge() -> None:
    graph = Graph("normal", ("in", "out"), (Edge("in", "out", "sep_conv_3x3"), Edge("in", "out")))
    assert '  n0 -> n1 [label="sep_conv_3x3"];\n  n0 -> n1;' in dot(graph)
    assert 'flowchart LR\n  n0(["in"])\n  n1(["out"])\n  n0 -->|"sep_conv_3x3"| n1\n  n0 --> n1\n' == mermaid(graph)


def test_dot_and_mermaid_quote_what_is_theirs() -> None:
    graph = Graph(HOSTILE, ("a", "b"), (Edge("a", "b", HOSTILE),), {"a": HOSTILE})
    assert '\\"];</script>' in dot(graph)
    assert "<img" not in mermaid(graph)
    assert 6 == mermaid(graph).count('"')


def test_an_edge_needs_its_nodes_in_order() -> None:
    with pytest.raises(ValueError, match="an end that is no node"):
        Graph("g", ("a",), (Edge("a", "b"),))
    with pytest.raises(ValueError, match="against the order"):
        Graph("g", ("a", "b"), (Edge("b", "a"),))
