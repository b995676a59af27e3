"""Is the search better than random search at equal budget? Three answers, with their uncertainty.

The estimate is the winner of the search minus the winner of the random arm, each retrained with several seeds. What it
is uncertain about, by Monte Carlo over all three at once (a percentile interval):

- *Seeds.* Their spread, pooled over all finalists of both arms; the mean of k runs has `t`-distributed error. A plain
  bootstrap of three seeds would have ten distinct values and intervals that cover about 75 %, not 95 %.
- *Luck.* Another random search would have found another best: a smoothed bootstrap of the random arm's trials
  (`luck.draw_best`). One run does not show the luck of the search itself, so it is taken to be as large as random's,
  which is exact under the null hypothesis that the search is random search.
- *Selection.* A winner was picked by one noisy run each: of the variance `V` of trials, a part `v` is noise (that of
  seeds), so `(V - v) / V` of its lead is its own, with a variance of `v (V - v) / V` (regression to the mean).

Trials that are cheaper than the retraining spread more than finished networks do; where both are accuracies, their
spread is scaled by the ratio of the errors. Simulated with both arms random, 4 to 64 trials and noise from none to as
large as the differences, the verdict says "better" in 0 to 4 % of the runs (2.5 % would be nominal; less where
accuracies crowd below a ceiling). Nothing is said about other test images than the ones used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist, mean, variance
from typing import Any, Literal, final

import numpy as np

from morphogen.report.luck import Floats, draw_best
from morphogen.report.units import is_fraction, number, points

__all__ = ["Answer", "Arm", "Verdict", "compare"]

Answer = Literal["better", "not better", "cannot tell"]

POWER = 0.8  # the chance to see a difference that is there, in the estimate of what is needed
EQUAL = 0.9  # budgets that differ by less than a tenth, or by one trial, count as equal
MOST = 1000  # an estimate above this says no more than "very many"


@final
@dataclass(frozen=True)
class Arm:
    """One side of the comparison.

    Args:
        losses: Of its trials, in the order told: the first objective, minimized; infinite where a trial failed.
        seconds: What each of them took.
        retrained: Per finalist, winner first, the retrained metric for each seed: more is better. Not finite where a
            retraining failed.
    """

    losses: Sequence[float]
    seconds: Sequence[float]
    retrained: Sequence[Sequence[float]] = ()

    def __post_init__(self) -> None:
        if len(self.losses) != len(self.seconds):
            raise ValueError(
                f"an arm has one loss and one time per trial, got {len(self.losses)} and {len(self.seconds)}"
            )

    @property
    def worked(self) -> list[float]:
        """The losses of trials that did not fail."""
        return [x for x in self.losses if math.isfinite(x)]

    @property
    def finalists(self) -> list[list[float]]:
        """The retrained metric without the seeds that failed, winner first."""
        return [[x for x in seeds if math.isfinite(x)] for seeds in self.retrained]


@final
@dataclass(frozen=True)
class Verdict:
    """The answer and what it stands on.

    Args:
        answer: `better`, `not better` or `cannot tell`.
        sentence: The same in plain English, with the numbers.
        difference: The estimate, search minus random, more is better; None where there is nothing to subtract.
        low: The lower end of the interval; None where there is none.
        high: The upper end.
        confidence: Of the interval.
        margin: The smallest difference that matters.
        metric: What the difference is in.
        retrained: Whether it compares retrained winners; otherwise it compares the best trials as they were searched.
        seeds_needed: Retraining seeds an arm that would tell; None where seeds are not what is missing.
        trials_needed: Trials an arm that would tell, in repeated searches with new seeds; None likewise.
        notes: What a reader should know besides.
    """

    answer: Answer
    sentence: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float = 0.95
    margin: float = 0.0
    metric: str = "accuracy"
    retrained: bool = False
    seeds_needed: int | None = None
    trials_needed: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**asdict(self), "notes": list(self.notes)}


def compare(
    search: Arm,
    random: Arm | None,
    rng: np.random.Generator,
    *,
    metric: str = "accuracy",
    margin: float = 0.002,
    confidence: float = 0.95,
    draws: int = 20_000,
) -> Verdict:
    """Whether the search is better than random search at equal budget.

    `better` where the whole interval is above 0; `not better` where it is below `margin`; otherwise it cannot tell, and
    estimates how many seeds or trials would. Where no arm was retrained, the best trials are compared as they are.

    Args:
        search: The search's arm.
        random: The random arm, None where there is none.
        rng: Of the Monte Carlo.
        metric: Name of what was retrained for, or of the first objective where nothing was.
        margin: The smallest difference that matters, in the unit of the metric.
        confidence: Of the interval.
        draws: Of the Monte Carlo.
    """
    reason, needs = _missing(search, random)
    if random is None or reason:
        sentence = f"{_UNKNOWN}: {reason}.{_lacking(needs)}"
        return Verdict("cannot tell", sentence, _raw(search, random), None, None, confidence, margin, metric, **needs)
    if not search.worked:
        sentence = "The search is not better than random search: none of its trials worked."
        return Verdict("not better", sentence, None, None, None, confidence, margin, metric)
    retrained = bool(search.retrained and random.retrained)
    notes = _notes(search, random)
    if retrained:
        difference, error, luck, spread = _retrained(search, random, metric, rng, draws)
    else:
        difference, error, spread = float(min(random.worked) - min(search.worked)), np.zeros(draws), 0.0
        luck = _luck(random, rng, draws)
    edge = (1 - confidence) / 2
    low, high = (float(x) for x in np.quantile(difference + error + luck, [edge, 1 - edge]))
    answer: Answer = "better" if low > 0 else "not better" if high <= margin else "cannot tell"
    unfair = _unfair(search, random, answer)
    if unfair:
        answer = "cannot tell"
    verdict = Verdict(answer, "", difference, low, high, confidence, margin, metric, retrained, notes=notes)
    needs = {} if unfair or answer != "cannot tell" else _needed(verdict, search, random, spread, _variance(luck))
    even = not any(note.startswith("the budgets") for note in notes)
    return replace(verdict, sentence=_sentence(verdict, needs, unfair, " at equal budget" if even else ""), **needs)


_UNKNOWN = "It cannot be told whether the search is better than random search"


def _missing(search: Arm, random: Arm | None) -> tuple[str, dict[str, Any]]:
    """Why there is nothing to compare, and what would be needed; an empty text where there is."""
    if random is None or not random.losses:
        return "there is no random arm to compare with", {"trials_needed": len(search.losses)} if search.losses else {}
    if not random.worked:
        return "no trial of the random arm worked", {"trials_needed": 2 * len(random.losses)}
    if not search.worked:
        return "", {}
    if bool(search.retrained) != bool(random.retrained):
        which = "random arm" if search.retrained else "search"
        return f"the finalists of the {which} were not retrained", {"seeds_needed": 3}
    if search.retrained and random.retrained:
        for arm, name in ((search, "search"), (random, "random arm")):
            if not arm.finalists[0]:
                return f"every retraining of the winner of the {name} failed", {"seeds_needed": 3}
        if not any(len(seeds) > 1 for seeds in (*search.finalists, *random.finalists)):
            return "the finalists were retrained with one seed, which does not show the noise of training", {
                "seeds_needed": 3
            }
    elif len(random.worked) < 2:
        return "one trial of the random arm does not show its spread", {"trials_needed": max(len(search.losses), 10)}
    return "", {}


def _lacking(needs: dict[str, Any]) -> str:
    if seeds := needs.get("seeds_needed"):
        return f" That needs about {seeds} retraining seeds for each winner."
    return f" That needs about {needs['trials_needed']} trials of it." if needs else ""


def _raw(search: Arm, random: Arm | None) -> float | None:
    """The difference of the winners alone, where both were retrained."""
    if random is None or not all(arm.finalists and arm.finalists[0] for arm in (search, random)):
        return None
    return float(mean(search.finalists[0]) - mean(random.finalists[0]))


def _retrained(
    search: Arm, random: Arm, metric: str, rng: np.random.Generator, draws: int
) -> tuple[float, Floats, Floats, float]:
    """The difference, draws of its error by seeds and by luck, and the spread of seeds."""
    seeds = [s for s in (*search.finalists, *random.finalists) if len(s) > 1]
    freedom = sum(len(s) - 1 for s in seeds)
    spread = math.sqrt(sum(variance(s) * (len(s) - 1) for s in seeds) / freedom)
    mine, theirs = search.finalists[0], random.finalists[0]
    scale = _scale(random, metric)
    error = rng.standard_t(freedom, draws) * spread * math.sqrt(1 / len(mine) + 1 / len(theirs))
    luck = np.zeros(draws)
    if len(random.worked) > 1:
        total = variance(random.worked) * scale**2
        noise = min(spread**2, total)
        own = 1 - noise / total if total > 0 else 0.0
        luck = own * scale * _luck(random, rng, draws) + rng.standard_normal(draws) * math.sqrt(2 * noise * own)
    return float(mean(mine) - mean(theirs)), error, luck, spread


def _luck(random: Arm, rng: np.random.Generator, draws: int) -> Floats:
    """The difference between the best of two random searches like this one."""
    return draw_best(random.losses, draws, rng) - draw_best(random.losses, draws, rng)


def _variance(draws: Floats) -> float:
    """That of the normal distribution with the same 95 % interval: the draws' own may be infinite."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float((high - low) / 3.92) ** 2


def _scale(random: Arm, metric: str) -> float:
    """How much smaller differences are after retraining: the ratio of the errors, for accuracies; else 1."""
    best = min(random.worked)
    if not is_fraction(metric) or not -1 < best <= 0:
        return 1.0
    return min(1.0, max(0.0, 1 - mean(random.finalists[0])) / (1 + best))


def _budget(arm: Arm, other: Arm) -> tuple[float, float]:
    """What an arm spent, and what its largest trial did: seconds, or trials where time was not taken."""
    timed = sum(arm.seconds) > 0 and sum(other.seconds) > 0
    return (sum(arm.seconds), max(arm.seconds)) if timed else (float(len(arm.losses)), 1.0)


def _even(mine: float, theirs: float, step: float) -> bool:
    """Whether two budgets are equal, give or take a tenth or one trial of the random arm."""
    return theirs + step >= EQUAL * mine and mine >= EQUAL * (theirs - step)


def _unfair(search: Arm, random: Arm, answer: Answer) -> str:
    """Why an answer is not at equal budget, where the arm that looks worse had less."""
    (mine, _), (theirs, step) = _budget(search, random), _budget(random, search)
    if _even(mine, theirs, step):
        return ""
    if answer == "better" and theirs < mine:
        return f"the random arm had {100 * theirs / mine:.0f} % of the search's budget"
    if answer == "not better" and mine < theirs:
        return f"the search had {100 * mine / theirs:.0f} % of the random arm's budget"
    return ""


def _notes(search: Arm, random: Arm) -> tuple[str, ...]:
    notes = []
    (mine, _), (theirs, step) = _budget(search, random), _budget(random, search)
    if not _even(mine, theirs, step):
        notes.append(
            f"the budgets were not equal: the random arm spent {100 * theirs / mine:.0f} % of what the search spent"
        )
    for arm, name in ((search, "search"), (random, "random arm")):
        if failed := len(arm.losses) - len(arm.worked):
            notes.append(f"{failed} of {len(arm.losses)} trials of the {name} failed")
        if failed := sum(map(len, arm.retrained)) - sum(map(len, arm.finalists)):
            notes.append(f"{failed} retrainings of the {name} failed and are left out")
    if not search.retrained:
        notes.append("the finalists were not retrained: the best trials are compared as they were searched")
    return tuple(notes)


def _needed(verdict: Verdict, search: Arm, random: Arm, spread: float, luck: float) -> dict[str, Any]:
    """Seeds, or else trials, that would see the difference (or the margin, if that is more) with a power of 80 %.

    The normal approximation: `(z_{1 - alpha/2} + z_power)^2` variances. More seeds shrink the variance of retraining
    only; the variance of luck shrinks with the number of searches, each of as many trials again.
    """
    effect = max(abs(verdict.difference or 0.0), verdict.margin)
    if effect == 0:
        return {}
    normal = NormalDist()
    wanted = (effect / (normal.inv_cdf((1 + verdict.confidence) / 2) + normal.inv_cdf(POWER))) ** 2
    if verdict.retrained and luck < wanted:
        had = min(len(search.finalists[0]), len(random.finalists[0]))
        seeds = math.ceil(2 * spread**2 / (wanted - luck))
        if seeds <= MOST:
            return {"seeds_needed": max(seeds, had + 1)}
    had = min(len(search.finalists[0]), len(random.finalists[0])) if verdict.retrained else 1
    searches = max(2, math.ceil((2 * spread**2 / had + luck) / wanted))
    return {"trials_needed": searches * max(len(search.losses), len(random.losses))}


def _sentence(verdict: Verdict, needs: dict[str, Any], unfair: str, budget: str) -> str:
    assert verdict.difference is not None
    assert verdict.low is not None
    assert verdict.high is not None
    if is_fraction(verdict.metric):
        digits = 1 if verdict.high - verdict.low >= 0.002 else 2
        estimate, low, high = (points(x, digits) for x in (verdict.difference, verdict.low, verdict.high))
        estimate += " points"
    else:
        estimate, low, high = (number(x) for x in (verdict.difference, verdict.low, verdict.high))
        estimate += f" in {verdict.metric}"
    numbers = f"{estimate} ({100 * verdict.confidence:g} % interval {low} to {high})"
    if unfair:
        return f"{_UNKNOWN}: {numbers}, but {unfair}."
    if verdict.answer != "cannot tell":
        is_better = "is better" if verdict.answer == "better" else "is not better"
        return f"The search {is_better} than random search{budget}: {numbers}."
    return f"{_UNKNOWN}{budget}: {numbers}.{_advice(needs, verdict)}"


def _advice(needs: dict[str, Any], verdict: Verdict) -> str:
    least = f"{points(verdict.margin)[1:]} points" if is_fraction(verdict.metric) else number(verdict.margin)
    goal = "" if abs(verdict.difference or 0.0) >= verdict.margin else f" whether it differs by {least}"
    if seeds := needs.get("seeds_needed"):
        return f" Retraining each winner with about {seeds} seeds would tell{goal}."
    if trials := needs.get("trials_needed"):
        amount = f"about {_rounded(trials)} trials" if trials <= 100 * MOST else "very many trials"
        return f" Repeated searches with {amount} in each arm would tell{goal}."
    return ""


def _rounded(trials: int) -> int:
    """To two digits: the estimate is no better."""
    step: int = 10 ** max(0, len(str(trials)) - 2)
    return -(-trials // step) * step
