from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from morphogen.nn.network import network
from morphogen.spaces.darts import DARTS


class Block(nn.Module):
    def __init__(self, c_in: int, c_out: int, kernel_size: int = 3, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel_size, padding=kernel_size // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


def test_equal_classes_are_written_once_with_what_differs_as_parameters(rebuild: Callable) -> None:
    text = rebuild(nn.Sequential(Block(3, 8), Block(8, 8), Block(8, 16), nn.Flatten())).text
    assert 2 == text.count("class ")
    assert "def __init__(self, in_channels, out_channels):" in text
    assert "self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)" in text
    assert "super().__init__(Block(3, 8), Block(8, 8), Block(8, 16), nn.Flatten())" in text


def test_numbers_that_always_agree_share_a_parameter(rebuild: Callable) -> None:
    text = rebuild(nn.Sequential(Block(3, 3, 3, 3), Block(3, 9, 3, 3), Block(9, 9, 3, 9), nn.Flatten())).text
    assert "in_channels, out_channels, 3, padding=1, groups=in_channels, bias=False" in text
    assert "nn.BatchNorm2d(out_channels)" in text


def test_a_class_that_differs_in_more_than_numbers_is_numbered(rebuild: Callable) -> None:
    class Other(nn.Module):
        def __init__(self, twice: bool) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.twice = twice

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.conv(x)
            return y * 2 if self.twice else y

    text = rebuild(nn.Sequential(Other(False), Other(True), Other(False), nn.Flatten())).text
    assert "class Other(nn.Module):" in text
    assert "class Other2(nn.Module):" in text
    assert "super().__init__(Other(), Other2(), Other(), nn.Flatten())" in text


def test_true_and_one_are_different_constants(rebuild: Callable) -> None:
    def pair(stride: int, ceil: bool) -> nn.Module:
        return nn.Sequential(nn.MaxPool2d(3, stride, ceil_mode=ceil), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.ReLU())

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = pair(1, True), pair(2, False)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x).mean((2, 3)) + self.b(x).mean((2, 3))

    rebuild(Both())


def test_a_class_with_too_many_parameters_is_written_apart(rebuild: Callable) -> None:
    class Many(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            sizes = [3, *np.random.default_rng(seed).integers(1, 64, 9), 3]
            self.layers = nn.ModuleList(nn.Conv2d(int(a), int(b), 1) for a, b in pairwise(sizes))

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x)
            return x

    text = rebuild(nn.Sequential(Many(0), Many(1), Many(0), nn.Flatten())).text
    assert "super().__init__(Many(), Many2(), Many(), nn.Flatten())" in text


def test_a_long_sequence_that_repeats_becomes_a_class_named_after_its_place(rebuild: Callable) -> None:
    def op(c: int) -> nn.Module:
        return nn.Sequential(
            nn.ReLU(), nn.Conv2d(3, c, 3, padding=1, bias=False), nn.BatchNorm2d(c), nn.Conv2d(c, 3, 1)
        )

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sep_conv_3x3 = nn.ModuleList([op(4), op(8)])

        def forward(self, x: Tensor) -> Tensor:
            return (self.sep_conv_3x3[0](x) + self.sep_conv_3x3[1](x)).flatten(1)

    text = rebuild(Two()).text
    assert "class SepConv3x3(nn.Sequential):" in text
    assert "nn.ModuleList([SepConv3x3(4), SepConv3x3(8)])" in text


def test_hostile_names_stay_names(rebuild: Callable) -> None:
    evil = '"""\nimport os\nexec("1/0")'
    kind = type(evil, (nn.Module,), {"forward": lambda self, x: self._modules[evil](x).flatten(1)})
    inner = kind()
    inner.add_module(evil, nn.Conv2d(3, 3, 1))
    outer = kind()
    outer.add_module(evil, nn.Sequential(nn.Conv2d(3, 3, 1), inner))
    text = rebuild(outer).text
    assert "import os" not in text
    assert "1/0" not in text


@pytest.mark.parametrize("seed", range(2))
def test_a_final_darts_network_of_20_cells_is_under_500_lines(rebuild: Callable, seed: int) -> None:
    architecture = DARTS.sample(np.random.default_rng(seed))
    skeleton = replace(DARTS.skeletons["final"], channels=8)
    standalone = network(DARTS.fix(architecture), skeleton)
    written = rebuild(standalone, skeleton.image)
    lines = written.text.splitlines()
    assert len(lines) < 300
    assert max(map(len, lines)) <= 100
    assert "uxiliary" not in written.text
    assert "DropPath" not in written.text
    written.model.train()(torch.randn(2, *skeleton.image)).sum().backward()
    assert all(p.grad is not None for p in written.model.parameters())


def test_the_search_network_of_one_architecture_is_written_too(rebuild: Callable) -> None:
    architecture = DARTS.sample(np.random.default_rng(2))
    skeleton = replace(DARTS.skeletons["search"], channels=4, cells=5, image=(1, 9, 9))
    text = rebuild(network(DARTS.fix(architecture), skeleton), skeleton.image).text
    assert "affine=False" in text
