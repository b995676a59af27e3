"""A data set by its name, wherever it comes from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from morphogen.catalog import check_options, nearest, resolve
from morphogen.training.dataset import Data

__all__ = ["SOURCES", "Data", "cache", "data", "mapped"]

SOURCES: Mapping[str, str] = {
    "cifar10": "morphogen.training.vision:cifar10",
    "cifar100": "morphogen.training.vision:cifar100",
    "digits": "morphogen.training.digits:digits",
    "fashion-mnist": "morphogen.training.vision:fashion_mnist",
    "mnist": "morphogen.training.vision:mnist",
    "svhn": "morphogen.training.vision:svhn",
}
"""Data sets by name: functions of (root, split_seed, download)."""


def cache() -> Path:
    """Where morphogen keeps files of data sets, unless it is told otherwise."""
    return Path.home() / ".cache" / "morphogen"


def mapped(data: Data) -> Data:
    """The same data set, in files that all workers of this machine map; written once, whatever the number of runs."""
    return data if data.folder is not None else data.save(cache() / "mapped" / data.digest[:32])


def data(
    name: str | Path,
    split_seed: int = 0,
    root: Path | str | None = None,
    limit: int | None = None,
    download: bool = False,
    **options: Any,
) -> Data:
    """A data set by name, `.npz` file, folder of images, or `package.module:function` of one's own that gives a `Data`.

    Args:
        name: Of `SOURCES`, or a path, or a dotted name.
        split_seed: Decides which image is in which split, where the data set does not say.
        root: Where files are kept; by default `~/.cache/morphogen`.
        limit: The most images of each split.
        download: Whether what is missing may be fetched from the network.
        **options: Of a folder, those of `training.folder.folder`, such as `image_size=64`; of a function, its arguments.

    Raises:
        ValueError: There is no such data set; the message has the nearest name. Options that it does not have.
        MorphogenError: Its files are missing or malformed.
    """
    text = str(name)
    if options and (text in SOURCES or text.endswith(".npz")):
        raise ValueError(
            f"data set '{text}' has no options, got {', '.join(options)}; folders of images and functions have"
        )
    if text in SOURCES:
        where = cache() if root is None else Path(root).expanduser()
        found: Data = resolve(SOURCES[text])(where, split_seed, download)
    elif text.endswith(".npz"):
        found = resolve("morphogen.training.npz:npz")(Path(text).expanduser(), split_seed)
    elif ":" in text:
        found = _called(text, resolve(text), (), options)
        if not isinstance(found, Data):
            raise ValueError(f"{text} gave {type(found).__name__}, expected a morphogen.training.Data")
    elif "/" in text or Path(text).expanduser().is_dir():
        kept = {} if root is None else {"root": Path(root).expanduser()}
        place = (Path(text).expanduser(), split_seed)
        found = _called(text, resolve("morphogen.training.folder:folder"), place, {**kept, **options})
    else:
        known = ", ".join(SOURCES)
        raise ValueError(
            f"there is no data set '{text}'{nearest(text, SOURCES)}; "
            f"there are {known}, .npz files, folders of images and package.module:function"
        )
    return found if limit is None else found.limited(limit)


def _called(name: str, function: Callable[..., Data], given: tuple[Any, ...], options: Mapping[str, Any]) -> Data:
    """Raises: ValueError: It has no such option."""
    check_options(f"data set '{name}'", options, list(inspect.signature(function).parameters)[len(given) :])
    return function(*given, **options)
