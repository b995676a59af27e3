import pytest
import torch
from torch import nn

from morphogen.nn.drop_path import DropPath, advance


def test_images_are_dropped_whole_and_the_mean_stays():
    torch.manual_seed(0)
    drop = nn.Sequential(DropPath(0.4))
    advance(drop, 0.5)
    y = drop(torch.ones(10000, 2, 1, 1)).flatten(1)
    assert torch.equal(y[:, 0], y[:, 1])
    assert [0.0, pytest.approx(1.25)] == sorted(set(y[:, 0].tolist()))
    assert pytest.approx(1.0, abs=0.02) == y.mean().item()


def test_nothing_is_dropped_at_the_start_or_in_evaluation():
    drop, x = nn.Sequential(DropPath(0.5)), torch.randn(8, 2, 1, 1)
    assert drop(x) is x
    advance(drop, 1.0)
    assert drop.eval()(x) is x
