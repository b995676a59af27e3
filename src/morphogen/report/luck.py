"""What the best of n random trials could have been: the luck of a random search.

The best of `t` trials out of the pool that a random arm tried has a known distribution: with replacement, the share of
the pool that lies above it is `1 - u^(1/t)` for `u` uniform. So the bootstrap of a best-so-far curve is exact and needs
no resampling (Dodge et al. 2019, "Show Your Work", arXiv:1909.03004, eq. (3) to (8)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["band", "best_so_far", "draw_best"]

Floats = npt.NDArray[np.float64]


def best_so_far(losses: Sequence[float]) -> list[float]:
    """The lowest loss up to and with each trial; infinite before the first that worked."""
    return [float(x) for x in np.minimum.accumulate(np.asarray(losses, dtype=float))] if losses else []


def band(losses: Sequence[float], quantile: float) -> list[float]:
    """For 1 to n trials drawn from these, the quantile of the lowest loss; `quantile=0.5` is a typical random search.

    Infinite where that share of the random searches would have had nothing but failures.
    """
    n, ordered = len(losses), sorted(losses)
    return [ordered[min(n - 1, int(n * (1 - (1 - quantile) ** (1 / t))))] for t in range(1, n + 1)]


def draw_best(losses: Sequence[float], draws: int, rng: np.random.Generator) -> Floats:
    """Draw the lowest loss of as many random trials as these, by a smoothed bootstrap.

    The plain bootstrap of a minimum is inconsistent: 63 % of the resamples contain the best trial, so it calls the best
    nearly certain (Bickel and Freedman 1981, "Some Asymptotic Theory for the Bootstrap", section 6). We interpolate
    between the order statistics, and let an exponential tail go on beyond the best one. Its scale is the mean excess of
    the about sqrt(n) best (Weissman 1978, "Estimation of Parameters and Large Quantiles Based on the k Largest
    Observations"); as a mean of k exponentials it is gamma distributed, and each draw takes another.

    Raises:
        ValueError: Fewer than two of the trials worked.
    """
    n = len(losses)
    worked = np.sort(np.asarray([x for x in losses if math.isfinite(x)], dtype=float))
    if len(worked) < 2:
        raise ValueError(f"the luck of a search shows from two trials that worked or more, got {len(worked)}")
    top = max(1, min(len(worked) - 1, max(2, round(math.sqrt(n)))))
    scale = float((worked[top] - worked[:top]).mean())
    share = 1 - rng.random(draws) ** (1 / n)  # of the population that is better than the draw
    place = n * share - 0.5  # the i-th best of n, from 0, has a share of about (i + 1/2) / n above it
    best: Floats = np.interp(place, np.arange(len(worked)), worked)
    beyond = place < 0
    scales = scale * top / rng.gamma(top, size=int(beyond.sum()))
    best[beyond] -= scales * np.log(0.5 / np.maximum(n * share[beyond], 1e-12))
    return best
