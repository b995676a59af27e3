"""Strided 1x1 convolutions are the same where torch's own are not safe."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from morphogen.choice import Choice
from morphogen.nn.complexity import complexity
from morphogen.nn.elastic import ElasticConv2d
from morphogen.nn.pointwise import SAFE_CHANNELS, StridedPointwise, conv2d, pointwise


@pytest.mark.parametrize("stride", [1, 2, 3, (1, 2), (2, 1)])
@pytest.mark.parametrize("size", [(6, 6), (7, 5)])
def test_values_and_gradients_are_those_of_the_convolution(stride, size):
    torch.manual_seed(0)
    for channels, groups in ((2, 1), (4, 2), (4, 4), (9, 1)):
        ours = conv2d(channels, 4, 1, stride, groups=groups).double()
        theirs = nn.Conv2d(channels, 4, 1, stride, groups=groups).double()
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(2, channels, *size, dtype=torch.float64, requires_grad=True)
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(pointwise(x, ours.weight, ours.bias, stride, groups), expected, rtol=0, atol=1e-12)
        weights = torch.randn_like(expected)
        found = [torch.autograd.grad((m(x) * weights).sum(), [x, *m.parameters()]) for m in (ours, theirs)]
        torch.testing.assert_close(*found, rtol=0, atol=1e-12)


def test_only_what_is_not_safe_is_replaced():
    assert StridedPointwise is type(conv2d(SAFE_CHANNELS - 1, 4, 1, 2))
    assert StridedPointwise is type(conv2d(3, 4, (1, 1), (1, 3)))
    for safe in (
        conv2d(SAFE_CHANNELS, 4, 1, 2),
        conv2d(3, 4, 1),
        conv2d(3, 4, 3, 2, padding=1),
        conv2d(3, 4, (1, 3), 2),
        conv2d(3, 4, 1, 2, padding=1),
    ):
        assert nn.Conv2d is type(safe)


def test_keys_and_counts_are_those_of_the_convolution():
    ours, theirs = conv2d(3, 5, 1, 2, bias=True), nn.Conv2d(3, 5, 1, 2)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    assert complexity(theirs, (3, 7, 7)) == complexity(ours, (3, 7, 7))
    assert 3 * 5 * 16 == complexity(ours, (3, 7, 7)).macs


def test_an_elastic_convolution_is_safe_where_its_kernel_is_one():
    layer = ElasticConv2d(3, 4, Choice("kernel", ("1", "3")), stride=2).double()
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    expected = F.conv2d(x, layer.weight[:, :, 1:2, 1:2], layer.bias, stride=2)
    torch.testing.assert_close(layer(x, {"kernel": {"1": None}}), expected, rtol=0, atol=1e-12)


EVERY_SPACE = """
import sys
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from morphogen.nn.network import network
from morphogen.spaces import SPACES, space
from morphogen.spaces.nas_rl import nas_rl

torch.set_num_threads(1)
spaces = {name: space(name) for name in SPACES} | {"nas-rl with strides": nas_rl(4, strides=True)}
for name, some in spaces.items():
    skeleton = replace(some.skeletons["search"], image=(3, 9, 9), classes=3)
    for change in ({"channels": 4}, {"cells": 3}, {"stem_channels": 4, "head_channels": (8, 8)}, {"patch": 3}):
        if set(change) <= set(skeleton.__dataclass_fields__) and not (name == "enas-macro" and "cells" in change):
            skeleton = replace(skeleton, **change)
    for seed in range(3):
        torch.manual_seed(seed)
        built = network(some.fix(some.sample(np.random.default_rng(seed))), skeleton)
        few = [m for m in built.modules() if type(m) is nn.Conv2d and max(m.stride) > 1 and m.kernel_size == (1, 1)]
        assert all(m.in_channels >= 8 for m in few), name
        built.to(memory_format=torch.channels_last)
        x = torch.randn(16, 3, 9, 9).contiguous(memory_format=torch.channels_last)
        logits = built(x)
        (logits[0] if isinstance(logits, tuple) else logits).square().sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in built.parameters()), name
    print(name)
"""


def test_a_network_of_every_space_with_few_channels_trains_a_step_in_channels_last():
    # in a process of its own: what goes wrong takes the whole of it along
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EVERY_SPACE],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
