"""A probe of the laws: a PPO-like policy. On-policy batches, the log-probability noted in the proposal's origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from morphogen.space import Architecture, Space
from morphogen.trial import Proposal, Trial


@dataclass
class Policy:
    """Independent categorical distributions over single choices (subsets stay uniform), clipped ratios, batches of 8."""

    space: Space
    batch: int = 8
    rate: float = 0.5
    logits: dict[str, list[float]] = field(default_factory=dict)
    waiting: list[Trial] = field(default_factory=list)
    baseline: float = 0.0
    updates: int = 0

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        picks = {}
        for choice in self.space:
            if choice.single and any(c.name == choice.name for c in self.space.active(picks)):
                allowed = self.space.allowed(picks, choice)
                p = np.array([self._p(choice.name)[choice.options.index(o)] for o in allowed])
                picks[choice.name] = (allowed[rng.choice(len(allowed), p=p / p.sum())],)
        architecture = self.space.complete(picks, rng)
        return Proposal(architecture, origin={"log_p": self._log_p(architecture), "updates": self.updates})

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.waiting.append(trial)
        if len(self.waiting) < self.batch:
            return
        rewards = [0.0 if t.failed else -t.loss for t in self.waiting]
        for child, reward in zip(self.waiting, rewards, strict=True):
            ratio = np.exp(self._log_p(child.architecture) - child.proposal.origin["log_p"])
            advantage = reward - self.baseline
            if (advantage > 0 and ratio > 1.2) or (advantage < 0 and ratio < 0.8):
                continue
            for name, picked in child.architecture.picks.items():
                if self.space[name].single:
                    p = self._p(name)
                    at = self.space[name].options.index(picked[0])
                    gradient = [float((k == at) - q) for k, q in enumerate(p)]
                    self.logits[name] = [
                        x + self.rate * advantage * g for x, g in zip(self._logits(name), gradient, strict=True)
                    ]
        self.baseline += 0.2 * (float(np.mean(rewards)) - self.baseline)
        self.waiting, self.updates = [], self.updates + 1

    def _logits(self, name: str) -> list[float]:
        return self.logits.get(name, [0.0] * len(self.space[name].options))

    def _p(self, name: str) -> np.ndarray:
        e = np.exp(np.array(self._logits(name)))
        return e / e.sum()

    def _log_p(self, a: Architecture) -> float:
        single = [(n, p[0]) for n, p in a.picks.items() if self.space[n].single]
        return float(sum(np.log(self._p(n)[self.space[n].options.index(o)]) for n, o in single))
