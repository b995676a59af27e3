import numpy as np
import pytest

from morphogen.estimators.toy import toy_space
from morphogen.predictors import encodings
from morphogen.predictors.encodings import (
    Adjacency,
    Counts,
    OneHot,
    Paths,
    WeisfeilerLehman,
    graph,
    live,
    matrix,
    vocabulary,
)
from morphogen.predictors.graphs import Edge, cell_views
from morphogen.predictors.layout import layout
from morphogen.space import Architecture, Choice, Space, When

OPERATIONS = ("none", "skip_connect", "conv", "pool")
EDGES = Space(tuple(Choice(f"{v}<-{u}", OPERATIONS) for v in range(1, 4) for u in range(v)))


def edges(**operations: str) -> Architecture:
    """`e30="conv"` sets the edge from 0 to 3; the others are `none`."""
    picks = {c.name: "none" for c in EDGES}
    return EDGES.architecture(picks | {f"{e[1]}<-{e[2]}": o for e, o in operations.items()})


NODES = Space(
    tuple(
        c
        for v in range(1, 4)
        for c in (
            Choice(f"{v}/inputs", tuple(str(u) for u in range(v)), pick=(0, v)),
            *((Choice(f"{v}/op", ("conv", "pool")),) if v < 3 else ()),
        )
    )
)
DARTS = Space(
    tuple(
        c
        for v in range(2, 4)
        for c in (
            Choice(f"normal/{v}/inputs", tuple(str(u) for u in range(v)), pick=2),
            *(
                Choice(f"normal/{v}<-{u}", ("conv", "pool"), when=When(f"normal/{v}/inputs", (str(u),)))
                for u in range(v)
            ),
        )
    )
)
PAIRS = Space(
    tuple(
        c
        for v in ("2", "3")
        for slot in "ab"
        for c in (
            Choice(f"normal/{v}/{slot}/input", tuple(str(u) for u in range(int(v)))),
            Choice(f"normal/{v}/{slot}/op", ("conv", "identity")),
        )
    )
)


def bag(encoding: encodings.OneHot | Paths, *architectures: Architecture) -> list[list[float]]:
    words = encoding(architectures)
    return sorted(matrix(words, vocabulary(words)).T.tolist())


def test_edges_without_an_effect_are_not_in_the_graph() -> None:
    found = graph(edges(e30="conv", e10="conv", e32="pool"))  # 1 leads nowhere, nothing leads to 2
    assert found is not None
    assert (Edge("0", "3", "conv"),) == found.edges
    assert (("0",), ("3",)) == (found.inputs, found.outputs)


def test_decisions_without_an_effect_are_switched_off() -> None:
    useless, plain = edges(e30="conv", e10="conv", e32="pool"), edges(e30="conv")
    states = live(EDGES, layout(EDGES).read([useless, plain]))
    assert states[0].tolist() == states[1].tolist()


def test_nodes_of_which_nothing_is_used_lose_their_operation() -> None:
    picks = {"1/inputs": ["0"], "1/op": "conv", "2/inputs": [], "2/op": "pool", "3/inputs": ["1", "2"]}
    found = graph(NODES.architecture(picks))
    assert found is not None
    assert (Edge("0", "1"), Edge("1", "3")) == found.edges
    assert {"1": "conv"} == found.operations
    states = live(NODES, layout(NODES).read([NODES.architecture(picks), NODES.architecture({**picks, "2/op": "conv"})]))
    assert states[0].tolist() == states[1].tolist()


def test_all_nodes_are_outputs_where_each_takes_a_fixed_number_of_inputs() -> None:
    architecture = DARTS.sample(np.random.default_rng(0))
    found = graph(architecture)
    assert found is not None
    assert ("normal/0", "normal/1") == found.inputs
    assert ("normal/2", "normal/3") == found.outputs
    assert 4 == len(found.edges)
    assert {o for n, o in architecture.items() if "<-" in n} == {e.operation for e in found.edges}


def test_a_pair_may_take_the_same_input_twice() -> None:
    picks = {
        f"normal/{v}/{s}/{w}": "0" if w == "input" else "conv" for v in "23" for s in "ab" for w in ("input", "op")
    }
    found = graph(PAIRS.architecture(picks))
    assert found is not None
    assert [Edge("normal/0", "normal/2", "conv")] * 2 + [Edge("normal/0", "normal/3", "conv")] * 2 == list(found.edges)


def test_names_that_spell_no_cell_have_no_graph() -> None:
    space = toy_space()
    assert graph(space.sample(np.random.default_rng(0))) is None
    for encoding in (Paths, Adjacency, WeisfeilerLehman):
        with pytest.raises(ValueError, match="use OneHot"):
            encoding(space)


def test_edges_in_a_circle_are_no_cell() -> None:
    assert () == cell_views(Space((Choice("1<-2", ("a", "b")), Choice("2<-1", ("a", "b")))))


def test_paths_are_counted_and_identities_skipped() -> None:
    direct, around = edges(e30="conv"), edges(e10="skip_connect", e31="conv")
    both = edges(e30="conv", e10="skip_connect", e31="conv")
    assert [[1.0, 1.0, 2.0]] == bag(Paths(EDGES), direct, around, both)


def test_paths_are_the_same_for_node_and_edge_idioms_up_to_names() -> None:
    picks = {"1/inputs": ["0"], "1/op": "conv", "2/inputs": ["0", "1"], "2/op": "pool", "3/inputs": ["2"]}
    assert [[1.0], [1.0]] == bag(Paths(NODES), NODES.architecture(picks))  # 0-1-2-3 and 0-2-3


def test_isomorphic_cells_have_equal_paths_and_weisfeiler_lehman_labels() -> None:
    a, b = edges(e10="conv", e31="pool", e20="pool", e32="conv"), edges(e20="conv", e32="pool", e10="pool", e31="conv")
    for encoding in (Paths(EDGES), WeisfeilerLehman(EDGES)):
        words = np.sort(encoding([a, b]), axis=1)
        assert words[0].tolist() == words[1].tolist()


def test_weisfeiler_lehman_sees_the_surroundings_that_labels_do_not() -> None:
    a, b = edges(e10="conv", e31="pool", e30="conv"), edges(e10="pool", e31="conv", e30="conv")
    near, far = WeisfeilerLehman(EDGES, steps=0)([a, b]), WeisfeilerLehman(EDGES, steps=1)([a, b])
    assert np.sort(near, axis=1)[0].tolist() == np.sort(near, axis=1)[1].tolist()
    assert np.sort(far, axis=1)[0].tolist() != np.sort(far, axis=1)[1].tolist()


def test_adjacency_has_an_edge_and_its_operation() -> None:
    words = Adjacency(EDGES)([edges(e30="conv"), edges(e30="pool")])
    assert [2, 2] == (words != 0).sum(1).tolist()
    assert 1 == len(set(words[0]) & set(words[1]) - {0})


def test_one_hot_tells_all_architectures_apart_and_counts_do_not_see_where() -> None:
    space = Space((Choice("a", ("x", "y")), Choice("b", ("x", "y")), Choice("s", ("u", "v"), pick=(0, 2))))
    every = list(space.enumerate())
    assert len(every) == len({tuple(row) for row in OneHot(space)(every)})
    swapped = [space.architecture({"a": "x", "b": "y", "s": []}), space.architecture({"a": "y", "b": "x", "s": []})]
    assert [[1.0, 1.0], [1.0, 1.0]] == bag(Counts(space), *swapped)


def test_words_outside_the_vocabulary_are_not_counted() -> None:
    words = np.array([[5, 5, 0], [7, 9, 0]], np.uint64)
    assert [[2.0, 0.0], [0.0, 1.0]] == matrix(words, np.array([5, 9], np.uint64)).tolist()
    assert (2, 0) == matrix(words, np.zeros(0, np.uint64)).shape
