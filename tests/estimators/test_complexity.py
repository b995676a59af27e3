"""Complexity without training."""

import re

import pytest
from torch import Tensor, nn

from morphogen.estimators import Complexity
from morphogen.nn.mixed import MixedOp
from morphogen.protocols import Context
from morphogen.space import Choice, Space
from morphogen.spaces.skeleton import Skeleton
from morphogen.trial import Proposal


class Network(nn.Module):
    """One convolution of kernel size 1 or 3, and a head."""

    def __init__(self, space: Space, skeleton: Skeleton) -> None:
        super().__init__()
        c = skeleton.image[0]
        self.conv = MixedOp(space["kernel"], lambda k: nn.Conv2d(c, 4, int(k), padding=int(k) // 2, bias=False))
        self.head = nn.Linear(4, skeleton.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).mean((2, 3)))  # type: ignore[no-any-return]


SPACE = Space((Choice("kernel", ("1", "3")),), network=Network, name="tiny")


def proposal(kernel: str) -> Proposal:
    return Proposal(SPACE.architecture({"kernel": kernel}))


def test_parameters_and_multiply_adds_are_counted_exactly() -> None:
    judge = Complexity(SPACE, Skeleton(image=(2, 6, 5), classes=3))
    assert judge(proposal("3"), Context(seed=0)).metrics == {"params": 2 * 4 * 9 + 15, "macs": 2 * 4 * 9 * 30 + 12}
    assert judge(proposal("1"), Context(seed=0)).metrics == {"params": 2 * 4 + 15, "macs": 2 * 4 * 30 + 12}
    assert (1.0, frozenset()) == (judge.cost(proposal("1")), judge.measured)


def test_the_skeleton_is_a_preset_by_name_or_the_one_for_search() -> None:
    presets = {"final": Skeleton(classes=9), "search": Skeleton(classes=7)}
    space = Space(SPACE.choices, network=Network, skeletons=presets, name="tiny")
    assert presets["search"] == Complexity(space).skeleton
    assert presets["final"] == Complexity(space, "final").skeleton
    assert Skeleton() == Complexity(SPACE).skeleton
    with pytest.raises(ValueError, match=re.escape("space 'tiny' has no skeleton preset 'huge'; it has final, search")):
        Complexity(space, "huge")


def test_a_whole_space_has_no_complexity() -> None:
    with pytest.raises(ValueError, match="an architecture is needed"):
        Complexity(SPACE)(Proposal(None), Context(seed=0))


def test_a_network_that_needs_more_memory_than_there_is_can_be_priced() -> None:
    space = Space((Choice("width", ("4", "10000000")),), network=Wide)
    architecture = space.architecture({"width": "10000000"})
    assert Complexity(space)(Proposal(architecture), Context(seed=0)).metrics["params"] > 1e14


class Wide(nn.Module):
    """A network of any width."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.op = MixedOp(space["width"], lambda w: Square(int(w)))

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x.mean((1, 2, 3))[:, None])  # type: ignore[no-any-return]


class Square(nn.Module):
    """Weights of the square of a width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(1, width), nn.Linear(width, width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(x)))  # type: ignore[no-any-return]
