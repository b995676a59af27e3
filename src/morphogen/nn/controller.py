"""A recurrent network that writes architectures, decision by decision.

Shapes: `B` architectures, `T` steps (active choices), `H` hidden units, `D` decisions, `W` options at most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.choice import Choice, Pick
from morphogen.nn.decisions import Decision, Decisions
from morphogen.space import Architecture, Space

__all__ = ["Controller", "Likelihood", "Sequences"]

START = 0  # the row of the embedding that the first step reads


class Sequences(NamedTuple):
    """Architectures as tensors: what the network reads, and the decisions that they took."""

    inputs: Tensor  # (B, T, K) rows of the embedding, averaged with `weights`
    weights: Tensor  # (B, T, K)
    one_step: Tensor  # (D,) of single choices: which of the B * T steps
    one_child: Tensor  # (D,) which of the B
    one_rows: Tensor  # (D, W) rows of the options
    one_mask: Tensor  # (D, W) 0, or minus infinity where not allowed
    one_taken: Tensor  # (D,) which of W was picked
    any_step: Tensor  # (D',) of subsets
    any_child: Tensor  # (D',)
    any_anchor: Tensor  # (D',) the step that the option points at, or B * T + its row of `outside`
    any_odds: Tensor  # (D',) added to the logit
    any_taken: Tensor  # (D',) 1 where the subset has the option


class Likelihood(NamedTuple):
    """Of each architecture: the log-probability, and the sum of the entropies of its decisions."""

    log_probability: Tensor  # (B,)
    entropy: Tensor  # (B,)


@final
class Controller(nn.Module):
    """An LSTM over the choices of a space: a policy, and the likelihood of what it wrote.

    Zoph & Le 2017, "Neural Architecture Search with Reinforcement Learning" (arXiv:1611.01578), sections 3.1
    and 3.3. Each active choice is a step. One option of several is a softmax, and the picked option's
    embedding is the input of the next step. A subset is an anchor point: option j is in it with probability
    `sigmoid(v . tanh(W_prev h_j + W_curr h_i))`, where `h_i` is the state of this step and `h_j` that of the
    step which the option points at: for the option `2` of the choice `normal/5/skips`, the last earlier step
    whose choice is named `normal/2/...`; where there is no such step, a learned vector. The probabilities of
    all architectures of the space sum to one, also within limits.

    Differs: the papers do not say whether steps share their softmaxes and embeddings (each choice has its
    own, an anchor point shares its weights with all others) nor what follows an anchor point (the average of
    a learned vector of the choice and those of the picked options). Subsets with a bounded number of options,
    which the papers do not have, are decided option by option among the answers that can still be completed,
    so that a zero logit makes subsets equally likely.

    Args:
        space: The largest space that is written; `Decisions` of a space nested in it can be used as well.
        hidden: Units of a layer.
        layers: Layers of the LSTM.
        bound: All weights start uniform in `[-bound, bound]`.
        generator: Of the first weights.
    """

    def __init__(self, space: Space, hidden: int, layers: int, bound: float, generator: torch.Generator) -> None:
        super().__init__()
        self.space = space
        self._rows: dict[tuple[str, str], int] = {}  # (choice, option), and (choice, "") for a subset's own
        for choice in space:
            for option in ("", *choice.options) if not choice.single else choice.options:
                self._rows[choice.name, option] = 1 + len(self._rows)
        self._targets = _targets(space)
        self._outside = {key: row for row, key in enumerate(self._targets)}
        rows = 1 + len(self._rows)
        self._width = max((len(c.options) for c in space if c.single), default=1)
        self._padded: dict[tuple[str, Pick, tuple[int, ...]], tuple[list[int], list[float]]] = {}
        self.embedding = nn.Embedding(rows, hidden)
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.softmax = nn.Linear(hidden, rows)  # every option has its row; a softmax is over the rows of a choice
        if self._targets:
            self.previous = nn.Linear(hidden, hidden, bias=False)
            self.current = nn.Linear(hidden, hidden, bias=False)
            self.query = nn.Linear(hidden, 1, bias=False)
            self.outside = nn.Embedding(len(self._outside), hidden)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-bound, bound, generator=generator)

    @torch.no_grad()
    def sample(self, decisions: Decisions, generator: torch.Generator) -> tuple[dict[str, Pick], float]:
        """Write an architecture: its picks and their log-probability."""
        path = decisions.path()
        states: dict[str, Tensor] = {}
        weight = self.embedding.weight
        zero = weight.new_zeros(1, weight.shape[1])
        memory = [(zero, zero)] * self.lstm.num_layers
        now: Choice | None = None
        picked: list[str] = []
        logits: list[float] | None = None
        total = 0.0
        try:
            decision = next(path)
            while True:
                choice = decision.choice
                if now is None or choice.name != now.name:
                    rows, weights = self._input(now, picked)
                    x = (
                        weight[rows[0]].unsqueeze(0)
                        if len(rows) == 1
                        else (weight[rows] * weights[0]).sum(0, keepdim=True)
                    )
                    hidden = self._one_step(x, memory)
                    now, picked, states[choice.name], logits = choice, [], hidden, None
                if len(decision.allowed) == 1:
                    answer = decision.allowed[0]
                elif decision.option is None:
                    rows = [self._rows[choice.name, choice.options[i]] for i in decision.allowed]
                    log_p = F.log_softmax(F.linear(hidden, self.softmax.weight[rows], self.softmax.bias[rows])[0], 0)
                    k = int(torch.multinomial(log_p.exp(), 1, generator=generator))
                    answer = decision.allowed[k]
                    total += float(log_p[k])
                else:
                    if logits is None:
                        anchors = torch.cat([self._anchor(choice.name, o, states) for o in choice.pickable])
                        logits = self._any(hidden, anchors).tolist()
                    logit = logits[choice.pickable.index(decision.option)] + decision.log_odds
                    answer = int(float(torch.rand((), generator=generator)) < 1 / (1 + math.exp(-logit)))
                    total -= math.log1p(math.exp(-logit if answer else logit))
                if decision.option is None:
                    picked.append(choice.options[answer])
                elif answer:
                    picked.append(decision.option)
                decision = path.send(answer)
        except StopIteration as end:
            picks: dict[str, Pick] = end.value
            return picks, total

    def sequences(self, architectures: Sequence[tuple[Decisions, Architecture]]) -> Sequences:
        """Architectures, each with the decisions of the space that it was written in, as one batch.

        Raises:
            ValueError: One is not in its space.
        """
        inputs: list[list[tuple[list[int], float]]] = []
        one: list[tuple[int, int, tuple[list[int], list[float]], int]] = []
        some: list[tuple[int, int, str, str, float, int]] = []
        steps: list[dict[str, int]] = []
        for b, (decisions, architecture) in enumerate(architectures):
            picks = architecture.picks
            at: dict[str, int] = {}
            fed: list[tuple[list[int], float]] = []
            now: Choice | None = None
            for decision, answer in decisions.answers(picks):
                name = decision.choice.name
                if name not in at:
                    rows, weights = self._input(now, picks[now.name] if now is not None else ())
                    fed.append((rows, weights[0]))
                    at[name], now = len(at), decision.choice
                if len(decision.allowed) == 1:
                    continue
                if decision.option is None:
                    one.append((b, at[name], self._softmax_rows(decision), decision.allowed.index(answer)))
                else:
                    some.append((b, at[name], name, decision.option, decision.log_odds, answer))
            inputs.append(fed)
            steps.append(at)
        return self._tensors(inputs, steps, one, some)

    def forward(self, sequences: Sequences) -> Likelihood:
        """The likelihood of architectures under the present weights, differentiable."""
        s = sequences
        x = self.embedding(s.inputs)
        x = x[:, :, 0] if s.inputs.shape[2] == 1 else (x * s.weights.to(x.dtype).unsqueeze(-1)).sum(2)
        hidden = self.lstm(x)[0].reshape(-1, x.shape[-1])
        log_probability = entropy = hidden.new_zeros(s.inputs.shape[0])
        if len(s.one_step):
            logits = self.softmax(hidden)[s.one_step.unsqueeze(1), s.one_rows]
            log_p = F.log_softmax(logits + s.one_mask.to(x.dtype), 1)
            terms = log_p.gather(1, s.one_taken.unsqueeze(1)).squeeze(1)
            log_probability = log_probability.index_add(0, s.one_child, terms)
            # a masked option has p = 0 and log p = -inf, whose product has to be 0
            finite = log_p.masked_fill(s.one_mask.isinf(), 0.0)
            entropy = entropy.index_add(0, s.one_child, -(log_p.exp() * finite).sum(1))
        if len(s.any_step):
            anchors = torch.cat([hidden, self.outside.weight])[s.any_anchor]
            logit = self._any(hidden[s.any_step], anchors) + s.any_odds.to(x.dtype)
            terms = -F.softplus(torch.where(s.any_taken > 0, -logit, logit))
            log_probability = log_probability.index_add(0, s.any_child, terms)
            entropy = entropy.index_add(0, s.any_child, F.softplus(logit) - logit * torch.sigmoid(logit))
        return Likelihood(log_probability, entropy)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _one_step(self, x: Tensor, memory: list[tuple[Tensor, Tensor]]) -> Tensor:
        """One step of the LSTM for one architecture, `(1, H)`; replaces the states of its layers in `memory`."""
        for layer, weights in enumerate(self.lstm.all_weights):
            memory[layer] = torch.lstm_cell(x, memory[layer], *weights)
            x = memory[layer][0]
        return x

    def _any(self, hidden: Tensor, anchors: Tensor) -> Tensor:
        """Anchor-point logits `(D,)` from states `(D, H)` or `(1, H)` and the states that are pointed at, `(D, H)`."""
        logits: Tensor = self.query(torch.tanh(self.previous(anchors) + self.current(hidden))).squeeze(1)
        return logits

    def _anchor(self, choice: str, option: str, states: Mapping[str, Tensor]) -> Tensor:
        for name in self._targets[choice, option]:
            if name in states:
                return states[name]
        row = self._outside[choice, option]
        return self.outside.weight[row : row + 1]

    def _softmax_rows(self, decision: Decision) -> tuple[list[int], list[float]]:
        """The rows of the allowed options, padded to `W`, and their mask."""
        key = decision.choice.name, decision.choice.options, decision.allowed
        if key not in self._padded:
            rows = [self._rows[decision.choice.name, decision.choice.options[i]] for i in decision.allowed]
            padding = self._width - len(rows)
            self._padded[key] = rows + [START] * padding, [0.0] * len(rows) + [-math.inf] * padding
        return self._padded[key]

    def _input(self, choice: Choice | None, picked: Sequence[str]) -> tuple[list[int], tuple[float, int]]:
        """The rows that the step after a choice reads, and their weight."""
        if choice is None:
            return [START], (1.0, 1)
        rows = [self._rows[choice.name, o] for o in (picked if choice.single else ("", *picked))]
        return rows, (1.0 / len(rows), len(rows))

    def _tensors(
        self,
        inputs: Sequence[Sequence[tuple[list[int], float]]],
        steps: Sequence[Mapping[str, int]],
        one: Sequence[tuple[int, int, tuple[list[int], list[float]], int]],
        some: Sequence[tuple[int, int, str, str, float, int]],
    ) -> Sequences:
        long = max(len(fed) for fed in inputs)
        width = max(len(rows) for fed in inputs for rows, _ in fed)
        children = len(inputs)

        def anchor(b: int, name: str, option: str) -> int:
            for target in self._targets[name, option]:
                if target in steps[b]:
                    return b * long + steps[b][target]
            return children * long + self._outside[name, option]

        padded = [[*fed, *[([START], 1.0)] * (long - len(fed))] for fed in inputs]
        rows = [rows + [START] * (width - len(rows)) for fed in padded for rows, _ in fed]
        weights = [[w] * len(rows) + [0.0] * (width - len(rows)) for fed in padded for rows, w in fed]
        return Sequences(
            _integers(rows).view(children, long, width),
            torch.tensor(weights).view(children, long, width),
            _integers([b * long + t for b, t, _, _ in one]),
            _integers([b for b, _, _, _ in one]),
            _integers([rows for _, _, (rows, _), _ in one]),
            torch.from_numpy(np.array([mask for _, _, (_, mask), _ in one], np.float32)),
            _integers([taken for _, _, _, taken in one]),
            _integers([b * long + t for b, t, *_ in some]),
            _integers([b for b, *_ in some]),
            _integers([anchor(b, name, option) for b, _, name, option, _, _ in some]),
            torch.tensor([odds for *_, odds, _ in some], dtype=torch.float64),
            _integers([taken for *_, taken in some]),
        )


def _integers(values: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
    return torch.from_numpy(np.array(values, np.int64))  # several times faster than torch.tensor on nested lists


def _targets(space: Space) -> dict[tuple[str, str], tuple[str, ...]]:
    """Per option of a subset, the earlier choices that it may point at, the last one first."""
    targets: dict[tuple[str, str], tuple[str, ...]] = {}
    earlier: list[str] = []
    for choice in space:
        if not choice.single:
            parent = choice.name.rpartition("/")[0]
            base = parent.rpartition("/")[0]
            for option in choice.options:
                group = f"{base}/{option}/" if base else f"{option}/"
                targets[choice.name, option] = tuple(n for n in reversed(earlier) if n.startswith(group))
        earlier.append(choice.name)
    return targets
