"""The plain network and the logistic regression."""

import numpy as np
import torch

from morphogen.protocols import Context
from morphogen.training.baselines import logistic_recipe, logistic_regression, plain_network
from morphogen.training.data import Data, data
from morphogen.training.fit import train


def test_the_plain_network_has_four_convolutions_and_fits_any_image() -> None:
    for size in (3, 8, 28):
        made = Data.from_arrays(np.zeros((20, 3, size, size), np.uint8), np.arange(20) % 2)
        network = plain_network(made)
        assert sum(isinstance(m, torch.nn.Conv2d) for m in network.modules()) == 4
        assert tuple(network(torch.zeros(5, 3, size, size)).shape) == (5, 2)


def test_logistic_regression_learns_digits() -> None:
    digits = data("digits")
    network, fitted = train(
        lambda: logistic_regression(digits), digits, logistic_recipe(digits), Context(seed=0), epochs=6
    )
    assert sum(p.numel() for p in network.parameters()) == 650
    assert fitted.metrics["accuracy"] > 0.9
