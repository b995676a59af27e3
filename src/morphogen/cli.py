"""The command line."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from morphogen.config import Config

__all__ = ["main"]

app = typer.Typer(
    help="Neural architecture search for PyTorch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts twice as fast
)


class Exit(IntEnum):
    """0 it worked; 1 it could not be done; 2 it was asked wrongly; 130 it was interrupted."""

    FAILED = 1
    USAGE = 2
    INTERRUPTED = 130


Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key of the configuration, such as training.epochs=8.")]


@app.command()
def search(
    config: Annotated[Path | None, typer.Argument(metavar="[RUN.TOML]", help="A configuration; flags come on top of it.")] = None,
    space: Annotated[str | None, typer.Option(help="What may vary: a name, or package.module:name.")] = None,
    data: Annotated[str | None, typer.Option(help="A data set, or a .npz file.")] = None,
    table: Annotated[str | None, typer.Option(help="Look results up in a table instead of training.")] = None,
    strategy: Annotated[str | None, typer.Option(help="How to search: a strategy or a method.")] = None,
    trials: Annotated[int | None, typer.Option(help="How many architectures the search may try.")] = None,
    budget: Annotated[str | None, typer.Option(help="Time for everything, such as 90s, 10m, 1h30m.")] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at a time; changes no result.")] = None,
    slots: Annotated[int | None, typer.Option(help="Virtual workers of the logical clock; part of the run.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything.")] = None,
    executor: Annotated[str | None, typer.Option(help="Where trials run: processes, inline.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu, cuda, cuda:1.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; by default a new one under runs/.")] = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Search, retrain the finalists, export the winner, and say whether it was worth it."""
    from morphogen import config as configuration
    from morphogen.runs import run

    flags = {
        "space": space, "data": data, "table": table, "strategy": strategy, "trials": trials, "budget": budget, "workers": workers,
        "slots": slots, "seed": seed, "executor": executor, "device": device,
    }  # fmt: skip
    with _failures():
        values = configuration.load(config) if config is not None else {}
        for assignment in settings or []:
            configuration.assign(values, assignment)
        values.update({key: value for key, value in flags.items() if value is not None})
        parsed = configuration.parse(values, str(config) if config is not None else "search")
        _run(parsed, lambda: run.create(parsed, out if out is not None else run.new_folder(parsed)), as_json)


@app.command()
def resume(
    folder: RunFolder,
    workers: Annotated[int | None, typer.Option(help="Trials at a time; changes no result.")] = None,
    as_json: Json = False,
) -> None:
    """Go on with a run where it stopped, however it stopped."""
    from morphogen.runs import run

    with _failures():
        config = run.read_config(folder)
        if workers is not None:
            config = config.model_copy(update={"workers": workers})
        _run(config, lambda: folder, as_json)


@app.command()
def status(
    folder: RunFolder,
    last: Annotated[str, typer.Option(metavar="N|all", help="How many of the last trials to list.")] = "10",
    as_json: Json = False,
) -> None:
    """How far a run is, also while it goes on."""
    from morphogen.runs import status as of

    with _failures():
        count = None if last == "all" else _number(last, "--last")
        told = of.status(folder, count)
        _print(told.json) if as_json else told.show(_console())


@app.command()
def report(folder: RunFolder, as_json: Json = False) -> None:
    """Write the page of a run again."""
    from morphogen.runs import conclusion

    with _failures():
        path = conclusion.rewrite_report(folder)
        _print({"report": str(path)}) if as_json else _console().print(f"{path}", markup=False, soft_wrap=True)


@app.command()
def export(
    folder: RunFolder,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where to write the network.")],
    as_json: Json = False,
) -> None:
    """Write the winner of a run as a network that needs nothing of ours, and prove it."""
    from morphogen.runs import conclusion

    with _failures():
        exported = conclusion.export_again(folder, to)
        _print(exported) if as_json else _console().print(f"exported to {to}, verified", markup=False, soft_wrap=True)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(metavar="spaces|strategies|estimators|executors|data|tables", help="What to list.")],
    as_json: Json = False,
) -> None:
    """What there is, by the names that the other commands take."""
    from morphogen.runs import listing

    with _failures():
        rows = listing.rows(what)
        _print(rows) if as_json else listing.show(rows, _console())


@app.command()
def check(config: Annotated[Path, typer.Argument(metavar="RUN.TOML", help="A configuration.")], as_json: Json = False) -> None:
    """What will and will not work together, before anything runs."""
    from morphogen import config as configuration
    from morphogen.runs import listing

    with _failures():
        parsed = configuration.parse(configuration.load(config), str(config))
        checked = listing.check(parsed)
        _print(checked) if as_json else _console().print(listing.explain(checked), markup=False, soft_wrap=True)


def main() -> None:
    """Entry point: a failure is one line, never a traceback."""
    sys.path.insert(0, str(Path.cwd()))  # for package.module:name of one's own
    app()


def _run(config: Config, folder: Any, as_json: bool) -> None:
    from morphogen.protocols import MorphogenError
    from morphogen.runs import run
    from morphogen.runs.assembly import assemble
    from morphogen.runs.progress import Progress

    parts = assemble(config)
    path = folder()
    console = _console(stderr=as_json)
    progress = Progress(console, parts)
    console.print(f"run {path} · {config.strategy} on {config.table or f'{config.space} with {config.data}'}", markup=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = run.proceed(path, config, parts, progress)
    except KeyboardInterrupt:
        progress.close()
        console.print(f"stopped; nothing that finished is lost. Go on with: morphogen resume {path}", markup=False, soft_wrap=True)
        raise typer.Exit(Exit.INTERRUPTED) from None
    except BaseException:
        progress.close()
        raise
    progress.close()
    _print(result.json) if as_json else result.show(console)
    if result.export_error is not None:
        raise MorphogenError(f"the winner was not exported: {result.export_error}")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _failures() -> Iterator[None]:
    """The only place where an error becomes a line and an exit code."""
    from morphogen.protocols import MorphogenError

    try:
        yield
    except MorphogenError as error:
        _complain(str(error))
        raise typer.Exit(Exit.FAILED) from None
    except OSError as error:  # a full disk, a folder that may not be written
        _complain(f"{error.filename or 'a file'} cannot be read or written: {error.strerror or error}")
        raise typer.Exit(Exit.FAILED) from None
    except (ValueError, TypeError, LookupError) as error:
        _complain(str(error))
        raise typer.Exit(Exit.USAGE) from None
    except KeyboardInterrupt:
        _complain("interrupted")
        raise typer.Exit(Exit.INTERRUPTED) from None


def _complain(text: str) -> None:
    print(f"morphogen: {text}", file=sys.stderr)  # noqa: T201


def _number(text: str, flag: str) -> int:
    if not text.isdigit():
        raise ValueError(f"{flag} {text}: a number, or all")
    return int(text)


def _print(body: Any) -> None:
    print(json.dumps(body, indent=1, allow_nan=False))  # noqa: T201


def _console(stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


if __name__ == "__main__":
    main()
