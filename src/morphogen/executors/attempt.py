"""One attempt at a trial: the one place where whatever goes wrong in an estimator becomes a failed trial."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from dataclasses import replace

from morphogen.executors.curves import MAX_METRICS, Recorder, thin
from morphogen.protocols import Context
from morphogen.space import Architecture
from morphogen.trial import Outcome, Proposal

__all__ = ["MAX_ERROR", "attempt"]

MAX_ERROR = 4000
"""Characters of an error that are kept: the first line and the end of the traceback."""


def attempt(estimator: Callable[[Proposal, Context], Outcome], proposal: Proposal, context: Context) -> Outcome:
    """Judge a proposal; always an outcome, except where the process is told to end (`KeyboardInterrupt`, `SystemExit`).

    A failed trial's `error` is one line and then the end of the traceback. Curves that the estimator does not give are
    those that it logged; `seconds` that it does not give are measured. Metrics come out as plain floats.
    """
    recorder = Recorder(context.log)
    started = time.perf_counter()
    try:
        outcome = _checked(estimator(proposal, replace(context, log=recorder)))
    except Exception as error:  # whatever a network, a data set or somebody's code can raise is this trial's result
        outcome = Outcome(error=_describe(error))
    seconds = outcome.seconds if outcome.seconds > 0 else time.perf_counter() - started
    return replace(outcome, seconds=seconds, curves=outcome.curves or recorder.curves)


def _checked(outcome: Outcome) -> Outcome:
    """The outcome in plain types; what is no outcome raises."""
    if not isinstance(outcome, Outcome):
        raise TypeError(f"the estimator gave {type(outcome).__name__}, expected an Outcome")
    if outcome.found is not None and not isinstance(outcome.found, Architecture):
        raise TypeError(f"the estimator found {type(outcome.found).__name__}, expected an Architecture")
    if len(outcome.metrics) > MAX_METRICS:
        raise ValueError(f"the estimator gave {len(outcome.metrics)} metrics, expected {MAX_METRICS} at most")
    metrics = {str(metric): float(value) for metric, value in outcome.metrics.items()}
    error = None if outcome.error is None else _bounded(str(outcome.error), "")
    if bad := [metric for metric, value in metrics.items() if math.isnan(value)]:
        metrics = {metric: value for metric, value in metrics.items() if metric not in bad}
        error = error or f"metric {', '.join(bad)} is NaN: the training diverged, or there is nothing to average"
    seconds = float(outcome.seconds)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"the estimator gave {seconds} seconds, expected a number from 0 on")
    curves = {str(metric): thin(curve) for metric, curve in outcome.curves.items()}
    return replace(outcome, metrics=metrics, curves=curves, seconds=seconds, error=error)


def _describe(error: Exception) -> str:
    kind = type(error).__name__
    lines = traceback.format_exception_only(error)
    # notes follow the line that has the message, and the place of a syntax error goes before it
    line = next((x for x in lines if x.partition(":")[0].strip().rpartition(".")[2] == kind), kind).strip()
    _, colon, message = line.partition(":")
    first = f"{kind}{colon}{message}".splitlines()[0]
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.intersection(_phrases(line)):
        first = f"out of memory: {first}"
    return _bounded(first, "".join(traceback.format_exception(error)))


_OUT_OF_MEMORY = frozenset({"out of memory", "can't allocate memory", "cannot allocate memory"})
"""What the allocators of CUDA, of PyTorch on a CPU, and of the C library say."""


def _phrases(text: str) -> frozenset[str]:
    lower = text.lower()
    return frozenset(phrase for phrase in _OUT_OF_MEMORY if phrase in lower)


def _bounded(first: str, rest: str) -> str:
    """The first line, then as much of the end of the rest as there is room for."""
    room = MAX_ERROR - len(first) - 5
    if room <= 0 or len(first) + len(rest) + 1 <= MAX_ERROR:
        return f"{first}\n{rest}".rstrip()[:MAX_ERROR]
    return f"{first}\n...\n{rest[-room:]}".rstrip()
