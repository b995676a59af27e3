"""A Gaussian process over the architectures of any space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors.kernel import Kernel, Points
from morphogen.predictors.layout import layout
from morphogen.space import Architecture, Space

__all__ = ["GaussianProcess", "Parameters", "Posterior", "fit_parameters"]

Array = NDArray[np.float64]

JITTER = 1e-6


class Parameters(NamedTuple):
    """Of a kernel, the unit of its bag distances, and how likely they are.

    Args:
        theta: The parameters.
        scale: The unit.
        likelihood: Logarithm of marginal likelihood times prior, up to a constant that all kernels share.
    """

    theta: Array
    scale: float
    likelihood: float


def fit_parameters(kernel: Kernel, points: Points, values: Array, steps: int = 30) -> Parameters:
    """Kernel parameters of the largest marginal likelihood times prior, from the prior's mean by L-BFGS.

    Rasmussen & Williams 2006, eq. (5.8) and (5.9). A function of its arguments.

    Args:
        kernel: What the parameters are of.
        points: Architectures.
        values: Theirs, with mean about 0 and variance about 1.
        steps: The most iterations.
    """
    from scipy.linalg import cho_factor, cho_solve
    from scipy.optimize import minimize

    seen = kernel.seen(points)
    n = len(values)

    def objective(theta: Array) -> tuple[float, Array]:
        covariance, back = kernel.with_gradient(theta, seen)
        noise = np.exp(theta[kernel.noise])
        covariance[np.diag_indices(n)] += noise + JITTER
        off = (theta - kernel.start) / kernel.spread
        try:
            factor = cho_factor(covariance, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return 1e10 + float(off @ off), off / kernel.spread
        alpha = cho_solve(factor, values, check_finite=False)
        inverse = cho_solve(factor, np.eye(n), check_finite=False)
        by_covariance = 0.5 * (inverse - np.outer(alpha, alpha))
        gradient = back(by_covariance)
        gradient[kernel.noise] = noise * np.trace(by_covariance)
        loss = 0.5 * float(values @ alpha) + float(np.log(np.diag(factor[0])).sum())
        return loss + 0.5 * float(off @ off), gradient + off / kernel.spread

    found = minimize(
        objective,
        kernel.start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-12.0, 12.0)] * kernel.size,
        options={"maxiter": steps},
    )
    return Parameters(np.asarray(found.x, float), seen.scale, -float(found.fun))


@final
class Posterior:
    """The process conditioned on a data set, with given parameters."""

    def __init__(self, kernel: Kernel, parameters: Parameters, points: Points, values: Array) -> None:
        from scipy.linalg import cho_solve, cholesky

        self.kernel, self.points = kernel, points
        self.theta, self.scale = parameters.theta, parameters.scale
        covariance = kernel.covariance(self.theta, self.scale, points, points)
        diagonal = np.diag_indices(len(values))
        covariance[diagonal] += np.exp(self.theta[kernel.noise])
        jitter = JITTER * max(1.0, float(covariance[diagonal].mean()))
        while True:
            covariance[diagonal] += jitter
            try:
                self.factor = cholesky(covariance, lower=True, check_finite=False)
                break
            except (
                np.linalg.LinAlgError
            ):  # equal architectures and next to no noise: more of it, until it can be inverted
                jitter *= 100
        self.alpha = cho_solve((self.factor, True), values, check_finite=False)

    def mean(self, points: Points) -> tuple[Array, Array]:
        """Mean, and the covariance with the data, `(data, n)`, that `deviation` needs."""
        cross = self.kernel.covariance(self.theta, self.scale, self.points, points)
        return np.asarray(self.alpha @ cross), cross

    def deviation(self, points: Points, cross: Array) -> Array:
        """Standard deviation of the function, without noise."""
        from scipy.linalg import solve_triangular

        solved = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        variance = self.kernel.variance(self.theta, points) - np.einsum("ij,ij->j", solved, solved)
        return np.asarray(np.sqrt(np.maximum(variance, 1e-10)))


@final
@dataclass
class GaussianProcess:
    """A Gaussian process with the kernel of `kernel.py`, its parameters by marginal likelihood.

    Ru et al. 2021, NAS-BOWL (arXiv:2006.07556), and Kandasamy et al. 2018, NASBOT (arXiv:1802.07191), are
    the same idea. Differs: no graph kernel; learned embeddings of options, paths where the space has a
    graph.

    Args:
        space: Of the architectures.
    """

    space: Space
    _posterior: Posterior | None = field(default=None, init=False, repr=False)
    _moments: tuple[float, float] = field(default=(0.0, 1.0), init=False, repr=False)

    def fit(self, architectures: Sequence[Architecture], values: Array, rng: np.random.Generator) -> None:
        kernel = Kernel(layout(self.space))
        points = kernel.points(kernel.layout.read(architectures))
        self._moments = float(values.mean()), float(values.std()) or 1.0
        scaled = (values - self._moments[0]) / self._moments[1]
        self._posterior = Posterior(kernel, fit_parameters(kernel, points, scaled), points, scaled)

    def predict(self, architectures: Sequence[Architecture]) -> tuple[Array, Array]:
        if self._posterior is None:
            raise ValueError("the Gaussian process was not fitted: call fit(architectures, values, rng) first")
        kernel = self._posterior.kernel
        points = kernel.points(kernel.layout.read(architectures))
        mean, cross = self._posterior.mean(points)
        center, scale = self._moments
        return center + scale * mean, scale * self._posterior.deviation(points, cross)
