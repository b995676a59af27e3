from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from morphogen.moves import mutate
from morphogen.nn import MixedDepth, MixedOp, network
from morphogen.nn.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear
from morphogen.nn.morphism import Morphed, morph
from morphogen.space import Choice, Space
from morphogen.spaces.darts import SKELETONS as DARTS_SKELETONS
from morphogen.spaces.darts import darts
from morphogen.spaces.mobilenet import MobileSkeleton, mobilenet
from morphogen.spaces.nasbench201 import NASBENCH201
from morphogen.spaces.vit import TokenSkeleton, vit

EXACT = 1e-12
IMAGE = (1, 8, 8)


@pytest.fixture(autouse=True)
def _double() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Small(nn.Module):
    """Plain and residual blocks with choices of everything that a morphism knows."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        width, kernel = space["width"], space["kernel"]
        self.stem = nn.Sequential(ElasticConv2d(1, width, kernel, bias=False), ElasticBatchNorm2d(width), nn.ReLU())
        self.blocks = MixedDepth(space["depth"], lambda i: Residual(width))
        self.plain = MixedDepth(space["plain"], lambda i: plain(width))
        operations: dict[str, Callable[[], nn.Module]] = {
            "skip": nn.Identity,
            "conv": lambda: plain(width),
            "depthwise_3": lambda: ElasticConv2d(width, width, 3, groups=width),
            "conv_5": lambda: ElasticConv2d(width, width, 5),
            "pool": lambda: nn.AvgPool2d(3, 1, padding=1),
        }
        self.operation = MixedOp(space["operation"], lambda name: operations[name]())
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), ElasticLinear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.operation(self.plain(self.blocks(self.stem(x))))
        logits: Tensor = self.head(self.pool(y).flatten(1))
        return logits


class Residual(nn.Module):
    def __init__(self, width: Choice) -> None:
        super().__init__()
        self.conv, self.norm = ElasticConv2d(width, width, 3, bias=False), ElasticBatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.conv(x)))


def plain(width: Choice) -> nn.Module:
    return nn.Sequential(ElasticConv2d(width, width, 3, bias=False), ElasticBatchNorm2d(width), nn.ReLU(inplace=True))


SMALL = Space(
    (
        Choice("width", ("4", "6", "8"), ordered=True),
        Choice("kernel", ("3", "5", "7"), ordered=True),
        Choice("depth", ("0", "1", "2"), ordered=True),
        Choice("plain", ("1", "2", "3"), ordered=True),
        Choice("operation", ("skip", "conv", "depthwise_3", "conv_5", "pool")),
    ),
    network=Small,
    name="small",
)
MOBILE = mobilenet(widths=((8, 12), (12, 16)), depths=(2, 3), kernels=(3, 5), expansions=(3, 4))
VIT = vit(widths=(16, 24), depths=(1, 2), heads=(1, 2), ratios=(2, 3))
SKELETONS = {
    "mobilenet": MobileSkeleton(IMAGE, head_channels=(24, 32)),
    "vit": TokenSkeleton(IMAGE, head_width=8),
    "darts": replace(DARTS_SKELETONS["search"], channels=4, cells=3, image=IMAGE, classes=10),
    "nasbench201": replace(NASBENCH201.skeletons["final"], channels=4, image=IMAGE, classes=10),
}


def least(space: Space) -> dict[str, str]:
    return {choice.name: choice.options[0] for choice in space}


def trained(built: nn.Module) -> nn.Module:
    """As after some training: norms that do something."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _ in range(3):
            built(torch.randn(16, *IMAGE, generator=generator))
        for p in built.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return built


def moved(space: Space, before: Mapping[str, Any], change: Mapping[str, Any]) -> tuple[Morphed, nn.Module, nn.Module]:
    torch.manual_seed(0)
    skeleton, rng = SKELETONS.get(space.name), np.random.default_rng(0)
    parent = space.complete({k: (v,) if isinstance(v, str) else v for k, v in before.items()}, rng)
    child = space.complete({**parent.picks, **{name: (option,) for name, option in change.items()}}, rng)
    old, new = (network(space.fix(a), skeleton) for a in (parent, child))
    images = torch.randn(6, *IMAGE)
    found = morph(trained(old), new, images)
    others = torch.randn(4, *IMAGE)
    old.eval(), new.eval()
    with torch.no_grad():
        difference = float((old(others) - new(others)).abs().max())
    assert (difference <= EXACT) == (found.difference <= EXACT)
    return found, old, new


EXACTLY: list[tuple[Space, dict[str, str], dict[str, str]]] = [
    (SMALL, {}, {"width": "8"}),
    (SMALL, {"depth": "2"}, {"width": "6"}),
    (SMALL, {}, {"kernel": "7"}),
    (SMALL, {}, {"depth": "2"}),
    (SMALL, {}, {"plain": "3"}),
    (SMALL, {}, {"operation": "conv"}),
    (SMALL, {}, {"operation": "conv_5"}),
    (SMALL, {}, {"operation": "depthwise_3"}),
    (SMALL, {"operation": "depthwise_3"}, {"operation": "conv_5"}),
    (SMALL, {"operation": "depthwise_3"}, {"operation": "conv_5", "width": "6"}),
    (SMALL, {}, {"width": "8", "kernel": "5", "depth": "2", "plain": "3", "operation": "conv_5"}),
    *((MOBILE, {}, {name: MOBILE[name].options[1]}) for name in least(MOBILE) if "/2/" not in name),
    (MOBILE, {}, {choice.name: choice.options[1] for choice in MOBILE}),
    *((VIT, {}, {name: VIT[name].options[1]}) for name in ("depth", "0/heads", "0/ratio")),
    (VIT, {}, {"depth": "2", "0/heads": "2", "0/ratio": "3"}),
]


@pytest.mark.parametrize(("space", "before", "change"), EXACTLY, ids=lambda x: getattr(x, "name", None) or str(x)[:60])
def test_logits_are_equal_before_training(space: Space, before: dict[str, str], change: dict[str, str]) -> None:
    found, _, new = moved(space, {**least(space), **before}, change)
    assert found.difference <= EXACT
    assert found.preserved
    assert 0 < found.inherited <= 1
    assert new.training is False


@pytest.mark.parametrize(
    ("space", "before", "change"),
    [
        (SMALL, {"width": "8"}, {"width": "4"}),
        (SMALL, {"kernel": "5"}, {"kernel": "3"}),
        (SMALL, {"depth": "2"}, {"depth": "1"}),
        (SMALL, {"operation": "pool"}, {"operation": "conv"}),
        (VIT, {}, {"width": "24"}),
    ],
)
def test_what_is_no_morphism_inherits_what_fits_and_says_so(
    space: Space, before: dict[str, str], change: dict[str, str]
) -> None:
    found, _, _ = moved(space, {**least(space), **before}, change)
    assert not found.preserved
    assert found.inherited > 0.4


def test_larger_kernels_of_cells_are_exact_and_other_operations_say_that_they_are_not() -> None:
    space = darts(nodes=2)
    parent = space.sample(np.random.default_rng(3)).json
    (edge,) = [name for name in parent if name.startswith("normal/2<-")][:1]
    kernels = [("sep_conv_3x3", "sep_conv_5x5"), ("dil_conv_3x3", "dil_conv_5x5")]
    for a, b in kernels:
        assert moved(space, {**parent, edge: a}, {edge: b})[0].difference <= EXACT
    assert not moved(space, {**parent, edge: "skip_connect"}, {edge: "sep_conv_3x3"})[0].preserved
    assert not moved(space, {**parent, edge: "sep_conv_3x3"}, {edge: "dil_conv_3x3"})[0].preserved


def test_an_edge_of_nothing_becomes_a_convolution_exactly_where_norms_have_a_scale() -> None:
    none = {choice.name: "none" for choice in NASBENCH201}
    first = next(iter(none))
    for before, after in (("none", "nor_conv_3x3"), ("none", "nor_conv_1x1"), ("nor_conv_1x1", "nor_conv_3x3")):
        assert moved(NASBENCH201, {**none, first: before}, {first: after})[0].difference <= EXACT


def test_what_is_new_learns_from_the_first_step() -> None:
    changes = {"width": "8", "kernel": "5", "depth": "2", "operation": "conv"}
    _, _, new = moved(SMALL, least(SMALL), changes)
    new.train()
    before = {name: p.detach().clone() for name, p in new.named_parameters()}
    optimizer = torch.optim.SGD(new.parameters(), 0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        optimizer.zero_grad()
        images, labels = torch.randn(16, *IMAGE, generator=generator), torch.arange(16) % 10
        nn.functional.cross_entropy(new(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    unmoved = [name for name, p in new.named_parameters() if torch.equal(p, before[name])]
    assert unmoved == []


def test_the_parent_does_not_change_and_both_keep_their_mode() -> None:
    torch.manual_seed(0)
    parent, child = (network(SMALL.fix(SMALL.architecture({**least(SMALL), "width": w}))) for w in ("4", "6"))
    before = {name: tensor.clone() for name, tensor in parent.state_dict().items()}
    child.eval()
    morph(parent, child, torch.randn(2, *IMAGE))
    assert (True, False) == (parent.training, child.training)
    assert all(torch.equal(before[name], tensor) for name, tensor in parent.state_dict().items())


@pytest.mark.parametrize("space", [SMALL, MOBILE, VIT, darts(nodes=2), NASBENCH201], ids=lambda s: s.name)
def test_any_mutation_can_inherit(space: Space) -> None:
    rng = np.random.default_rng(0)
    for _ in range(4):
        parent = space.sample(rng)
        old, new = (network(space.fix(a), SKELETONS.get(space.name)) for a in (parent, mutate(parent, rng)))
        found = morph(old, new, torch.randn(2, *IMAGE))
        assert 0 < found.inherited <= 1
        assert np.isfinite(found.difference)
