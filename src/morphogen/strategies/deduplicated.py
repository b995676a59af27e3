"""No architecture twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from morphogen.protocols import Strategy
from morphogen.space import Architecture, Space
from morphogen.trial import Fidelity, Proposal, Trial

__all__ = ["Deduplicated"]

_Known = tuple[Architecture | None, Fidelity, bytes | None]
"""The key of an architecture at a fidelity."""


@final
@dataclass
class Deduplicated:
    """Ask again instead of repeating an architecture; enumerate a small space for what is left, sample a large one.

    Two architectures are the same where `space.identity` says so: their networks are isomorphic. A proposal at another
    fidelity than the earlier ones of its architecture is no repetition.

    Args:
        strategy: The one that is asked. It must not be on-policy: what it learns from would no longer be its own samples.
        space: What identities are of.
        attempts: How often the strategy is asked before the space is enumerated.
        enumerable: The largest space (size, limits aside) that is enumerated.
    """

    strategy: Strategy
    space: Space
    attempts: int = 50
    enumerable: int = 1_000_000
    seen: set[bytes] = field(default_factory=set, init=False)
    keys: dict[int, _Known] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Of what was pending, by trial: with thousands of workers, to make them anew is what asking costs."""

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        taken = self._taken(pending)
        for _ in range(self.attempts):
            proposal = self.strategy.ask(pending, rng)
            key = None if proposal is None else self._key(proposal)
            if key is None or (key not in self.seen and key not in taken):
                return proposal
        if self.space.size > self.enumerable:
            return self._random(proposal, taken, rng)
        for architecture in self.space.enumerate():
            proposal = Proposal(architecture)
            key = self._key(proposal)
            if key not in self.seen and key not in taken:
                return proposal
        return None

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        if (key := self._key(trial.proposal)) is not None:
            self.seen.add(key)
        self.strategy.tell(trial, rng)

    def _taken(self, pending: Sequence[Trial]) -> set[bytes]:
        keys, self.keys = self.keys, {}
        for trial in pending:
            proposal, known = trial.proposal, keys.get(trial.id)
            if known is None or known[0] is not proposal.architecture or known[1] != proposal.fidelity:
                known = proposal.architecture, proposal.fidelity, self._key(proposal)
            self.keys[trial.id] = known
        return {key for _, _, key in self.keys.values() if key is not None}

    def _random(self, repeated: Proposal | None, taken: set[bytes], rng: np.random.Generator) -> Proposal | None:
        """A random architecture instead: a population that has converged goes on (Grefenstette 1992, immigrants)."""
        if repeated is None:
            return None
        for _ in range(self.attempts):
            proposal = Proposal(self.space.sample(rng), repeated.fidelity)
            key = self._key(proposal)
            if key not in self.seen and key not in taken:
                return proposal
        return None

    def _key(self, proposal: Proposal) -> bytes | None:
        """16 bytes of the identity and the fidelity; None for a supernet or a continued trial, which never repeat."""
        if proposal.architecture is None or proposal.warm_start is not None:
            return None
        identity, fidelity = self.space.identity(proposal.architecture), proposal.fidelity
        known = repr(sorted(fidelity.items())).encode() if fidelity else b"[]"
        return hashlib.blake2b(identity + known, digest_size=16).digest()
