"""A run as it is recorded, with its parts put together again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from morphogen.config import Config
from morphogen.runs import folder as files
from morphogen.runs.assembly import Parts, assemble
from morphogen.trial import Trial

__all__ = ["read"]


def read(folder: Path, **objects: Any) -> tuple[Config, Parts, list[Trial]]:
    """Configuration, parts, and trials by id; also while another process works on it.

    Args:
        folder: The run folder.
        **objects: `space`, `data` or `strategy`, where the run was begun in Python with objects that have no name.

    Raises:
        MorphogenError: It holds no run, or a record that cannot be read.
    """
    config = files.read_config(folder)
    parts = assemble(config, **objects)
    return config, parts, files.trials(folder, config, parts.space, parts.objectives, parts.limits)
