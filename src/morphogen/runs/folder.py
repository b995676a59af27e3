"""The folder of a run: what is in it by which name, and what can be read of it before anything is assembled.

`run.toml` has everything resolved, `trials.sqlite` is the record, `trials/ID/` has checkpoints and logs, `report.html` is
the page, and `best/` the exported network.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from morphogen import config as configuration
from morphogen.config import Config
from morphogen.objective import MeasuredLimit, Objective
from morphogen.protocols import MorphogenError
from morphogen.record import recorded
from morphogen.space import Space
from morphogen.store import open as open_store
from morphogen.trial import Trial

__all__ = ["CONFIG", "EARLIER", "RECORD", "check_name", "new_folder", "read_config", "trials", "where"]

CONFIG = "run.toml"
RECORD = "trials.sqlite"
EARLIER = "earlier.json"
"""The trials of the earlier run, as they were when this one was made, so that resume repeats exactly."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(folder: Path) -> None:
    """Raises: MorphogenError: No run folder can be called so."""
    if not _NAME.fullmatch(folder.name):
        raise MorphogenError(
            f"'{folder.name}' cannot name a run folder: use up to 64 letters, digits, '.', '_' and '-'"
        )


def new_folder(config: Config) -> Path:
    """The next free folder under `runs/`, named after the space and the data."""
    stem = (
        re.sub(r"[^A-Za-z0-9._-]+", "-", f"{config.table or f'{config.space}-{config.data}'}").strip("-.")[:50] or "run"
    )
    for number in range(1, 10_000):
        if not (folder := Path("runs") / f"{stem}-{number}").exists():
            return folder
    raise MorphogenError(f"there are 9,999 runs called runs/{stem}-N already: choose an --out")


def read_config(folder: Path) -> Config:
    """The configuration of a run folder.

    Raises:
        MorphogenError: It holds no run.
    """
    if not (folder / CONFIG).is_file():
        raise MorphogenError(f"{folder} holds no run: it has no {CONFIG}")
    config = configuration.parse(configuration.load(folder / CONFIG), str(folder / CONFIG))
    # the earlier run may have gone on, or be gone: this one keeps what it was told
    return config if config.from_run is None else config.model_copy(update={"from_run": str(folder / EARLIER)})


def where(folder: Path, config: Config) -> str | Path:
    """What `morphogen.store.open` takes for the record of a run."""
    return folder / RECORD if config.store is None else config.store


def trials(
    folder: Path, config: Config, space: Space, objectives: Sequence[Objective], limits: Sequence[MeasuredLimit]
) -> list[Trial]:
    """What a run has recorded, by id; also while another process works on it."""
    store = open_store(where(folder, config), readonly=True)
    try:
        return recorded(store.stream(), space, objectives, limits)
    finally:
        store.close()
