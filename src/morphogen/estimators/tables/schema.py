"""What the TOML beside a data file may say; `docs/tables.md` is this for people."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from morphogen.catalog import nearest
from morphogen.protocols import MorphogenError

__all__ = [
    "ArchitectureColumns",
    "At",
    "ChoiceText",
    "CurveColumns",
    "MetricColumns",
    "SecondsColumns",
    "TableText",
    "read",
]

MAX_BYTES = 4_000_000
"""Of the TOML: a space of many choices may be spelled out."""


def _names(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names), Field(min_length=1)]
"""A column, or several."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


@final
class ChoiceText(_Model):
    """A choice, spelled out: the fields of `morphogen.Choice`."""

    name: str
    options: tuple[str, ...]
    pick: int | tuple[int, int] = 1
    when: dict[str, str | list[str]] | None = None
    ordered: bool = False


@final
class ArchitectureColumns(_Model):
    """Which architecture a row is of: `columns`, a published `text`, or the beginning of its `identity`."""

    columns: Names | None = None
    choices: tuple[str, ...] | None = None
    options: tuple[str, ...] | dict[str, tuple[str, ...]] | None = None
    text: str | None = None
    identity: str | None = None
    digits: int | None = Field(default=None, ge=1, le=16)
    delta: bool = False

    @model_validator(mode="after")
    def _one_form(self) -> ArchitectureColumns:
        given = [n for n in ("columns", "text", "identity") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of columns, text, identity; got {', '.join(given) or 'none'}")
        return self


class At(BaseModel):
    """Columns for a lower fidelity; every other key is the amount of an axis."""

    model_config = ConfigDict(extra="allow", frozen=True)
    column: Names
    __pydantic_extra__: dict[str, float] = Field(init=False)

    @property
    def amounts(self) -> dict[str, float]:
        """Axis -> amount."""
        return dict(self.__pydantic_extra__)


@final
class MetricColumns(_Model):
    """A metric: a column, or several columns or a second array axis for several training runs."""

    column: Names
    maximize: bool = False
    scale: float = 1.0
    noise: float = Field(default=0.0, ge=0)
    true: str | None = None
    fixed: bool = False
    at: tuple[At, ...] = ()


@final
class CurveColumns(_Model):
    """A learning curve: an array of `[rows, steps]` or `[rows, runs, steps]`, or a column a step."""

    column: Names
    steps: tuple[float, ...] | None = None
    scale: float = 1.0
    axis: str | None = None


@final
class SecondsColumns(_Model):
    """What a training takes: a column or a constant, for all of it or for each unit of an axis."""

    column: Names | None = None
    constant: float | None = Field(default=None, gt=0)
    scale: float = Field(default=1.0, gt=0)
    plus: float = Field(default=0.0, ge=0)
    per: str | None = None
    at: tuple[At, ...] = ()

    @model_validator(mode="after")
    def _one_source(self) -> SecondsColumns:
        if (self.column is None) == (self.constant is None):
            raise ValueError("give a column or a constant")
        if self.per is not None and self.at:
            raise ValueError("give `per` or `at`: seconds for each unit need no others")
        return self


@final
class TableText(_Model):
    """The whole file."""

    data: str
    architecture: ArchitectureColumns
    metrics: dict[str, MetricColumns] = Field(min_length=1)
    name: str | None = None
    about: str = ""
    space: str | None = None
    choices: tuple[ChoiceText, ...] = ()
    objectives: tuple[str, ...] = ()
    report: str | None = None
    nan_fails: bool = False
    fidelity: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    curves: dict[str, CurveColumns] = Field(default_factory=dict)
    seconds: SecondsColumns | None = None

    @model_validator(mode="after")
    def _consistent(self) -> TableText:
        if (self.space is None) == (not self.choices):
            raise ValueError("give `space`, a published name, or [[choices]] that spell it out")
        wanted = [*self.objectives, *([self.report] if self.report else [])]
        for name in wanted:
            if name not in self.metrics:
                raise ValueError(
                    f"there is no metric '{name}'{nearest(name, self.metrics)}; there are {', '.join(self.metrics)}"
                )
        axes = [(f"curves.{n}", c.axis) for n, c in self.curves.items() if c.axis]
        axes += [(f"metrics.{n}", axis) for n, m in self.metrics.items() for at in m.at for axis in at.amounts]
        if self.seconds is not None:
            axes += [("seconds", axis) for at in self.seconds.at for axis in at.amounts]
            axes += [("seconds", self.seconds.per)] if self.seconds.per else []
        for where, axis in axes:
            if axis not in self.fidelity:
                raise ValueError(f"{where}: there is no fidelity axis '{axis}'; say its full amount under [fidelity]")
        for name, metric in self.metrics.items():
            for at in metric.at:
                if bad := [a for a, x in at.amounts.items() if not 0 < x <= self.fidelity[a] or not math.isfinite(x)]:
                    raise ValueError(
                        f"metrics.{name}.at: {bad[0]} = {at.amounts[bad[0]]:g} is not above 0 and up to the full {self.fidelity[bad[0]]:g}"
                    )
        return self


def read(path: Path) -> TableText:
    """Read and validate.

    Raises:
        MorphogenError: No such file, no TOML, or something in it that cannot be; in one line that names the key.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MorphogenError(f"{path} has {path.stat().st_size} bytes; a table's TOML has at most {MAX_BYTES}")
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise MorphogenError(f"{path} cannot be read: {error}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MorphogenError(f"{path} is not valid TOML: {error}") from None
    try:
        return TableText.model_validate(values)
    except ValidationError as error:
        raise MorphogenError(f"{path}: {_explain(error, values)}") from None


def _explain(error: ValidationError, values: Mapping[str, Any]) -> str:
    first = error.errors()[0]
    key = ".".join(str(p) for p in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"there is no key '{key}'{nearest(str(first['loc'][-1]), TableText.model_fields)}"
    if first["type"] == "missing":
        return f"the key '{key}' is missing; there are {', '.join(values) or 'none'}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message
