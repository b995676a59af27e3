"""What a policy gradient moves: a recurrent controller, or logits alone; with its optimizer, as a strategy uses it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.choice import Pick
from morphogen.nn.controller import Controller, Likelihood
from morphogen.nn.decisions import Decision, Decisions
from morphogen.space import Architecture, Space
from morphogen.strategies.nesting import require_nested
from morphogen.trial import Proposal, Trial

__all__ = ["Independent", "Policy"]


@final
class Policy:
    """A distribution over a space that learns.

    Args:
        space: What proposals are points of.
        levels: Spaces nested in it that are searched one after another; empty: `space` itself.
        hidden: Units of a layer of the controller.
        layers: Layers; 0: no network, but `Independent` logits.
        bound: Weights start uniform in `[-bound, bound]`.
        learning_rate: Of Adam.
        seed: Of the first weights.

    Raises:
        ValueError: A level has choices or options that the space does not have.
    """

    def __init__(
        self,
        space: Space,
        levels: Sequence[Space],
        *,
        hidden: int,
        layers: int,
        bound: float,
        learning_rate: float,
        seed: int,
    ) -> None:
        require_nested(space, levels, "growth")
        self.space = space
        self.decisions = [*map(Decisions, levels), Decisions(space)]
        generator = torch.Generator().manual_seed(seed)
        self.controller: Controller | Independent = (
            Controller(space, hidden, layers, bound, generator) if layers else Independent(space, bound, generator)
        )
        self.optimizer = torch.optim.Adam(self.controller.parameters(), learning_rate)

    def propose(self, rng: np.random.Generator, level: int, note: Mapping[str, Any]) -> Proposal:
        """A sample, with its log-probability at this time in the origin; level -1 is the space itself."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        picks, log_probability = self.controller.sample(self.decisions[level], generator)
        origin = {"log_probability": log_probability, "level": level, **note}
        return Proposal(self.space.architecture(picks), origin=origin)

    def sequences(self, trials: Sequence[Trial]) -> Any:
        """What the controller reads of told trials, each within the level that it was sampled in, or the whole space."""
        batch = []
        for trial in trials:
            assert trial.proposal.architecture is not None
            batch.append((self.decisions[trial.proposal.origin.get("level", -1)], trial.proposal.architecture))
        return self.controller.sequences(batch)

    def step(self, loss: Tensor) -> None:
        """One step of the optimizer down the gradient of a loss."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


class _Answers(NamedTuple):
    """Architectures as the decisions that they took: `D` decisions, `W` answers at most."""

    children: int
    child: Tensor  # (D,) which architecture
    rows: Tensor  # (D, W) logits of the answers
    shift: Tensor  # (D, W) added to them: minus infinity where there is no such answer
    taken: Tensor  # (D,) which of W


@final
class Independent(nn.Module):
    """A policy without a network: a logit for each option of each choice, whatever else was picked.

    The REINFORCE of Dong & Yang 2020, NAS-Bench-201 (arXiv:2001.00326), section 3.3, and of Ying et al. 2019,
    NAS-Bench-101 (arXiv:1902.09635), appendix: one categorical distribution a decision. An option of a subset has a
    logit against leaving it out.

    Args:
        space: What is written.
        bound: Logits start uniform in `[-bound, bound]`.
        generator: Of the first logits.
    """

    def __init__(self, space: Space, bound: float, generator: torch.Generator) -> None:
        super().__init__()
        pairs = [(choice.name, option) for choice in space for option in choice.options]
        self._rows = {pair: row for row, pair in enumerate(pairs, start=1)}
        # row 0 is the answer "no" of a subset, which stays at 0
        self.logits = nn.Parameter(torch.empty(len(pairs)).uniform_(-bound, bound, generator=generator))

    @torch.no_grad()
    def sample(self, decisions: Decisions, generator: torch.Generator) -> tuple[dict[str, Pick], float]:
        """Write an architecture: its picks and their log-probability."""
        path, total = decisions.path(), 0.0
        logits = [0.0, *self.logits.tolist()]
        try:
            decision = next(path)
            while True:
                rows, shift = self._answers(decision)
                weights = [math.exp(logits[row] + more) for row, more in zip(rows, shift, strict=True)]
                left, k = float(torch.rand((), generator=generator)) * sum(weights), 0
                while k < len(weights) - 1 and (left := left - weights[k]) >= 0:
                    k += 1
                total += math.log(weights[k] / sum(weights))
                decision = path.send(decision.allowed[k])
        except StopIteration as end:
            picks: dict[str, Pick] = end.value
            return picks, total

    def sequences(self, architectures: Sequence[tuple[Decisions, Architecture]]) -> _Answers:
        """Architectures, each with the decisions of the space that it was written in, as one batch.

        Raises:
            ValueError: One is not in its space.
        """
        found = []
        for b, (decisions, architecture) in enumerate(architectures):
            for decision, answer in decisions.answers(architecture.picks):
                found.append((b, *self._answers(decision), decision.allowed.index(answer)))
        width = max((len(rows) for _, rows, _, _ in found), default=1)
        return _Answers(
            len(architectures),
            torch.tensor([b for b, _, _, _ in found], dtype=torch.int64),
            torch.tensor([rows + [0] * (width - len(rows)) for _, rows, _, _ in found], dtype=torch.int64),
            torch.tensor([shift + [-math.inf] * (width - len(shift)) for _, _, shift, _ in found], dtype=torch.float64),
            torch.tensor([taken for _, _, _, taken in found], dtype=torch.int64),
        )

    def forward(self, answers: _Answers) -> Likelihood:
        """The likelihood of architectures under the present logits, differentiable."""
        logits = torch.cat([self.logits.new_zeros(1), self.logits])
        log_p = F.log_softmax(logits[answers.rows] + answers.shift.to(logits.dtype), 1)
        terms = log_p.gather(1, answers.taken.unsqueeze(1)).squeeze(1)
        # an answer that is not there has p = 0 and log p = -inf, whose product has to be 0
        entropies = -(log_p.exp() * log_p.masked_fill(answers.shift.isinf(), 0.0)).sum(1)
        zero = logits.new_zeros(answers.children)
        return Likelihood(zero.index_add(0, answers.child, terms), zero.index_add(0, answers.child, entropies))

    def _answers(self, decision: Decision) -> tuple[list[int], list[float]]:
        """Rows of the logits of the allowed answers, and what is added to them."""
        name = decision.choice.name
        if decision.option is None:
            return [self._rows[name, decision.choice.options[i]] for i in decision.allowed], [0.0] * len(
                decision.allowed
            )
        row = self._rows[name, decision.option]
        return [row if answer else 0 for answer in decision.allowed], [
            answer * decision.log_odds for answer in decision.allowed
        ]
