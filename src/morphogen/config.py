"""The configuration of a run: one model for `run.toml`, for the command line and for Python.

TOML only. An unknown key names the nearest known one, a wrong value names the key, what it got and what was expected.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, final

import tomli_w
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from morphogen.catalog import nearest
from morphogen.methods import SPACE, SPACES

__all__ = ["Config", "FinalConfig", "assign", "duration", "load", "parse", "save"]

MAX_BYTES = 1_000_000
MAX_DOTS = 1000
"""In a line: `tomllib` takes minutes for a key of 50,000 parts."""
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(value: object) -> object:
    """Seconds from `90`, `"90s"`, `"10m"`, `"1h30m"`; anything else is left for validation to refuse."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if parts and "".join(n + u for n, u in parts) == text:
        return sum(float(n) * _UNITS[u] for n, u in parts)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"'{value}' is not a duration; write 90s, 10m or 1h30m") from None


def _without_password(url: str) -> str:
    # it would be written into run.toml
    if re.match(r"[a-z+]+://[^/@]*:[^@]*@|.*[?&]password=", url):
        raise ValueError("keep the password out of the URL: libpq reads it from ~/.pgpass or from PGPASSWORD")
    return url


def _writable(options: dict[str, Any]) -> dict[str, Any]:
    """What comes back from `run.toml` as it was: TOML has no None, and no part of a run takes its dates."""
    for value in _inside(options):
        if isinstance(value, date | time):  # a datetime is a date
            raise ValueError(f"{value} is a date or a time, which no option takes; write it in quotes")
        if value is None:
            raise ValueError("None stands for a default: leave the key out")
    return options


def _inside(value: object) -> Iterator[object]:
    """A value, and all keys and values in it."""
    waiting = [value]
    while waiting:
        yield (found := waiting.pop())
        if isinstance(found, Mapping):
            waiting += [*found.keys(), *found.values()]
        elif isinstance(found, list | tuple):
            waiting += found


Options = Annotated[dict[str, Any], AfterValidator(_writable)]
Seconds = Annotated[float, BeforeValidator(duration), Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**9)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, ser_json_inf_nan="constants")


@final
class FinalConfig(_Model):
    """What happens after the search: the finalists of each arm, trained in full with several seeds."""

    finalists: Count = 2
    seeds: Count = 3
    skeleton: Options = Field(default_factory=dict)
    training: Options = Field(default_factory=dict)


@final
class Config(_Model):
    """Everything that a run is a function of, and where it runs.

    The trials are a function of all but `workers`, `executor`, `ray_address`, `store`, `device` and (which prefix of
    them) `budget`.
    """

    space: str = SPACE
    data: str | None = "digits"
    table: str | None = None
    strategy: str = "regularized-evolution"
    trials: Count | None = None
    budget: Seconds | None = None
    core_hours: Annotated[float, Field(gt=0)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    split_seed: Annotated[int, Field(ge=0)] = 0
    slots: Count = 4
    order: Literal["logical", "finish"] = "logical"
    workers: Count = 1
    executor: str | None = None
    ray_address: str | None = None
    store: Annotated[str, AfterValidator(_without_password)] | None = None
    device: str = "cpu"
    objectives: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    limits: dict[str, float] = Field(default_factory=dict)
    latency_model: str | None = None
    data_options: Options = Field(default_factory=dict)
    control: bool = True
    start: tuple[str, ...] = ()
    from_run: str | None = None
    trial_seconds: Seconds | None = None
    trial_memory_mb: Annotated[float, Field(gt=0)] | None = None
    trial_cpus: Annotated[float, Field(gt=0)] = 1.0
    trial_gpus: Annotated[float, Field(ge=0)] = 0.0
    strategy_options: Options = Field(default_factory=dict)
    skeleton: Options = Field(default_factory=dict)
    training: Options = Field(default_factory=dict)
    final: FinalConfig = Field(default_factory=FinalConfig)

    @model_validator(mode="before")
    @classmethod
    def _text(cls, values: Any) -> Any:
        """What a shell passes on and no text file can have, such as a name of a file in another encoding."""
        for value in _inside(values):
            if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
                raise ValueError(f"{value!r} has bytes that are no text in UTF-8: give it another name")
        return values

    @model_validator(mode="before")
    @classmethod
    def _data_or_a_table(cls, values: Any) -> Any:
        """A table needs no data, and nothing else goes without."""
        if not isinstance(values, Mapping):
            return values
        if values.get("table") is not None:
            return {**values, "data": None}
        if "data" in values and values["data"] is None:
            raise ValueError("a run needs data, or a table; got neither")
        return values

    @model_validator(mode="before")
    @classmethod
    def _space_of_the_method(cls, values: Any) -> Any:
        """Where nobody names a space, that of the method: resolved here, so that `run.toml` repeats the run."""
        if not isinstance(values, Mapping) or values.get("space") is not None:
            return values
        strategy = values.get("strategy")
        return {**values, "space": SPACES.get(strategy, SPACE) if isinstance(strategy, str) else SPACE}


def parse(values: Mapping[str, Any], source: str) -> Config:
    """Validate; `source` is what messages call the place that the values come from.

    Raises:
        ValueError: One line that names the key, what it got and what was expected.
    """
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        raise ValueError(f"{source}: {_explain(error)}") from None


def load(path: Path) -> dict[str, Any]:
    """Read a TOML file, not validated yet: flags of the command line may come on top.

    Raises:
        ValueError: No such file, too large a file, or no TOML.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path} has {path.stat().st_size} bytes; a configuration has at most {MAX_BYTES}")
        text = path.read_text(encoding="utf-8")
        if any(line.count(".") > MAX_DOTS for line in text.splitlines()):
            raise ValueError(f"{path} has a line with more than {MAX_DOTS} dots; no key is nested so deeply")
        return tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from None


def save(config: Config, path: Path) -> None:
    """Write everything, resolved: the file repeats the run."""
    path.write_text(tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)), encoding="utf-8")


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    path = [str(p) for p in first["loc"]]
    key = ".".join(path)
    if not key:  # of the whole
        return first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        model: type[BaseModel] = FinalConfig if path[0] == "final" and len(path) > 1 else Config
        there_are = f"; there are {', '.join(model.model_fields)}"
        return f"there is no key '{key}'{nearest(path[-1], model.model_fields) or there_are}"
    shown = re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", repr(first["input"]))
    return f"{key} = {shown}: {first['msg'].removeprefix('Value error, ')}"


def assign(values: dict[str, Any], assignment: str) -> None:
    """Put `training.epochs=8` into the values of a configuration; the right side is TOML, or else text.

    Raises:
        ValueError: It is not of the form key=value.
    """
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise ValueError(f"--set {assignment}: write KEY=VALUE, such as training.epochs=8")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # of which a number with too many digits is one
        value = text
    *path, last = key.split(".")
    for part in path:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ValueError(f"--set {assignment}: '{part}' is a value, not a table")
    values[last] = value
