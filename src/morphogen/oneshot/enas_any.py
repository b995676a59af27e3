"""The controller of ENAS for any other space: one step of the LSTM for each choice."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import final

import torch
from torch import Tensor, nn

from morphogen.nn.decisions import Decisions
from morphogen.oneshot.enas_writing import Choose, Squash, Writing, Written, lstm, uniform, zeros
from morphogen.space import Space

__all__ = ["AnyPolicy"]


@final
class AnyPolicy(nn.Module):
    """The LSTM, the squashed logits and the fed back embeddings of ENAS, on the choices of any space in their order.

    **Differs** from the controllers of Pham et al. 2018 (arXiv:1802.03268), which are for their two spaces: every
    choice has embeddings and logits of its own, and nothing is an anchor. The options of a subset are decided one by
    one, each by the softmax of `(-a, a)`; the next choice reads the sum of the embeddings of those that are taken and
    of the start, divided by their number. Conditions and limits hold: only what can still be completed is offered.

    Args:
        space: Any.
        hidden: Units.
        squash: Of all logits.
        generator: Draws the first weights.
        dtype: Of the weights.
    """

    def __init__(
        self,
        space: Space,
        *,
        hidden: int = 64,
        squash: Squash = Squash(tanh=1.5),  # noqa: B008  # frozen
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.space, self.squash = space, squash
        self._decisions = Decisions(space)
        self._rows: dict[str, list[int]] = {}
        options = 0
        for choice in space:
            self._rows[choice.name] = list(range(options, options + len(choice.options)))
            options += len(choice.options)

        def new(*shape: int) -> nn.Parameter:
            return uniform(*shape, generator=generator, dtype=dtype)

        self.lstm, self.start = new(2 * hidden, 4 * hidden), new(1, hidden)
        self.embedding, self.softmax = new(options, hidden), new(hidden, options)

    @property
    def module(self) -> nn.Module:
        return self

    def write(self, choose: Choose) -> Written:
        """Write one architecture."""
        writing = Writing(self._decisions, choose)
        state = zeros(self.start)
        x: Tensor = self.start
        while writing.decision is not None:
            choice = writing.decision.choice
            rows = self._rows[choice.name]
            state = lstm(x, state, self.lstm)
            logits = self.squash(state[1] @ self.softmax[:, rows])[0]
            if choice.single:
                x = self.embedding[[rows[writing.one(choice.name, logits)]]]
            else:
                taken = writing.subset(choice.name, logits)
                x = reduce(add, [self.embedding[[rows[i]]] for i in taken], self.start) / (1 + len(taken))
        return writing.end(self.space)
