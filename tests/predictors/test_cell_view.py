import numpy as np

from morphogen.predictors.cell_view import Ends, PathTree
from morphogen.predictors.encodings import live
from morphogen.predictors.graphs import cell_views
from morphogen.predictors.layout import layout
from morphogen.space import Choice, Space


def test_links_are_joined_at_what_they_are_attached_to() -> None:
    ends = Ends([3, 1, 3])
    values = np.array([[1, 10], [2, 20], [4, 40]], np.uint64)
    assert [[0, 0], [2, 20], [0, 0], [5, 50]] == ends.join(np.add, values, 4).tolist()
    assert [(1, [1]), (3, [0, 2])] == [(at, links.tolist()) for at, links in ends.links]


def test_the_beginnings_of_paths_are_walked_once() -> None:
    tree = PathTree([(0,), (0, 1), (0, 2, 3), (4, 3)])
    assert 4 == tree.count
    assert [[0, 4], [1, 2, 3], [3]] == [links.tolist() for _, links, _, _ in tree.steps]
    assert [[0, 0], [0, 0, 1], [1]] == [before.tolist() for before, _, _, _ in tree.steps]
    assert [[0], [1, 3], [2]] == [numbers.tolist() for _, _, _, numbers in tree.steps]


def test_a_link_that_no_architecture_picks_is_never_present() -> None:
    inputs = Choice("2/inputs", ("0", "1"), pick=(0, 1), mixed_only=("0",))
    space = Space((inputs, Choice("2/op", ("conv", "pool"))))
    states = layout(space).read(list(space.enumerate()))
    (view,) = cell_views(space)
    present = view.present(states)
    assert not present[0].any()
    assert [2, 2] == [int(here.sum()) for here in (present[1], ~present[1])]
    assert [[1, 0], [2, 1], [2, 2]] == np.unique(live(space, states), axis=0).tolist()
