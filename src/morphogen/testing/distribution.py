"""The laws that every distribution of a one-shot method keeps."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from morphogen.nn.mixture import Mixture, bind
from morphogen.nn.network import network
from morphogen.oneshot.distribution import Batch, Distribution, Step, logits_of
from morphogen.space import Architecture, Space
from morphogen.spaces.darts import SKELETONS, darts

__all__ = ["DistributionSuite"]

IMAGE, CLASSES = (1, 8, 8), 4


class DistributionSuite(ABC):
    """Subclass and say how to make the distribution.

    `space` is what it is over, `skeleton` what the supernet is built with; images of 8x8 with one channel, 4 classes.
    """

    space: Space = darts(nodes=2, operations=("none", "skip_connect", "sep_conv_3x3"))
    skeleton: Any = replace(SKELETONS["search"], image=IMAGE, classes=CLASSES, channels=4, cells=2, reductions=(1,))

    @abstractmethod
    def make(self, space: Space, *, generator: torch.Generator, device: torch.device) -> Distribution:
        """A new distribution."""

    def test_draws_are_mixtures_of_the_space(self) -> None:
        for mixture in self._draws(5):
            assert set(mixture) <= {choice.name for choice in self.space}
            for name, options in mixture.items():
                assert set(options) <= set(self.space[name].options)
                weights = [w for w in options.values() if w is not None]
                assert all(w.dim() == 0 and bool(torch.isfinite(w)) for w in weights)

    def test_draws_are_the_generators(self) -> None:
        first, again = (_plain(self._draws(3)) for _ in range(2))
        assert first == again

    def test_nothing_draws_from_the_global_state(self) -> None:
        before = torch.get_rng_state()
        distribution, supernet = self._pair()
        supernet.eval()
        torch.set_rng_state(before)
        distribution.draw(_generator())
        distribution.update(self._step(supernet))
        distribution.derive(_score, _generator())
        assert torch.equal(before, torch.get_rng_state())

    def test_learning_leaves_the_network_as_it_was(self) -> None:
        distribution, supernet = self._pair()
        weights = list(supernet.parameters())
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        before = {name: value.clone() for name, value in supernet.state_dict().items()}
        for number in range(2):
            distribution.update(self._step(supernet, last=number == 1))
        assert all(torch.equal(before[name], value) for name, value in supernet.state_dict().items())
        assert all(w.requires_grad and w.grad is not None and bool((w.grad == 1).all()) for w in weights)
        assert all(getattr(module, "bound", None) is None for module in supernet.modules())
        assert supernet.training

    def test_a_step_of_the_weights_leaves_the_distribution_as_it_was(self) -> None:
        distribution, supernet = self._pair()
        before = _saved(distribution)
        optimizer = torch.optim.SGD(supernet.parameters(), 0.1)
        images, classes = _batch(0)
        for mixture in distribution.draw(_generator()):
            with bind(supernet, mixture):
                nn.functional.cross_entropy(logits_of(supernet(images)), classes).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        assert before == _saved(distribution)

    def test_it_goes_on_from_its_state_bit_for_bit(self) -> None:
        straight, supernet = self._pair()
        first, second = (self._pair()[0] for _ in range(2))
        for distribution in (straight, first):
            distribution.update(self._step(supernet, seed=1))
        file = io.BytesIO()
        torch.save(first.state_dict(), file)
        file.seek(0)
        second.load_state_dict(torch.load(file, weights_only=True))
        for distribution in (straight, second):
            distribution.update(self._step(supernet, seed=2))
        assert _saved(straight) == _saved(second)
        assert _plain(straight.draw(_generator(3))) == _plain(second.draw(_generator(3)))

    def test_it_ends_at_a_point_of_the_space_and_always_the_same(self) -> None:
        distribution, supernet = self._pair()
        distribution.update(self._step(supernet))
        found = distribution.derive(_score, _generator())
        assert found == self.space.architecture(found.json)
        assert found == distribution.derive(_score, _generator())

    # --- inside -------------------------------------------------------------------------------------------------------

    def _pair(self) -> tuple[Distribution, nn.Module]:
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            supernet = network(self.space, self.skeleton)
        return self.make(self.space, generator=_generator(7), device=torch.device("cpu")), supernet

    def _draws(self, count: int) -> Iterator[Mixture]:
        distribution, generator = self._pair()[0], _generator()
        for _ in range(count):
            yield from distribution.draw(generator)

    def _step(self, supernet: nn.Module, *, seed: int = 0, last: bool = False) -> Step:
        optimizer = torch.optim.SGD(supernet.parameters(), 0.1, momentum=0.9)
        return Step(supernet, optimizer, _batch(seed), lambda: _batch(seed + 1), 0, last, _generator(seed))


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _batch(seed: int) -> Batch:
    return torch.randn(8, *IMAGE, generator=_generator(seed)), torch.arange(8) % CLASSES


def _score(architecture: Architecture) -> float:
    """Any function of the architecture."""
    return float(sum(architecture.code))


def _plain(mixtures: Iterator[Mixture] | Sequence[Mixture]) -> list[dict[str, dict[str, float | None]]]:
    return [
        {name: {o: None if w is None else w.item() for o, w in options.items()} for name, options in mixture.items()}
        for mixture in mixtures
    ]


def _saved(distribution: Distribution) -> object:
    """The state as plain numbers."""
    return _numbers(distribution.state_dict())


def _numbers(state: object) -> object:
    if isinstance(state, Tensor):
        return state.tolist()
    if isinstance(state, Mapping):
        return {key: _numbers(value) for key, value in state.items()}
    return [_numbers(value) for value in state] if isinstance(state, list | tuple) else state
