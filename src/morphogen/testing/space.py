"""The laws that every space keeps."""

from __future__ import annotations

import json
import pickle
from abc import ABC, abstractmethod

import numpy as np

from morphogen.moves import crossover, mutate, neighbors
from morphogen.space import Space

__all__ = ["SpaceSuite"]


class SpaceSuite(ABC):
    """Subclass and say how to make the space. `draws` is how many architectures each law is tried on."""

    draws = 50

    @abstractmethod
    def make(self) -> Space:
        """The space."""

    def test_an_architecture_survives_text_json_and_pickle(self) -> None:
        space = self.make()
        for architecture in self._drawn(space):
            assert architecture == space.parse(architecture.text)
            assert architecture == space.parse(json.dumps(architecture.json))
            assert architecture == pickle.loads(pickle.dumps(architecture))
            assert hash(architecture) == hash(space.parse(architecture.text))

    def test_moves_stay_in_the_space_and_go_somewhere(self) -> None:
        space, rng = self.make(), np.random.default_rng(1)
        drawn = self._drawn(space)
        for a, b in zip(drawn, reversed(drawn), strict=True):
            mutant, child = mutate(a, rng), crossover(a, b, rng)
            assert a != mutant
            assert mutant == space.architecture(mutant.json)
            assert child == space.architecture(child.json)

    def test_neighbors_are_others_and_each_comes_once(self) -> None:
        space = self.make()
        architecture = space.sample(np.random.default_rng(2))
        near = list(neighbors(architecture))
        assert architecture not in near
        assert len(near) == len(set(near)) > 0

    def test_the_space_of_one_architecture_has_only_that(self) -> None:
        space = self.make()
        for architecture in self._drawn(space)[:5]:
            fixed = space.fix(architecture)
            assert fixed.size == 1
            assert architecture.json == fixed.sample(np.random.default_rng(0)).json

    def test_every_option_can_be_drawn(self) -> None:
        space, rng = self.make(), np.random.default_rng(3)
        missing = {(c.name, o) for c in space for o in c.pickable}
        for _ in range(5000):
            picks = space.sample(rng).picks
            missing -= {(name, o) for name, picked in picks.items() for o in picked}
            if not missing:
                break
        assert not missing

    def test_identity_is_a_function_of_the_architecture(self) -> None:
        space = self.make()
        for architecture in self._drawn(space):
            assert space.identity(architecture) == space.identity(space.parse(architecture.text))

    def test_the_space_pickles(self) -> None:
        space = self.make()
        assert space == pickle.loads(pickle.dumps(space))

    def _drawn(self, space: Space) -> list:  # type: ignore[type-arg]
        rng = np.random.default_rng(0)
        return [space.sample(rng) for _ in range(self.draws)]
