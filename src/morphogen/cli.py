"""The command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morphogen import __version__
from morphogen.failures import failures

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


Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the configuration, such as training.epochs=8."),
]


def _say_version(asked: bool) -> None:
    if asked:
        print(f"morphogen {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass  # options of the program itself, all of them eager


@app.command()
def search(
    config: Annotated[
        Path | None, typer.Argument(metavar="[RUN.TOML]", help="A configuration; flags come on top of it.")
    ] = None,
    space: Annotated[str | None, typer.Option(help="What may vary: a name, or package.module:name.")] = None,
    data: Annotated[str | None, typer.Option(help="A data set, a .npz file, or a folder of images.")] = None,
    table: Annotated[str | None, typer.Option(help="Look results up in a table instead of training.")] = None,
    strategy: Annotated[str | None, typer.Option(help="How to search: a strategy or a method.")] = None,
    trials: Annotated[int | None, typer.Option(help="How many architectures the search may try.")] = None,
    budget: Annotated[str | None, typer.Option(help="Time for everything, such as 90s, 10m, 1h30m.")] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at a time; changes no result.")] = None,
    slots: Annotated[int | None, typer.Option(help="Virtual workers of the logical clock; part of the run.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything.")] = None,
    executor: Annotated[str | None, typer.Option(help="Where trials run: processes, inline, ray.")] = None,
    ray_address: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Of a Ray cluster.")] = None,
    store: Annotated[
        str | None, typer.Option(help="The record, where it is not in the run folder: postgresql://HOST/DB?study=NAME.")
    ] = None,
    objectives: Annotated[
        str | None, typer.Option(metavar="METRIC,METRIC", help="What is sought, such as accuracy,latency_ms.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu, cuda, cuda:1.")] = None,
    start: Annotated[
        list[str] | None, typer.Option(metavar="ARCHITECTURE", help="An architecture to try first; may be repeated.")
    ] = None,
    from_run: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="An earlier run to learn from.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; by default a new one under runs/.")] = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Search, retrain the finalists, export the winner, and say whether it was worth it."""
    from morphogen import config as configuration
    from morphogen.runs import run, torchrun
    from morphogen.runs.folder import new_folder

    flags = {
        "space": space, "data": data, "table": table, "strategy": strategy, "trials": trials, "budget": budget, "workers": workers,
        "slots": slots, "seed": seed, "executor": executor, "ray_address": ray_address, "store": store,
        "objectives": None if objectives is None else objectives.split(","), "device": device,
        "start": start or None, "from_run": None if from_run is None else str(from_run),
    }  # fmt: skip
    with failures():
        values = configuration.load(config) if config is not None else {}
        for assignment in settings or []:
            configuration.assign(values, assignment)
        values.update({key: value for key, value in flags.items() if value is not None})
        parsed = configuration.parse(values, str(config) if config is not None else "search")
        _run(
            parsed,
            lambda: torchrun.begun(parsed, out) or run.create(parsed, out if out is not None else new_folder(parsed)),
            as_json,
        )


@app.command()
def resume(
    folder: RunFolder,
    workers: Annotated[int | None, typer.Option(help="Trials at a time; changes no result.")] = None,
    as_json: Json = False,
) -> None:
    """Go on with a run where it stopped, however it stopped."""
    from morphogen.runs.folder import read_config

    with failures():
        config = read_config(folder)
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

    with failures():
        count = None if last == "all" else _number(last, "--last")
        told = of.status(folder, count)
        _print(told.json) if as_json else told.show(_console())


@app.command()
def health(
    folder: RunFolder,
    sharpness: Annotated[
        bool, typer.Option("--sharpness", help="Compute the largest eigenvalue of the validation loss over the logits.")
    ] = False,
    agreement: Annotated[
        int | None,
        typer.Option(metavar="K", help="Compare shared weights with K architectures trained alone, such as 8."),
    ] = None,
    trial: Annotated[int | None, typer.Option(help="Of which supernet, where there are several.")] = None,
    as_json: Json = False,
) -> None:
    """How well the supernet of a run is, also while it trains; what costs more says its price first."""
    from morphogen.runs import health as of

    with failures():
        console = _console(stderr=True)

        def say(text: str) -> None:
            console.print(text, markup=False, soft_wrap=True)

        told = of.health(folder, sharpness=sharpness, agreement_of=agreement, trial=trial, say=say)
        _print(told.json) if as_json else told.show(_console())


@app.command()
def report(folder: RunFolder, as_json: Json = False) -> None:
    """Write the page of a run again."""
    from morphogen.runs import conclusion

    with failures():
        path = conclusion.rewrite_report(folder)
        _print({"report": str(path)}) if as_json else _console().print(f"{path}", markup=False, soft_wrap=True)


Repeats = Annotated[int | None, typer.Option(help="N of the paper; for DARTS the number of cells.")]
Channels = Annotated[int | None, typer.Option(help="F of the paper: channels of the first cells.")]
Classes = Annotated[int | None, typer.Option(help="How many.")]
ImageSize = Annotated[int | None, typer.Option(help="Height and width.")]
StemMultiplier = Annotated[int | None, typer.Option(help="Of the channels of the stem.")]
Auxiliary = Annotated[
    bool | None, typer.Option("--auxiliary/--no-auxiliary", help="Whether there is an auxiliary head.")
]
OfSpace = Annotated[str | None, typer.Option(help="The space, where the architecture is a point of one.")]
Preset = Annotated[str | None, typer.Option(help="A preset of the space, such as search, final, imagenet.")]


@app.command()
def profile(
    config: Annotated[
        Path | None, typer.Argument(metavar="[RUN.TOML]", help="A configuration: what the run will cost.")
    ] = None,
    architecture: Annotated[str | None, typer.Option(help="zoo:NAME, Genotype(...), or one of --space.")] = None,
    space: Annotated[str | None, typer.Option(help="A space: how large, and what its networks cost.")] = None,
    data: Annotated[str | None, typer.Option(help="Measure seconds an epoch on it, too.")] = None,
    skeleton: Preset = None,
    repeats: Repeats = None,
    channels: Channels = None,
    classes: Classes = None,
    image_size: ImageSize = None,
    stem_multiplier: StemMultiplier = None,
    auxiliary: Auxiliary = None,
    batch_size: Annotated[int, typer.Option(help="Images that memory is for.")] = 64,
    sample: Annotated[int, typer.Option(help="Architectures of the space that are counted.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    layers: Annotated[bool, typer.Option("--layers", help="With the table of layers.")] = False,
    measure: Annotated[
        int | None, typer.Option(metavar="N", help="Learn the latency of a space from N architectures, on this device.")
    ] = None,
    to: Annotated[Path, typer.Option(metavar="FILE", help="Where --measure writes its model.")] = Path("latency.json"),
    threads: Annotated[int, typer.Option(help="Of a CPU, for --measure.")] = 1,
    latency_batch: Annotated[int, typer.Option(help="Images at a time, for --measure.")] = 1,
    device: Annotated[str, typer.Option(help="For --measure: such as cpu, cuda.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Parameters, multiply-adds, activations, memory, seconds an epoch, hours: before spending them."""
    from morphogen.runs import profile as profiling
    from morphogen.runs.named import Sizes

    with failures():
        sizes = Sizes(repeats, channels, classes, image_size, stem_multiplier, auxiliary)
        measured = None if measure is None else profiling.Measured(measure, to, latency_batch, threads, device)
        found = profiling.command(
            config=config, architecture=architecture, space=space, data=data, skeleton=skeleton, sizes=sizes,
            batch_size=batch_size, sample=sample, seed=seed, layers=layers, console=_console(stderr=True), measured=measured,
        )  # fmt: skip
        _print(found) if as_json else _console().print(profiling.explain(found), markup=False, soft_wrap=True)


@app.command()
def export(
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where to write the network.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="The folder of a run, whose winner is written.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="Instead of a run: zoo:NAME, Genotype(...), or one of --space; untrained.")
    ] = None,
    space: OfSpace = None,
    skeleton: Preset = None,
    repeats: Repeats = None,
    channels: Channels = None,
    classes: Classes = None,
    image_size: ImageSize = None,
    stem_multiplier: StemMultiplier = None,
    seed: Annotated[int, typer.Option(help="Of untrained weights.")] = 0,
    as_json: Json = False,
) -> None:
    """Write the winner of a run, or a network by its name, so that it needs nothing of ours, and prove it."""
    from morphogen.runs.named import Sizes, export_named

    with failures():
        if (folder is None) == (architecture is None):
            raise ValueError("export writes the winner of a RUN, or an --architecture: give one of them")
        if architecture is not None:
            sizes = Sizes(repeats, channels, classes, image_size, stem_multiplier, False)
            exported = export_named(architecture, to, space=space, sizes=sizes, skeleton=skeleton, seed=seed)
            said = f"exported to {to}, verified; its weights are untrained"
        else:
            from morphogen.runs import conclusion

            assert folder is not None
            exported = conclusion.export_again(folder, to)
            said = f"exported to {to}, verified"
            if not exported["finalist"]:
                said += "; it was trained in the search only: no finalist was trained anew yet"
        _print(exported) if as_json else _console().print(said, markup=False, soft_wrap=True)


@app.command()
def retrain(
    folder: RunFolder,
    skeleton: Annotated[str | None, typer.Option(help="A preset of the space, or the stem imagenet or cifar.")] = None,
    repeats: Repeats = None,
    channels: Channels = None,
    stem_multiplier: StemMultiplier = None,
    auxiliary: Auxiliary = None,
    epochs: Annotated[int | None, typer.Option(help="Of the training.")] = None,
    data: Annotated[str | None, typer.Option(help="Another data set than the run's.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights and batches.")] = 0,
    device: Annotated[str, typer.Option(help="Such as cpu, cuda, cuda:1.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Train the winner of a run again in a network of another size, and export it; asked again, it goes on."""
    from morphogen.runs.named import Sizes
    from morphogen.runs.retrain import retrain as again

    with failures():
        console = _console(stderr=True)
        sizes = Sizes(repeats, channels, None, None, stem_multiplier, auxiliary)

        def log(epoch: float, metrics: Any) -> None:
            told = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            console.print(f"epoch {epoch:g}: {told}", markup=False, soft_wrap=True)

        done = again(
            folder, skeleton=skeleton, sizes=sizes, epochs=epochs, data=data, seed=seed, device=device, log=log
        )
        _print(done.json) if as_json else _console().print(
            f"trained: {', '.join(f'{k} {v:.4g}' for k, v in done.metrics.items())}; {done.folder / 'network'} (verified)",
            markup=False, soft_wrap=True,
        )  # fmt: skip


@app.command()
def bench(
    table: Annotated[
        str, typer.Argument(metavar="TABLE[,TABLE]", help="Names that `list tables` shows, or TOML files of tables.")
    ],
    strategies: Annotated[
        str, typer.Option(metavar="NAME,NAME|all", help="What is compared; random search always is.")
    ] = "all",
    budget: Annotated[int, typer.Option(help="Queries of each run; one is a full training.")] = 200,
    seeds: Annotated[int, typer.Option(help="Runs of each strategy.")] = 20,
    slots: Annotated[int, typer.Option(help="Virtual workers of the logical clock.")] = 1,
    workers: Annotated[int | None, typer.Option(help="Simulated workers; by default as many as slots.")] = None,
    time: Annotated[
        str | None, typer.Option(help="Simulated time after which nothing counts, such as 12000s or 3h.")
    ] = None,
    first_seed: Annotated[int, typer.Option(help="The seeds count from here.")] = 0,
    jobs: Annotated[
        int | None, typer.Option(help="Processes at a time; by default one a core. Changes no result.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write bench.json, bench.html and each run.")
    ] = None,
    again: Annotated[bool, typer.Option("--resume", help="Take the runs that DIR has already.")] = False,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="STRATEGY.OPTION=VALUE", help="Such as regularized-evolution.population_size=10."
        ),
    ] = None,
    repeats: Annotated[
        bool, typer.Option("--repeats", help="Strategies may propose an architecture again, as those of the papers do.")
    ] = False,
    predictors: Annotated[
        int, typer.Option(metavar="N", help="Cross-validate predictors on N architectures of each table.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Anytime regret of strategies on tables, in simulated time."""
    from morphogen.bench import command

    with failures():
        console = _console(stderr=as_json)
        done = command.run(
            tables=table.split(","), strategies=strategies.split(","), budget=budget, seeds=seeds, slots=slots, workers=workers, time=time,
            first_seed=first_seed, jobs=jobs, to=to, resume=again, options=options or [], console=console, repeats=repeats,
            predictors=predictors,
        )  # fmt: skip
        if as_json:
            _print(done.json)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Run folders.")],
    as_json: Json = False,
) -> None:
    """Runs side by side, and whether what they found differs."""
    from morphogen.runs import comparison

    with failures():
        compared = comparison.compare(folders)
        _print(compared.json) if as_json else compared.show(_console())


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(metavar="spaces|strategies|methods|estimators|executors|data|tables|zoo", help="What to list."),
    ],
    as_json: Json = False,
) -> None:
    """What there is, by the names that the other commands take."""
    from morphogen.runs import listing

    with failures():
        rows = listing.rows(what)
        _print(rows) if as_json else listing.show(rows, _console())


@app.command()
def check(
    config: Annotated[Path, typer.Argument(metavar="RUN.TOML", help="A configuration.")], as_json: Json = False
) -> None:
    """What will and will not work together, before anything runs."""
    from morphogen import config as configuration
    from morphogen.runs import listing

    with failures():
        parsed = configuration.parse(configuration.load(config), str(config))
        checked = listing.check(parsed)
        _print(checked) if as_json else _console().print(listing.explain(checked), markup=False, soft_wrap=True)


def main() -> None:
    """Entry point: a failure is one line, never a traceback."""
    sys.path.insert(0, str(Path.cwd()))  # for package.module:name of one's own
    app()


def _run(config: Config, folder: Callable[[], Path], as_json: bool) -> None:
    from morphogen.protocols import MorphogenError
    from morphogen.runs.sitting import sitting

    result = sitting(config, folder, _console(stderr=as_json))
    if result is None:
        return
    _print(result.json) if as_json else result.show(_console())
    if result.export_error is not None:
        raise MorphogenError(f"the winner was not exported: {result.export_error}")


def _number(text: str, flag: str) -> int:
    if not text.isdigit():
        raise ValueError(f"{flag} {text}: a number, or all")
    return int(text)


def _print(body: Any) -> None:
    print(json.dumps(body, indent=1, allow_nan=False))


def _console(stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


if __name__ == "__main__":
    main()
