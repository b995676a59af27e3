from dataclasses import replace

import pytest

from morphogen.spaces.skeleton import Skeleton


@pytest.mark.parametrize(("cells", "expected"), [(8, (2, 5)), (14, (4, 9)), (20, (6, 13)), (3, (1, 2))])
def test_reductions_are_at_a_third_and_two_thirds(cells, expected):
    assert expected == Skeleton(cells=cells).reduction_cells


def test_reductions_can_be_anywhere():
    assert () == Skeleton(cells=4, reductions=()).reduction_cells
    assert (3,) == Skeleton(cells=4, reductions=(3,)).reduction_cells


def test_a_preset_is_adapted_to_data_by_replace():
    assert Skeleton(image=(1, 8, 8), classes=3) == replace(Skeleton(), image=[1, 8, 8], classes=3)


def test_repeats_are_the_papers_n_or_else_the_number_of_cells():
    assert 5 == Skeleton(cells=20).repeated(5).cells
    assert 15 == Skeleton(cells=18, cells_per_repeat=3).repeated(5).cells
    with pytest.raises(ValueError, match="a network has 1 repeat or more, got 0"):
        Skeleton().repeated(0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image": (3, 0, 8)}, r"image=\(3, 0, 8\) is not \(channels, height, width\)"),
        ({"cells": 0}, "a skeleton has cells of 1 or more, got 0"),
        ({"cells": 4, "reductions": (4,)}, "there is no cell 4 to reduce at: the cells are 0 to 3"),
        ({"stem": "mnist"}, "stem is 'cifar' or 'imagenet', got 'mnist'"),
        ({"drop_path": 1.0}, "drop_path is a probability below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout is a probability below 1, got -0.1"),
        ({"norm_eps": 0.0}, "got norm_eps=0.0, norm_momentum=0.1"),
        ({"cells_per_repeat": 0}, "a skeleton has cells_per_repeat of 1 or more, got 0"),
    ],
)
def test_what_cannot_be_built_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Skeleton(**wrong)
