"""A run from beginning to end: what `morphogen search` and `resume` do, for Python and for the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morphogen import config as configuration
from morphogen.config import Config
from morphogen.methods.phases import SEARCH
from morphogen.objective import best
from morphogen.predictors.validation import Ranked
from morphogen.protocols import Event, MorphogenError, Resources
from morphogen.runs import earlier
from morphogen.runs.assembly import Parts, assemble
from morphogen.runs.folder import CONFIG, RECORD, check_name, new_folder, read_config, where
from morphogen.runs.nameless import nameless
from morphogen.runs.ranking import Ranking
from morphogen.runs.rehearsal import Rehearsal
from morphogen.runs.tally import Tally
from morphogen.space import Space
from morphogen.store import open as open_store
from morphogen.study import Study
from morphogen.trial import Trial

if TYPE_CHECKING:
    from morphogen.runs.conclusion import Result
    from morphogen.training.data import Data

__all__ = ["Watcher", "create", "proceed", "resume", "search"]

Watcher = Callable[[Study, Event | None], None]
"""Called with the study once it stands (None), with every event when it is durable, and when all phases are over (None)."""

Listener = Callable[[int, float, Mapping[str, float]], None]
"""Called with what a running trial logs: its id, the step (such as an epoch), metrics."""


def search(
    space: str | Space | None = None,
    data: str | Data | None = "digits",
    *,
    strategy: str | Callable[[Space], Any] = "regularized-evolution",
    out: str | Path | None = None,
    watch: Watcher | None = None,
    **settings: Any,
) -> Result:
    """Search, retrain the finalists, export the winner, and say whether the search was worth it.

    Args:
        space: A name that `morphogen list spaces` shows, `package.module:name`, or a `Space`; by default the space that
            a method was published with, else `darts`.
        data: A name that `morphogen list data` shows, a file, or a `Data`.
        strategy: A strategy's or a method's name, `package.module:Name`, or a function from a space to a strategy.
        out: The run folder, which must not hold a run yet; by default a new one under `runs/`.
        watch: Sees every event.
        **settings: Any key of `morphogen.config.Config`: `trials=64`, `budget="10m"`, `workers=2`, `seed=0` ...

    Returns:
        The best network, the comparison and the verdict; `result.export(folder)` writes it again somewhere else.

    Raises:
        ValueError: A setting that cannot be; the message says what was expected.
        MorphogenError: No trial worked, or the run folder cannot be used.
    """
    objects = {"space": space, "data": data, "strategy": strategy}
    named = {
        key: value if isinstance(value, str) or value is None else nameless(value) for key, value in objects.items()
    }
    config = configuration.parse({**named, **settings}, "search()")
    parts = assemble(
        config,
        space=space if isinstance(space, Space) else None,
        data=None if isinstance(data, str) else data,
        strategy=None if isinstance(strategy, str) else strategy,
    )
    folder = create(config, Path(out) if out is not None else new_folder(config))
    return proceed(folder, config, parts, watch)


def resume(folder: str | Path, *, watch: Watcher | None = None, workers: int | None = None, **objects: Any) -> Result:
    """Go on with a run where it stopped, however it stopped. A finished run only writes its page and export again.

    Args:
        folder: The run folder.
        watch: Sees every event.
        workers: Other than before; the trials are the same.
        **objects: `space`, `data` or `strategy`, where the run was begun in Python with objects that have no name.

    Raises:
        MorphogenError: The folder holds no run, or another process works on it.
    """
    folder = Path(folder)
    config = read_config(folder)
    if workers is not None:
        config = config.model_copy(update={"workers": workers})
    return proceed(folder, config, assemble(config, **objects), watch)


def create(config: Config, folder: Path) -> Path:
    """Make a run folder.

    Raises:
        MorphogenError: It holds a run already, or cannot be written.
    """
    check_name(folder)
    if (folder / CONFIG).exists() or (folder / RECORD).exists():
        raise MorphogenError(f"{folder} holds a run already: `morphogen resume {folder}`, or choose another --out")
    if config.store is not None:
        _check_unused(config.store)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if config.from_run is not None:
            earlier.copy(Path(config.from_run), folder)
            config = config.model_copy(update={"from_run": str(Path(config.from_run).resolve())})
        configuration.save(config, folder / CONFIG)
    except OSError as error:
        raise MorphogenError(f"{folder} cannot be written: {error.strerror or error}") from None
    return folder


def _check_unused(address: str) -> None:
    store = open_store(address)
    try:
        if next(iter(store.stream()), None) is not None:
            raise MorphogenError(
                f"the store {address} has trials already: resume the folder of that run, or name another one"
            )
    finally:
        store.close()


def proceed(
    folder: Path,
    config: Config,
    parts: Parts,
    watch: Watcher | None = None,
    listen: Listener | None = None,
    ranked: Callable[[Ranked], None] | None = None,
) -> Result:
    """Run all phases of a run folder, from what is recorded to the end, then conclude."""
    from morphogen.runs.conclusion import conclude

    store = open_store(where(folder, config))
    tally = Tally(parts.objectives, parts.limits).read(folder)
    rehearsal = Rehearsal(folder)
    try:
        if parts.plan.budget is not None and parts.data is not None:
            parts.plan.reserve.measure = rehearsal.seconds
            rehearsal.start()
        tally.catch_up(store)
        workers = parts.executor()
        try:
            study = Study(
                space=parts.space,
                store=store,
                executor=workers,
                objectives=parts.objectives,
                limits=parts.limits,
                folder=folder,
                seed=config.seed,
                slots=config.slots,
                order=config.order,
                resources=Resources(config.trial_seconds, config.trial_memory_mb, config.trial_cpus, config.trial_gpus),
                device=parts.device,
            )
            study.listener = listen
            count = tally.keeping(folder)
            ranking = Ranking(parts, config.seed, folder, Ranking.read(folder))

            def saw(event: Event) -> None:
                count(event)
                found = ranking(study, event)
                if found is not None and ranked is not None:
                    ranked(found)
                if watch is not None:
                    watch(study, event)

            study.observer = saw
            if watch is not None:
                watch(study, None)
            for phase in parts.phases:
                study.run_phase(phase)
                # a supernet without an architecture is no result, nor would a random arm beside it be, or a baseline
                told = [t for t in study.told if t.phase == SEARCH] if phase.name == SEARCH else study.told
                if best(told) is None:
                    raise MorphogenError(_nothing_worked(told))
            if watch is not None:
                watch(study, None)
        finally:
            workers.close()
        return conclude(folder, config, parts, study.told, study.elapsed)
    finally:
        rehearsal.close()
        tally.write(folder)
        store.close()


def _nothing_worked(told: Sequence[Trial]) -> str:
    errors = [t.outcome.error for t in told if t.outcome is not None and t.outcome.error is not None]
    if not errors:
        return "no trial came to an end, the time was too short: give a longer --budget, or cheaper trials, such as --set training.epochs=4"
    return f"no trial worked out of {len(told)}; the first failed with: {errors[0].splitlines()[0]}"
