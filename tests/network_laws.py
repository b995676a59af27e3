"""What is true of the network of every published space, for its tests to inherit."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from morphogen.nn.inherit import inherit
from morphogen.nn.mixture import picks_to_mixture
from morphogen.nn.network import network
from morphogen.space import Space

SHARED = Path(__file__).parents[2] / "shared"
CHECKS = Path(os.environ.get("MORPHOGEN_CHECKS", SHARED / "checks"))
DATA = Path(os.environ.get("MORPHOGEN_DATA", SHARED / "data"))


def checks(name: str) -> Any:
    """The reference's numbers of one file; the test is skipped where there is no such file."""
    path = CHECKS / name
    if not path.exists():
        pytest.skip(f"no file {path}: MORPHOGEN_CHECKS names the folder of the reference's numbers")
    return json.loads(path.read_text())


def table(name: str) -> Any:
    """The arrays of a published benchmark; the test is skipped where there is no such file."""
    path = DATA / name / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"no file {path}: MORPHOGEN_DATA names the folder of the published tables")
    return np.load(path)


def logits(output: Any) -> torch.Tensor:
    """Without those of an auxiliary head."""
    return output[0] if isinstance(output, tuple) else output


class NetworkLaws(ABC):
    """Subclass and say how to make the space, and with which skeletons (small ones, of three classes)."""

    learning_rate = 0.01

    @abstractmethod
    def make(self) -> Space: ...

    @abstractmethod
    def small(self, image: tuple[int, int, int], classes: int) -> list[Any]:
        """A small skeleton for each preset."""

    def test_it_builds_on_the_meta_device(self) -> None:
        space = self.make()
        for name, skeleton in space.skeletons.items():
            architecture = space.sample(np.random.default_rng(0))
            with torch.device("meta"):
                built = network(space.fix(architecture), skeleton)
                assert (2, skeleton.classes) == logits(built(torch.empty(2, *skeleton.image))).shape, name

    def test_any_image_size_works(self) -> None:
        space = self.make()
        for image in ((1, 8, 8), (3, 5, 9), (1, 2, 1)):
            for skeleton in self.small(image, 4):
                built = network(space.fix(space.sample(np.random.default_rng(0))), skeleton)
                assert (2, 4) == built.eval()(torch.randn(2, *image)).shape

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_it_trains(self, seed: int) -> None:
        space, digits = self.make(), load_digits()
        x = torch.tensor(digits.images[:64, None], dtype=torch.float32)
        x = (x - x.mean()) / x.std()
        y = torch.tensor(digits.target[:64])
        torch.manual_seed(seed)
        built = network(space.fix(space.sample(np.random.default_rng(seed))), self.small((1, 8, 8), 10)[-1]).train()
        optimizer = torch.optim.Adam(built.parameters(), self.learning_rate)
        losses = []
        for _ in range(31):
            loss = F.cross_entropy(logits(built(x)), y)
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert losses[-1] < losses[0] / 2


class SupernetLaws(NetworkLaws):
    """For spaces that share weights."""

    image = (1, 7, 6)
    subgraphs = 20

    def test_every_subgraph_equals_the_standalone_network_after_inherit(self) -> None:
        space = self.make()
        x = torch.randn(2, *self.image, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        for skeleton in self.small(self.image, 3):
            torch.manual_seed(0)
            supernet = network(space, skeleton).double()
            names = set(supernet.state_dict())
            for seed in range(self.subgraphs):
                architecture = space.sample(np.random.default_rng(seed))
                mixture, training = picks_to_mixture(architecture), seed % 2 == 0
                supernet.train()
                supernet(x, mixture)  # so that running statistics are not the initial ones
                standalone = network(space.fix(architecture), skeleton).double()
                inherit(supernet, standalone, architecture)
                assert set(standalone.state_dict()) <= names
                supernet.train(training)
                standalone.train(training)
                with torch.no_grad():
                    torch.manual_seed(1)
                    expected = standalone(x)
                    torch.manual_seed(1)
                    got = supernet(x, mixture)
                torch.testing.assert_close(got, expected, rtol=0, atol=1e-12, msg=architecture.text)
