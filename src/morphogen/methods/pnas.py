"""A cell that grows block by block, guided by a predictor."""

from __future__ import annotations

from functools import partial

from morphogen.methods.black_box import black_box, horizon
from morphogen.methods.one_shot import Setting
from morphogen.protocols import Phase
from morphogen.strategies import Progressive
from morphogen.strategies.progressive import growth

__all__ = ["pnas", "widest"]

BEAM = 256


def pnas(setting: Setting, *, beam: int | None = None, enumerable: int = 1024) -> list[Phase]:
    """Cells of one block are trained; then, block by block, what a predictor likes best of their extensions.

    Liu et al. 2018, "Progressive Neural Architecture Search" (arXiv:1712.00559), algorithm 1: 136 cells of one block,
    then 256 of each further number, 1,160 in all.

    **Differs**: with fewer trials than that, all numbers of blocks get equally many, the cells of one block too, which
    are then drawn uniformly; where only time ends the search, as many as in a search of 64 trials. And what
    `Progressive` says.

    Args:
        setting: What it is given.
        beam: K: how many cells of each number of blocks are trained at most.
        enumerable: The largest first level of which all are trained, where the beam is so wide.
    """
    levels = growth(setting.space)
    strategy = partial(Progressive, levels=levels, enumerable=enumerable)
    first = len(strategy(setting.space).queue)  # of which there are no more
    strategy = partial(strategy, beam=beam or widest(horizon(setting.plan), len(levels), first))
    strategy(setting.space)  # what cannot be says so now
    return black_box(strategy, setting.space, setting.judges, setting.plan)


def widest(trials: int, levels: int, first: int) -> int:
    """The widest beam, up to the paper's, whose levels take no more than so many trials.

    Args:
        trials: Of the search.
        levels: How many.
        first: How many architectures the first level has; 0: more than any beam.
    """
    beam = trials // levels
    if 0 < first < beam and levels > 1:
        beam = (trials - first) // (levels - 1)
    return min(BEAM, max(1, beam))
