"""A table read from a file."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from morphogen.choice import Choice, When
from morphogen.estimators.tables import schema
from morphogen.estimators.tables.columns import Columns
from morphogen.estimators.tables.rows import rows_of
from morphogen.estimators.tabular import Entry
from morphogen.objective import Objective
from morphogen.protocols import MorphogenError
from morphogen.space import Architecture, Space
from morphogen.spaces import space as find_space
from morphogen.trial import Fidelity

__all__ = ["SHIPPED", "FileTable", "is_table_file", "load"]

SHIPPED = {"digits": str(Path(__file__).parent / "shipped" / "digits.toml")}
"""Tables that come with the package, by name."""

Floats = npt.NDArray[np.float64]
Amounts = tuple[tuple[str, float], ...]
"""A recorded fidelity: every axis with its amount, in the order of the axes."""


def is_table_file(name: str) -> bool:
    """Whether a person means a file or a folder, and not a name."""
    return name.endswith(".toml") or "/" in name or Path(name).is_dir()


def load(name: str | Path) -> FileTable:
    """The table of a TOML file, or of the folder that holds one. Read once.

    Raises:
        MorphogenError: It is missing or malformed; one line says how.
    """
    path = Path(name)
    if path.is_dir():
        found = sorted(path.glob("*.toml"))
        if len(found) != 1:
            has = ", ".join(p.name for p in found) or "none"
            raise MorphogenError(f"{path} is a folder with {len(found)} TOML files ({has}): name the one of the table")
        path = found[0]
    if not path.is_file():
        raise MorphogenError(f"there is no table {path}")
    return _loaded(path.resolve(), path.stat().st_mtime_ns)


@cache
def _loaded(path: Path, changed: int) -> FileTable:
    return FileTable(path)


@final
@dataclass(frozen=True)
class _Curve:
    """`values` of `[rows, runs, steps]`."""

    values: Floats
    steps: tuple[float, ...]
    axis: str | None

    def reached(self, amounts: Mapping[str, float]) -> int:
        """How many steps a training of these amounts gets to."""
        return len(self.steps) if self.axis is None else sum(s <= amounts[self.axis] for s in self.steps)


@final
class FileTable:
    """Recorded results by `docs/tables.md`. A `Table`, and it knows its optimum.

    A fidelity that was not recorded is answered by the highest recorded one that is nowhere above it, at the cost of that
    one. Where several trainings were recorded, `seed` picks one of them, the same for all metrics.

    Args:
        path: The TOML file.

    Raises:
        MorphogenError: Something in it or in its data cannot be; one line says what.
    """

    def __init__(self, path: Path) -> None:
        text = schema.read(path)
        self.path, self.name, self.about = path, text.name or path.stem, text.about
        columns = Columns(path.parent / text.data)
        self.space = _space(text, path)
        self._row_of = rows_of(text.architecture, columns, self.space)
        names = text.objectives or (next(iter(text.metrics)),)
        self.objectives = tuple(Objective(n, text.metrics[n].maximize) for n in names)
        self.full: Fidelity = dict(text.fidelity)
        self.report = text.report
        self._text = text
        self._runs = 1
        self._metrics = {
            name: {self._amounts(at.amounts): self._series(columns, at.column, m.scale) for at in m.at}
            | {self._amounts({}): self._series(columns, m.column, m.scale)}
            for name, m in text.metrics.items()
        }
        self._true = {n: columns.numbers(m.true) * m.scale for n, m in text.metrics.items() if m.true is not None}
        self._curves = {name: self._curve(columns, name, c) for name, c in text.curves.items()}
        self._points = self._recorded()
        self._seconds = self._durations(columns, text.seconds)
        for objective in self.objectives:
            self._check(columns, objective.metric)

    def __reduce__(self) -> tuple[Callable[[Path], FileTable], tuple[Path]]:
        return load, (self.path,)

    # --- answers --------------------------------------------------------------------------------------------------

    def entry(self, architecture: Architecture, fidelity: Fidelity, seed: int) -> Entry:
        """One recorded training, a function of its arguments.

        Raises:
            LookupError: The table has no such architecture, or nothing of so low a fidelity.
        """
        row = self._row(architecture)
        point = self._point(fidelity)
        rng = np.random.default_rng(seed)
        values = self._value(self.objectives[0].metric, point)
        assert values is not None
        runs = [run for run, value in enumerate(values[row].tolist()) if math.isfinite(value)]
        if not runs:
            return Entry({}, self._took(row, None, point), {}, error="the training failed: the table has NaN for it")
        run = runs[int(rng.integers(self._runs)) % len(runs)] if len(runs) > 1 else runs[0]
        metrics = {}
        for name, metric in self._text.metrics.items():
            found = self._value(name, point)
            value = math.nan if found is None else _of(found, row, run)
            if math.isfinite(value):
                metrics[name] = value + (float(rng.normal(0.0, metric.noise)) if metric.noise else 0.0)
        curves = {}
        for name, curve in self._curves.items():
            upto = curve.reached(dict(point)) if curve.axis is not None or point == self._amounts({}) else 0
            line = curve.values[row, min(run, curve.values.shape[1] - 1), :upto].tolist()
            if upto:
                curves[name] = [(s, v) for s, v in zip(curve.steps, line, strict=False) if math.isfinite(v)]
        return Entry(metrics, self._took(row, run, point), curves)

    def cost(self, architecture: Architecture, fidelity: Fidelity) -> float:
        """The mean seconds of the recorded trainings; of all architectures, for one that the table does not have."""
        try:
            return self._took(self._row(architecture), None, self._point(fidelity))
        except LookupError:
            return float(np.nanmean(self._seconds[self._points[-1]]))

    def truth(self, architecture: Architecture) -> float | None:
        """The first objective without the noise of one training: the mean of all. None where all failed."""
        row = self._row_of(architecture)
        value = math.nan if row is None else float(self._truths[row])
        return value if math.isfinite(value) else None

    @property
    def optimum(self) -> float:
        """The best `truth`."""
        best = np.nanmax if self.objectives[0].maximize else np.nanmin
        return float(best(self._truths))

    @property
    def worst(self) -> float:
        """The worst `truth` of a training that worked."""
        worst = np.nanmin if self.objectives[0].maximize else np.nanmax
        return float(worst(self._truths))

    @property
    def deterministic(self) -> bool:
        """Whether asking again, with another seed, gives the same."""
        return self._runs == 1 and not any(m.noise for m in self._text.metrics.values())

    @property
    def lowest(self) -> Fidelity:
        """The least recorded amount on every axis."""
        return {axis: min(dict(p)[axis] for p in self._points) for axis in self.full}

    @property
    def rows(self) -> int:
        """How many architectures are listed."""
        return len(self._truths)

    def at_end(self, architecture: Architecture, metric: str) -> float | None:
        """A metric of full trainings, averaged over them."""
        row = self._row_of(architecture)
        if row is None:
            return None
        values = self._metrics[metric][self._amounts({})][row]
        return float(np.nanmean(values)) if np.isfinite(values).any() else None

    # --- inside ---------------------------------------------------------------------------------------------------

    @property
    def _truths(self) -> Floats:
        metric = self.objectives[0].metric
        if metric not in self._true:
            values = self._metrics[metric][self._amounts({})]
            worked = np.isfinite(values)
            sums = np.where(worked, values, 0.0).sum(axis=1)
            counts = worked.sum(axis=1)
            self._true[metric] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        return self._true[metric]

    def _row(self, architecture: Architecture) -> int:
        row = self._row_of(architecture)
        if row is None:
            raise LookupError(f"table '{self.name}' has no row for {architecture.text}")
        return row

    def _amounts(self, given: Mapping[str, float]) -> Amounts:
        return tuple((axis, float(given.get(axis, full))) for axis, full in self._text.fidelity.items())

    def _share(self, point: Amounts) -> float:
        return math.prod(amount / self._text.fidelity[axis] for axis, amount in point)

    def _recorded(self) -> list[Amounts]:
        """The fidelities at which the first objective is known, rising."""
        metric = self.objectives[0].metric
        points = set(self._metrics[metric])
        curve = self._curves.get(metric)
        if curve is not None and curve.axis is not None:
            points |= {self._amounts({curve.axis: s}) for s in curve.steps if s < self._text.fidelity[curve.axis]}
        return sorted(points, key=lambda p: (self._share(p), p))

    def _point(self, fidelity: Fidelity) -> Amounts:
        wanted = self._amounts(fidelity)
        below = [p for p in self._points if all(a <= b + 1e-9 for (_, a), (_, b) in zip(p, wanted, strict=True))]
        if not below:
            least = ", ".join(f"{axis} {amount:g}" for axis, amount in self._points[0])
            asked = ", ".join(f"{axis} {amount:g}" for axis, amount in wanted)
            raise LookupError(f"table '{self.name}' has nothing at {asked}; the least it has is {least}")
        return below[-1]

    def _value(self, metric: str, point: Amounts) -> Floats | None:
        """`[rows, runs]`; None where the table does not have it at that fidelity."""
        if (found := self._metrics[metric].get(point)) is not None:
            return found
        curve = self._curves.get(metric)
        if curve is not None and curve.axis is not None and (upto := curve.reached(dict(point))):
            return curve.values[:, :, upto - 1]
        return self._metrics[metric][self._amounts({})] if self._text.metrics[metric].fixed else None

    def _took(self, row: int, run: int | None, point: Amounts) -> float:
        seconds = self._seconds[point]
        return float(np.nanmean(seconds[row])) if run is None else _of(seconds, row, run)

    def _series(self, columns: Columns, names: Sequence[str], scale: float) -> Floats:
        values = [columns.numbers(name) for name in names]
        if len(values) == 1 and values[0].ndim == 2:
            series = values[0] * scale
        elif all(v.ndim == 1 for v in values):
            series = np.stack(values, axis=1) * scale
        else:
            raise MorphogenError(
                f"{columns.path}: column '{names[0]}' has the shape {values[0].shape}; expected one number an architecture, or one a run"
            )
        self._count(columns, names[0], series.shape[1])
        return series

    def _count(self, columns: Columns, name: str, runs: int) -> None:
        if runs > 1 and self._runs not in (1, runs):
            raise MorphogenError(f"{columns.path}: '{name}' has {runs} runs an architecture, others have {self._runs}")
        self._runs = max(self._runs, runs)

    def _curve(self, columns: Columns, name: str, text: schema.CurveColumns) -> _Curve:
        values = [columns.numbers(n) for n in text.column]
        if len(values) > 1:
            values = [np.stack(values, axis=1)]
        (array,) = values
        array = array[:, None, :] if array.ndim == 2 else array
        if array.ndim != 3:
            raise MorphogenError(
                f"{columns.path}: curve '{name}' has the shape {array.shape}; expected rows, (runs,) steps"
            )
        self._count(columns, name, array.shape[1])
        steps = text.steps or tuple(float(s) for s in range(1, array.shape[2] + 1))
        if len(steps) != array.shape[2] or any(a >= b for a, b in itertools.pairwise(steps)):
            raise MorphogenError(
                f"{columns.path}: curve '{name}' has {array.shape[2]} points; expected as many `steps`, rising, got {len(steps)}"
            )
        return _Curve(array * text.scale, steps, text.axis)

    def _durations(self, columns: Columns, text: schema.SecondsColumns | None) -> dict[Amounts, Floats]:
        """Seconds, `[rows, runs]`, at every recorded fidelity."""
        assert columns.rows is not None
        if text is None:
            return {p: np.full((columns.rows, 1), self._share(p)) for p in self._points}
        if text.constant is not None:
            base = np.full((columns.rows, 1), text.constant * text.scale)
        else:
            assert text.column is not None
            base = self._series(columns, text.column, text.scale)
        given = {self._amounts(at.amounts): self._series(columns, at.column, text.scale) for at in text.at}
        found = {}
        for point in self._points:
            factor = dict(point)[text.per] if text.per is not None else self._share(point)
            found[point] = (given[point] if point in given else base * factor) + text.plus
            if not (np.nan_to_num(found[point], nan=1.0) > 0).all() or not np.isfinite(found[point]).any(axis=1).all():
                row = int((~(np.nan_to_num(found[point], nan=0.0) > 0).any(axis=1)).argmax())
                raise MorphogenError(
                    f"{columns.path}: row {row} takes {found[point][row].tolist()} seconds; expected more than 0"
                )
        return found

    def _check(self, columns: Columns, metric: str) -> None:
        for point in self._points:
            values = self._value(metric, point)
            where = ", ".join(f"{axis} {amount:g}" for axis, amount in point) or "full training"
            if values is None:
                raise MorphogenError(
                    f"{self.path}: the objective '{metric}' is not known at {where}: give it `at` or a curve"
                )
            bad = np.isinf(values).any(axis=1) | (~np.isfinite(values)).all(axis=1)
            if bad.any() and not (self._text.nan_fails and not np.isinf(values).any()):
                row = int(bad.argmax())
                raise MorphogenError(
                    f"{columns.path}: metric '{metric}' is {values[row].tolist()} in row {row} at {where}; expected a finite number, "
                    "or nan_fails = true where such trainings failed"
                )
        if not np.isfinite(self._truths).any():
            raise MorphogenError(f"{columns.path}: metric '{metric}' has no number at all")


def _of(values: Floats, row: int, run: int) -> float:
    """The value of a run; where all runs share one, that."""
    return float(values[row, run if values.shape[1] > 1 else 0])


def _space(text: schema.TableText, path: Path) -> Space:
    try:
        if text.space is not None:
            if ":" in text.space:
                raise ValueError(
                    f"'{text.space}' is code; a table names a published space, or spells its [[choices]] out"
                )
            return find_space(text.space)
        return Space(tuple(_choices(text.choices)), name=text.name or path.stem)
    except (ValueError, TypeError) as error:
        raise MorphogenError(f"{path}: {error}") from None


def _choices(texts: Sequence[schema.ChoiceText]) -> Iterator[Choice]:
    for text in texts:
        when = None
        if text.when is not None:
            if set(text.when) != {"choice", "any_of"} or not isinstance(text.when["choice"], str):
                raise ValueError(
                    f'choice \'{text.name}\': when is {{choice = "parent", any_of = ["option"]}}, got {text.when}'
                )
            any_of = text.when["any_of"]
            when = When(text.when["choice"], (any_of,) if isinstance(any_of, str) else tuple(any_of))
        yield Choice(text.name, text.options, text.pick, when, text.ordered)
