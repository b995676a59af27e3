"""Train the winner of a run again, in a network of another size."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from torch import nn

from morphogen.estimators import Training
from morphogen.estimators.complexity import suited_skeleton
from morphogen.export import export
from morphogen.nn.network import network
from morphogen.protocols import Context, MorphogenError
from morphogen.runs.judging import trained_by
from morphogen.runs.named import Sizes, resized
from morphogen.runs.reading import read
from morphogen.runs.winner import winning
from morphogen.space import Architecture, Space
from morphogen.spaces.skeleton import Skeleton
from morphogen.training import checkpoint
from morphogen.training.data import Data
from morphogen.training.data import data as find_data
from morphogen.training.files import write_whole
from morphogen.training.recipe import Recipe, recipe_for
from morphogen.trial import Proposal

__all__ = ["Retrained", "retrain"]

SETTINGS, RESULT = "retrain.json", "result.json"
STEMS = ("cifar", "imagenet")


@final
@dataclass(frozen=True)
class Retrained:
    """What a retraining gave.

    Args:
        folder: `RUN/retrained-N`: settings, checkpoint, result, and the exported network in `network/`.
        architecture: What was trained.
        metrics: On the validation split, after the last epoch.
    """

    folder: Path
    architecture: Architecture
    metrics: Mapping[str, float]

    @property
    def json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "folder": str(self.folder),
            "network": str(self.folder / "network"),
            "architecture": self.architecture.json,
            "metrics": dict(self.metrics),
        }


def retrain(
    folder: Path,
    *,
    skeleton: str | None = None,
    sizes: Sizes | None = None,
    epochs: int | None = None,
    data: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    log: Callable[[float, Mapping[str, float]], None] = lambda step, metrics: None,
) -> Retrained:
    """Train the winner of a run from new weights, and export what comes out.

    Writes into the first `RUN/retrained-N` that is not taken. One with the same settings that was interrupted goes on
    from its last epoch; one that is finished is given again.

    Args:
        folder: The run.
        skeleton: A preset of the space, or `cifar` or `imagenet`: the run's final one with that stem. By default the
            run's final one.
        sizes: What else changes in it. Image size and classes are those of the data.
        epochs: By default those of the run's final training, or of the data set's own recipe where it is another.
        data: Another data set than the run's.
        seed: Of weights and batches.
        device: Where.
        log: Told of every epoch.

    Raises:
        MorphogenError: The run has no winner yet, or searched a table.
        ValueError: No such preset, size or data.
    """
    config, parts, trials = read(folder)
    if parts.data is None or parts.skeletons is None:
        raise MorphogenError(f"{folder} searched a table: there is no network to train")
    architecture = winning(trials).architecture
    assert architecture is not None
    images = parts.data if data is None else find_data(data, split_seed=config.split_seed)
    around = _around(parts.space, skeleton, parts.skeletons["final"], images, sizes or Sizes())
    recipe = _recipe(trained_by(parts.judges.final), images, data is None, epochs)
    settings = {
        "architecture": architecture.json,
        "skeleton": repr(around),
        "recipe": repr(recipe),
        "data": images.digest,
        "seed": seed,
    }
    place = _place(folder, settings)
    result = place / RESULT
    if not result.exists():
        judge = Training(parts.space, images, recipe, around)
        outcome = judge(Proposal(architecture), Context(seed, folder=place, device=device, log=log))
        if outcome.error is not None:
            raise MorphogenError(f"the training in {place} failed: {outcome.error.splitlines()[0]}")
        built = network(parts.space.fix(architecture), around)
        _export(place, built, architecture, images, outcome.metrics)
        _write(result, {"metrics": dict(outcome.metrics), "seconds": outcome.seconds})
    return Retrained(place, architecture, json.loads(result.read_text(encoding="utf-8"))["metrics"])


def _around(space: Space, name: str | None, final: Any, data: Data, sizes: Sizes) -> Any:
    if name is None:
        found = final
    elif name in space.skeletons or name not in STEMS or not isinstance(final, Skeleton):
        found = suited_skeleton(space, name)
    else:
        found = replace(final, stem=name)  # type: ignore[arg-type]  # one of STEMS
    return suited_skeleton(space, resized(found, sizes), data.image, data.classes)


def _recipe(final: Training | None, data: Data, same_data: bool, epochs: int | None) -> Recipe:
    recipe = final.recipe if same_data and final is not None else recipe_for(data)
    assert recipe is not None
    return recipe if epochs is None else replace(recipe, epochs=epochs, warmup=min(recipe.warmup, epochs / 4))


def _place(folder: Path, settings: Mapping[str, Any]) -> Path:
    """The folder of these settings: begun already, or the next free one."""
    number = 1
    while (place := folder / f"retrained-{number}").exists():
        known = place / SETTINGS
        if known.is_file() and json.loads(known.read_text(encoding="utf-8")) == settings:
            return place
        number += 1
    place.mkdir()
    _write(place / SETTINGS, settings)
    return place


def _export(
    place: Path, built: nn.Module, architecture: Architecture, data: Data, metrics: Mapping[str, float]
) -> None:
    trained = checkpoint.load(place)
    if trained is None:
        raise MorphogenError(f"the weights in {place} are gone or damaged: remove the folder and train again")
    built.load_state_dict(trained["network"])
    card = {
        "data": {"name": data.name, "image": list(data.image), "classes": list(data.class_names)},
        "normalization": {"mean": list(data.mean), "std": list(data.std)},
        "metrics": dict(metrics),
    }
    export(built, place / "network", image=data.image, architecture=architecture, card=card)


def _write(path: Path, body: Mapping[str, Any]) -> None:
    write_whole(path, lambda file: file.write(json.dumps(body, indent=1).encode()))
