"""Recalibration of batch norm."""

import pytest
import torch
from torch import nn

from morphogen.choice import Choice
from morphogen.nn.elastic import ElasticBatchNorm2d
from morphogen.nn.mixture import bind
from morphogen.training.batchnorm import recalibrate


def test_statistics_become_the_averages_over_the_batches() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2, momentum=0.3), nn.Dropout(0.5))
    batches = [torch.randn(8, 2, 4, 4) * 3 + 1 for _ in range(4)]
    network.train()
    network(torch.randn(8, 2, 4, 4) * 100)
    recalibrate(network, batches)
    norm = network[0]
    means = torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0)
    variances = torch.stack([b.var((0, 2, 3)) for b in batches]).mean(0)
    assert pytest.approx(means.tolist(), rel=1e-4) == norm.running_mean.tolist()
    assert pytest.approx(variances.tolist(), rel=1e-4) == norm.running_var.tolist()


def test_weights_momentum_and_modes_stay() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, momentum=0.3), nn.Dropout())
    network.train()
    network[2].eval()
    before = [p.clone() for p in network.parameters()]
    recalibrate(network, [torch.randn(4, 1, 6, 6)])
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert network[1].momentum == 0.3
    assert [m.training for m in network.modules()] == [True, True, True, False]


def test_elastic_norms_get_the_statistics_of_the_channels_that_run() -> None:
    norm = ElasticBatchNorm2d(Choice("width", ("2", "4")))
    norm.running_var.fill_(float("inf"))
    batches = [torch.randn(8, 2, 4, 4) * 3 + 1 for _ in range(3)]
    with bind(norm, {"width": {"2": None}}):
        recalibrate(norm, batches)
    means = torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0)
    assert pytest.approx(means.tolist(), rel=1e-4) == norm.running_mean[:2].tolist()
    assert torch.isfinite(norm.running_var).all()
    assert 0.1 == norm.momentum


def test_without_batches_the_statistics_stay() -> None:
    norm = nn.BatchNorm2d(2)
    norm.running_mean.fill_(7)
    recalibrate(norm, [])
    assert [7.0, 7.0] == norm.running_mean.tolist()
