"""One sitting at a run, as the command line has it: with progress to look at, and an end at any time."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console

from morphogen.config import Config
from morphogen.executors import together
from morphogen.runs import run, torchrun
from morphogen.runs.assembly import assemble
from morphogen.runs.progress import Progress

if TYPE_CHECKING:
    from morphogen.runs.conclusion import Result

__all__ = ["sitting"]


def sitting(config: Config, folder: Callable[[], Path], console: Console) -> Result | None:
    """Begin a run or go on with it, until it is concluded.

    Args:
        config: Of the run.
        folder: Makes or names the run folder, once everything was found to go together.
        console: For progress.

    Returns:
        The result; None in a process that only helps another one (torchrun).

    Raises:
        KeyboardInterrupt: Of SIGINT or SIGTERM; it says how to go on.
    """
    if together.launched() and not together.first():
        together.serve()
        return None
    parts = assemble(config)
    if together.launched():
        parts = torchrun.joined(parts)
    path = folder()
    progress = Progress(console, parts)
    console.print(
        f"run {path} · {config.strategy} on {config.table or f'{config.space} with {config.data}'}",
        markup=False,
        soft_wrap=True,
    )
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run.proceed(path, config, parts, progress, progress.hear, progress.ranked)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped; nothing that finished is lost. Go on with: morphogen resume {path}"
        ) from None
    finally:
        progress.close()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
