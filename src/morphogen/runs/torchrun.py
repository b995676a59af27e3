"""A run that `torchrun` has started in several processes; what they do together is in `executors.together`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from morphogen.config import Config
from morphogen.executors.together import Together, restarted
from morphogen.methods.phases import SUPERNET
from morphogen.runs.assembly import Parts
from morphogen.runs.folder import CONFIG, read_config

__all__ = ["begun", "joined"]


def joined(parts: Parts) -> Parts:
    """The same run, whose supernets all processes train.

    Raises:
        ValueError: It trains none.
    """
    if all(phase.name != SUPERNET for phase in parts.phases):
        raise ValueError(
            "torchrun has started several processes, but this search trains no supernet that they could share: "
            "start it without torchrun, and have trials side by side with --workers"
        )
    return replace(parts, executor=partial(Together, parts.executor))


def begun(config: Config, out: Path | None) -> Path | None:
    """The run that was begun before `torchrun --max-restarts` started these processes again; None: there is none."""
    if out is None or not restarted() or not (out / CONFIG).is_file():
        return None
    same = {"from_run": None}  # the folder keeps a copy of its own
    return out if read_config(out).model_copy(update=same) == config.model_copy(update=same) else None
