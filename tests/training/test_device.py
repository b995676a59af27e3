"""Devices and seeds."""

import pytest
import torch

from morphogen.protocols import MorphogenError
from morphogen.training.device import reseed, seeded, torch_device


def test_a_device_that_is_not_here_is_refused_in_one_line() -> None:
    assert torch.device("cpu") == torch_device("cpu")
    for name in ("cuda:63", "gpu"):
        with pytest.raises(MorphogenError, match=f"device '{name}' cannot be used here") as caught:
            torch_device(name)
        assert "\n" not in str(caught.value)


def test_seeding_ends_with_the_block() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1, torch.device("cpu")):
        inside = torch.rand(3)
    assert torch.equal(expected, torch.rand(3))
    with seeded(1, torch.device("cpu")):
        assert torch.equal(inside, torch.rand(3))


def test_what_an_epoch_draws_is_a_function_of_seed_and_epoch() -> None:
    def draw(seed: int, epoch: int) -> list[float]:
        generator = reseed(seed, epoch)
        return [*torch.rand(2).tolist(), *torch.rand(2, generator=generator).tolist()]

    with seeded(0, torch.device("cpu")):
        assert draw(3, 4) == draw(3, 4)
        assert len({tuple(draw(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
