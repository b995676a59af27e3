"""What the controllers of ENAS are made of: the LSTM of the released code, and an architecture while it is written.

Shapes: `H` hidden units, `K` options.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.choice import Pick
from morphogen.nn.decisions import Decision, Decisions
from morphogen.space import Architecture, Space

__all__ = [
    "Choose",
    "Policy",
    "Squash",
    "State",
    "Writing",
    "Written",
    "greedy",
    "lstm",
    "sampling",
    "uniform",
    "zeros",
]

Choose = Callable[[Sequence[float]], int]
"""Which of some answers is taken, given their probabilities."""

State = tuple[Tensor, Tensor]
"""Cell and hidden state of the LSTM, `(1, H)` each."""

BOUND = 0.1
"""Weights start uniform in `[-BOUND, BOUND]`."""


class Written(NamedTuple):
    """An architecture, and how a controller came to it."""

    architecture: Architecture
    surprise: Tensor
    """Minus the log-probability, differentiable; no dimensions."""
    bonus: float
    """The entropy that the released code adds to the reward."""
    entropy: float
    """The sum of the entropies of all decisions."""
    penalty: Tensor
    """Of the skips, differentiable; no dimensions."""
    logits: tuple[Tensor, ...]
    """Those of every decision, in order: `(K,)`, and for the skips of a layer `(K, 2)`: without and with."""


class Policy(Protocol):
    """A distribution over architectures whose weights are those of a module."""

    @property
    def module(self) -> nn.Module:
        """What has the weights."""
        ...

    def write(self, choose: Choose) -> Written:
        """Write one architecture."""
        ...


def sampling(generator: torch.Generator) -> Choose:
    """Answers drawn by their probabilities."""

    def choose(probabilities: Sequence[float]) -> int:
        left = float(torch.rand((), generator=generator, dtype=torch.float64, device=generator.device))
        for answer, probability in enumerate(probabilities):
            left -= probability
            if left < 0:
                return answer
        return max(range(len(probabilities)), key=probabilities.__getitem__)  # what rounding has left over

    return choose


def greedy(probabilities: Sequence[float]) -> int:
    """The most probable answer; of equal ones, the first."""
    return max(range(len(probabilities)), key=probabilities.__getitem__)


def uniform(*shape: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None) -> nn.Parameter:
    """First weights; without a generator always the same ones."""
    generator = torch.Generator() if generator is None else generator
    return nn.Parameter(torch.empty(*shape, dtype=dtype).uniform_(-BOUND, BOUND, generator=generator))


def lstm(x: Tensor, state: State, weight: Tensor) -> State:
    """One step of an LSTM without bias, gates in the order input, forget, output, candidate.

    Shapes: `x` `(1, H)`, `weight` `(2H, 4H)` for `x` and the hidden state side by side.
    """
    c, h = state
    i, f, o, g = (torch.cat([x, h], 1) @ weight).chunk(4, 1)
    c = torch.sigmoid(i) * torch.tanh(g) + torch.sigmoid(f) * c
    return c, torch.sigmoid(o) * torch.tanh(c)


def zeros(like: Tensor) -> State:
    """The first state, for inputs like this one."""
    return torch.zeros_like(like), torch.zeros_like(like)


@final
@dataclass(frozen=True, slots=True)
class Squash:
    """Keeps logits small, so that a controller goes on exploring: `tanh * tanh(logits / temperature)`.

    Bello et al. 2017, "Neural Combinatorial Optimization with Reinforcement Learning" (arXiv:1611.09940), A.2.

    Args:
        tanh: The largest logit; None: any.
        temperature: What logits are divided by before; None: nothing.

    Raises:
        ValueError: One of them is not above 0.
    """

    tanh: float | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        for name in ("tanh", "temperature"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value} of a controller: it must be above 0, or None")

    def __call__(self, logits: Tensor) -> Tensor:
        if self.temperature is not None:
            logits = logits / self.temperature
        return logits if self.tanh is None else self.tanh * torch.tanh(logits)


@final
class Writing:
    """One architecture while it is written: only what can still be completed within the limits is offered.

    Args:
        decisions: Of the space, in the order in which they are taken.
        choose: Takes them.
    """

    def __init__(self, decisions: Decisions, choose: Choose) -> None:
        self._path, self._choose = decisions.path(), choose
        self._picks: dict[str, Pick] = {}
        self._logits: list[Tensor] = []
        self._surprise: list[Tensor] = []
        self._entropy = self._sampled = 0.0
        self.decision: Decision | None = None
        """What is to decide now; None: nothing more."""
        self._advance(None)

    def one(self, choice: str, logits: Tensor) -> int:
        """Decide which option of a choice is picked; its index. Logits `(K,)` are those of all its options."""
        decision = self._at(choice)
        assert decision is not None
        allowed = decision.allowed
        taken = 0
        if len(allowed) > 1:
            self._logits.append(logits.detach())
            log_p = F.log_softmax(logits if len(allowed) == len(logits) else logits[list(allowed)], 0)
            values = log_p.detach()
            probabilities = values.exp()
            taken = self._choose(probabilities.tolist())
            self._surprise.append(-log_p[taken])
            self._entropy -= float((probabilities * values).sum())
            self._sampled -= float(probabilities[taken] * values[taken])
        self._advance(allowed[taken])
        return allowed[taken]

    def subset(self, choice: str, logits: Tensor) -> list[int]:
        """Decide which options a subset has; their indices. An option with the logit `a` of `(K,)` has the softmax of
        `(-a, a)`: it is there with the probability `sigmoid(2a)`."""
        odds = 2 * logits
        values: list[float] = odds.tolist()
        self._logits.append(torch.stack([-logits, logits], 1).detach())
        taken, decided, signs, shifts = [], [], [], []
        while (decision := self._at(choice)) is not None:
            assert decision.option is not None
            index = decision.choice.options.index(decision.option)
            answer = decision.allowed[0]
            if len(decision.allowed) > 1:
                p = float(torch.sigmoid(torch.tensor(values[index] + decision.log_odds, dtype=torch.float64)))
                answer = self._choose((1 - p, p))
                decided.append(index)
                signs.append(1.0 if answer else -1.0)
                shifts.append(decision.log_odds)
            if answer:
                taken.append(index)
            self._advance(answer)
        if decided:
            x = odds if decided == list(range(len(odds))) else odds[decided]
            x = x + odds.new_tensor(shifts) if any(shifts) else x
            surprise = F.softplus(-x * odds.new_tensor(signs))
            self._surprise.append(surprise.sum())
            with torch.no_grad():
                self._sampled += float((surprise * torch.exp(-surprise)).sum())
                self._entropy += float((F.softplus(x) - x * torch.sigmoid(x)).sum())
        return taken

    def end(self, space: Space, penalty: Tensor | None = None, *, sampled: bool = False) -> Written:
        """The architecture; `sampled`: what is rewarded is `-p log p` of the sampled answers only."""
        assert self.decision is None, f"'{self.decision.choice.name}' is not decided"
        nothing = torch.zeros(())
        surprise = torch.stack(self._surprise).sum() if self._surprise else nothing
        return Written(
            space.architecture(self._picks),
            surprise,
            self._sampled if sampled else self._entropy,
            self._entropy,
            nothing if penalty is None else penalty,
            tuple(self._logits),
        )

    def _at(self, choice: str) -> Decision | None:
        return self.decision if self.decision is not None and self.decision.choice.name == choice else None

    def _advance(self, answer: int | None) -> None:
        try:
            self.decision = next(self._path) if answer is None else self._path.send(answer)
        except StopIteration as end:
            self.decision, self._picks = None, end.value
