"""A data set with explicit splits, in memory or mapped from files that several processes share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from morphogen.catalog import resolve
from morphogen.protocols import MorphogenError
from morphogen.training.augment import Augment
from morphogen.training.files import write_whole
from morphogen.training.images import Images, Sealed, as_images, moments
from morphogen.training.splits import SPLITS, cut
from morphogen.training.task import Classification, Task

__all__ = ["Data"]


@final
@dataclass(frozen=True, eq=False)
class Data:
    """A data set with its splits. Made by `data(name)`, `Data.from_arrays` or `Data.from_datasets`.

    Args:
        name: What it is called.
        train: What weights are fitted to.
        valid: What architectures are compared on.
        test: Sealed; `open_test` opens it, once, at the end.
        class_names: One name a class.
        mean: One number a channel, of the training pixels as they are stored (0 to 255 for uint8).
        std: Likewise.
        augment: What suits these images.
        split_seed: What decided which image is in which split, where that was not given.
        folder: Where `save` put the files; then a pickled `Data` is only the way to them.
        task: What networks are trained for.
    """

    name: str
    train: Images
    valid: Images
    test: Sealed
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augment = field(default_factory=Augment)
    split_seed: int = 0
    folder: Path | None = None
    task: Task = field(default_factory=Classification)

    @property
    def image(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train.shape[1:]
        return channels, height, width

    @property
    def classes(self) -> int:
        """The number of classes, or of what else a network gives for an image."""
        return len(self.class_names)

    @property
    def text(self) -> str:
        """On one line, for a person."""
        counts = f"{len(self.train)} train, {len(self.valid)} valid and {len(self.test)} test images"
        return f"{self.name}: {counts} {'x'.join(map(str, self.image))}, {self.classes} classes"

    def open_test(self) -> Images:
        """Break the seal of the test split. For the final report only: what the search saw cannot judge the search."""
        return self.test._inside

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything: equal data sets have equal digests."""
        sha = hashlib.sha256(json.dumps(self._card, sort_keys=True).encode())
        for split in (self.train, self.valid, self.test._inside):
            for values in (split.images, split.labels):
                sha.update(values.contiguous().numpy())  # type: ignore[arg-type]  # arrays are buffers
        return sha.hexdigest()

    def limited(self, count: int) -> Data:
        """At most `count` images of each split, drawn by `split_seed`; mean and standard deviation stay."""
        if count < 1:
            raise ValueError(f"a limit of {count} images leaves nothing to train on; it must be 1 or more")
        train, valid, test = (s.first(count, self.split_seed) for s in (self.train, self.valid, self.test._inside))
        return replace(self, train=train, valid=valid, test=Sealed(test), folder=None)

    # --- files ----------------------------------------------------------------------------------------------------

    def save(self, folder: Path | str) -> Data:
        """Write the splits to files, unless they are there already, and give the data set that maps them.

        Raises:
            MorphogenError: The folder holds another data set.
        """
        folder = Path(folder).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        card = folder / "data.json"
        if not card.exists():
            for split, images in zip(SPLITS, (self.train, self.valid, self.test._inside), strict=True):
                images.save(folder, split)
            self.write_card(folder)
        saved = Data.open(folder)
        if saved.digest != self.digest:
            raise MorphogenError(f"{folder} holds another data set ({saved.text}), not {self.text}: use another folder")
        return saved

    def write_card(self, folder: Path) -> None:
        """Write `data.json`, the last of the files: where it is, the rest is whole."""
        text = json.dumps({**self._card, "digest": self.digest}, indent=1)
        write_whole(folder / "data.json", lambda file: file.write(text.encode()))

    @staticmethod
    def open(folder: Path | str) -> Data:
        """The data set that `save` wrote; images are mapped when they are first used.

        Raises:
            MorphogenError: There is none.
        """
        folder = Path(folder).absolute()
        try:
            card = json.loads((folder / "data.json").read_text())
            train, valid, test = (
                Images.mapped(
                    folder, split, tuple(card["shapes"][split]), bool(card["floating"]), int(card.get("outputs", 0))
                )
                for split in SPLITS
            )
            saved = Data(
                card["name"],
                train,
                valid,
                Sealed(test),
                tuple(card["class_names"]),
                tuple(card["mean"]),
                tuple(card["std"]),
                Augment(**card["augment"]),
                card["split_seed"],
                folder,
                _task(card.get("task")),
            )
            saved.__dict__["digest"] = card["digest"]  # known without reading the files
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MorphogenError(
                f"{folder} holds no data set that can be read ({error}): data.save(folder) writes one"
            ) from None
        return saved

    @property
    def _card(self) -> dict[str, Any]:
        splits = zip(SPLITS, (self.train, self.valid, self.test._inside), strict=True)
        more: dict[str, Any] = {}
        if self.train.labels.is_floating_point():
            more["outputs"] = self.train.labels.shape[1]
        if self.task != Classification():
            name = f"{type(self.task).__module__}:{type(self.task).__qualname__}"
            more["task"] = {"name": name, **asdict(self.task)}  # type: ignore[call-overload]  # by its protocol
        return {
            **more,
            "name": self.name,
            "split_seed": self.split_seed,
            "class_names": list(self.class_names),
            "mean": list(self.mean),
            "std": list(self.std),
            "augment": asdict(self.augment),
            "floating": self.train.images.is_floating_point(),
            "shapes": {split: list(images.shape) for split, images in splits},
        }

    # --- making ---------------------------------------------------------------------------------------------------

    @staticmethod
    def from_arrays(
        x_train: Any,
        y_train: Any,
        *,
        x_valid: Any = None,
        y_valid: Any = None,
        x_test: Any = None,
        y_test: Any = None,
        name: str = "arrays",
        class_names: Sequence[str] = (),
        augment: Augment | None = None,
        split_seed: int = 0,
        share: float = 0.2,
        task: Task | None = None,
    ) -> Data:
        """A data set from arrays or tensors. A split that is not given is cut from train, every class alike.

        Args:
            x_train: Images `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)`, uint8 or floating point (taken as they are).
            y_train: Labels `(N,)`, whole numbers from 0; or what `task` takes.
            x_valid: Like `x_train`.
            y_valid: Like `y_train`.
            x_test: Like `x_train`.
            y_test: Like `y_train`.
            name: What the data set is called.
            class_names: One name a class; by default the numbers from 0 to the highest training label.
            augment: What suits the images; by default a random crop after padding by an eighth of the height, no flips.
            split_seed: Of the cuts.
            share: Of all that is given as train, what each split that is not given gets.
            task: By default classification.

        Raises:
            ValueError: Shapes, types or labels that do not fit, each named.
        """
        task = task if task is not None else Classification()
        images = as_images(x_train, "x_train")
        labels = task.targets(y_train, "y_train", len(images), len(class_names) or None)
        outputs = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
        names = tuple(class_names) or tuple(str(i) for i in range(outputs))
        given: dict[str, Images] = {}
        for split, x, y in (("valid", x_valid, y_valid), ("test", x_test, y_test)):
            if (x is None) != (y is None):
                raise ValueError(f"x_{split} and y_{split} go together, but only one of them is given")
            if x is not None:
                more = as_images(x, f"x_{split}")
                if more.shape[1:] != images.shape[1:] or more.dtype != images.dtype:
                    raise ValueError(f"x_{split} has images {_kind(more)}, but x_train has {_kind(images)}")
                given[split] = Images(more, task.targets(y, f"y_{split}", len(more), len(names)))
        missing = [split for split in ("valid", "test") if split not in given]
        strata = labels.numpy() if labels.ndim == 1 else np.zeros(len(labels), int)
        parts = cut(strata, [share] * len(missing), split_seed) if missing else [np.arange(len(labels))]
        for split, part in zip(("train", *missing), parts, strict=True):
            if not len(part):
                raise ValueError(
                    f"{len(labels)} images are too few to cut {' and '.join(missing)} from them: "
                    f"give x_{split} and y_{split}"
                )
            picked = torch.from_numpy(part)
            given[split] = Images(images[picked], labels[picked]) if missing else Images(images, labels)
        mean, std = moments(given["train"].images)
        suited = Augment(shift=max(1, images.shape[2] // 8)) if augment is None else augment
        splits = given["train"], given["valid"], Sealed(given["test"])
        return Data(name, *splits, names, mean, std, suited, split_seed, task=task)

    @staticmethod
    def from_datasets(
        train: Dataset[Any],
        valid: Dataset[Any] | None = None,
        test: Dataset[Any] | None = None,
        *,
        name: str = "dataset",
        class_names: Sequence[str] = (),
        augment: Augment | None = None,
        split_seed: int = 0,
        share: float = 0.2,
        task: Task | None = None,
    ) -> Data:
        """A data set from datasets of PyTorch that give `(image, label)`; each image is read once, into memory.

        So transforms of theirs should convert and not be random; random ones belong into `augment`. The other arguments
        are those of `from_arrays`.

        Raises:
            ValueError: As `from_arrays`, and images of different sizes.
        """
        arrays: dict[str, Any] = {}
        for split, dataset in (("train", train), ("valid", valid), ("test", test)):
            if dataset is not None:
                arrays[f"x_{split}"], arrays[f"y_{split}"] = _read(dataset, split)
        return Data.from_arrays(
            **arrays, name=name, class_names=class_names, augment=augment, split_seed=split_seed, share=share, task=task
        )


def _read(dataset: Dataset[Any], split: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    images, labels = [], []
    for index in range(len(dataset)):  # type: ignore[arg-type]  # map-style datasets have a length
        image, label = dataset[index]
        images.append(image.numpy(force=True) if isinstance(image, Tensor) else np.asarray(image))
        labels.append(np.asarray(label.numpy(force=True) if isinstance(label, Tensor) else label))
        if images[-1].shape != images[0].shape:
            raise ValueError(
                f"{split} has images {images[0].shape} and {images[-1].shape} (number {index}): "
                "a transform must give one size"
            )
    if not images:
        raise ValueError(f"{split} is an empty dataset")
    return np.stack(images), np.stack(labels)


def _task(saved: Mapping[str, Any] | None) -> Task:
    if saved is None:
        return Classification()
    made: Task = resolve(str(saved["name"]))(**{k: v for k, v in saved.items() if k != "name"})
    return made


def _kind(images: Tensor) -> str:
    return f"{'x'.join(map(str, images.shape[1:]))} {str(images.dtype).removeprefix('torch.')}"
