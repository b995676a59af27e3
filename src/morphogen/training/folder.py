"""Data sets in folders of image files, a folder a class: decoded once into files that are mapped, never all in memory."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, final

import numpy as np

from morphogen.protocols import MorphogenError
from morphogen.training.augment import Augment
from morphogen.training.data import cache
from morphogen.training.dataset import Data
from morphogen.training.images import Images, Sealed, moments
from morphogen.training.splits import SPLITS, cut

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["folder"]

ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
OTHER_NAMES = {"validation": "valid", "val": "valid"}
NAMED = 5
"""How many skipped files a warning names."""
_log = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class _File:
    """An image file and its class."""

    path: Path
    label: int


def folder(
    path: Path,
    split_seed: int = 0,
    *,
    image_size: int | Sequence[int] | None = None,
    gray: bool = False,
    skip_unreadable: bool = False,
    share: float = 0.2,
    root: Path | None = None,
) -> Data:
    """Read a folder with `train`, and where given `valid` (or `val`) and `test`, of class folders; or class folders alone.

    What is not given is cut from train, every class alike. Files are decoded one by one into `root`, once for a folder
    with these files and options, and mapped from there: a data set may be larger than the memory. Files that are not
    called like images are not looked at.

    Args:
        path: The folder.
        split_seed: Of the cuts.
        image_size: Height and width (one number: both) that images are cut to in the middle and resized to; it may be left
            out where all have one size.
        gray: One channel instead of three.
        skip_unreadable: Leave files out that cannot be read, and say which; else the first one is an error.
        share: Of all that is given as train, what each split that is not given gets.
        root: Where decoded images are kept; by default in `~/.cache/morphogen`.

    Raises:
        MorphogenError: No such folder, no classes or no images in it, sizes that differ, a file that cannot be read.
        ValueError: An option that cannot be.
    """
    try:
        import PIL.Image
    except ImportError:
        raise MorphogenError("reading image files needs pillow: pip install 'morphogen[vision]'") from None
    del PIL
    size = _pair(image_size)
    names, splits = _listed(path, split_seed, share)
    options = {"image_size": size, "gray": gray, "skip": skip_unreadable, "seed": split_seed, "share": share}
    place = (root if root is not None else cache() / "folders") / _key(path, splits, options)
    if not (place / "data.json").exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}-"))
        try:
            _decode(
                path.name, draft, names, splits, size or _common_size(splits, skip_unreadable), gray, skip_unreadable
            )
            try:
                draft.replace(place)
            except OSError:  # another process was faster, and has the same
                if not (place / "data.json").exists():
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return replace(Data.open(place), split_seed=split_seed)


def _pair(image_size: int | Sequence[int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    pair = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"image_size={image_size!r} is a number of pixels, or height and width")
    return int(pair[0]), int(pair[1])


def _listed(path: Path, seed: int, share: float) -> tuple[tuple[str, ...], dict[str, list[_File]]]:
    """Class names, and the files of each split."""
    if not path.is_dir():
        raise MorphogenError(f"there is no folder {path}: one with a folder of images for each class was looked for")
    inside = {OTHER_NAMES.get(p.name, p.name): p for p in _folders(path)}
    given = {split: inside[split] for split in SPLITS if split in inside} if "train" in inside else {"train": path}
    names = tuple(p.name for p in _folders(given["train"]))
    if len(names) < 2:
        has = ", ".join(names) or "none"
        raise MorphogenError(f"{given['train']} has the class folders {has}: expected two or more")
    splits: dict[str, list[_File]] = {}
    for split, where in given.items():
        if strangers := [p.name for p in _folders(where) if p.name not in names]:
            raise MorphogenError(f"{where} has the class '{strangers[0]}', which {given['train']} does not have")
        splits[split] = [_File(file, label) for label, name in enumerate(names) for file in _images(where / name)]
        if empty := [n for label, n in enumerate(names) if all(f.label != label for f in splits[split])]:
            if split == "train":
                raise MorphogenError(f"{where / empty[0]} has no images ({', '.join(sorted(ENDINGS))})")
            if len(empty) == len(names):
                raise MorphogenError(f"{where} has no images")
    missing = [split for split in ("valid", "test") if split not in splits]
    if missing:
        files = splits["train"]
        parts = cut(np.array([f.label for f in files]), [share] * len(missing), seed)
        for split, part in zip(("train", *missing), parts, strict=True):
            if not len(part):
                raise MorphogenError(
                    f"{path} has too few images ({len(files)}) to cut {' and '.join(missing)} from them"
                )
            splits[split] = [files[i] for i in part]
    return names, splits


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(
        p for p in path.rglob("*") if p.suffix.lower() in ENDINGS and not p.name.startswith(".") and p.is_file()
    )


def _key(path: Path, splits: Mapping[str, Sequence[_File]], options: Mapping[str, Any]) -> str:
    sha = hashlib.sha256(json.dumps([str(path.resolve()), options], sort_keys=True).encode())
    for split, files in splits.items():
        for file in files:
            about = file.path.stat()
            sha.update(f"{split} {file.path} {file.label} {about.st_size} {about.st_mtime_ns}\n".encode())
    return sha.hexdigest()[:32]


def _common_size(splits: Mapping[str, Sequence[_File]], skip: bool) -> tuple[int, int]:
    """Height and width of all images, by their headers."""
    found: dict[tuple[int, int], Path] = {}
    for files in splits.values():
        for file in files:
            try:
                with _opened(file.path) as image:
                    found.setdefault((image.height, image.width), file.path)
            except MorphogenError:
                if not skip:
                    raise
            if len(found) > 1:
                (a, b), (first, second) = found, found.values()
                raise MorphogenError(
                    f"images differ in size: {first} has {a[0]}x{a[1]} pixels and {second} {b[0]}x{b[1]}; say what all "
                    "should have, image_size=64 in Python, data_options.image_size = 64 in a configuration"
                )
    if not found:
        raise MorphogenError("none of the images can be read")
    return next(iter(found))


def _opened(path: Path) -> Image:
    """Raises: MorphogenError: It cannot be read, or is so large that it may be meant to fill the memory."""
    import PIL.Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        try:
            return PIL.Image.open(path)
        except (OSError, ValueError, PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
            raise _unreadable(path, error) from None


def _unreadable(path: Path, error: BaseException) -> MorphogenError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return MorphogenError(
        f"the image {path} cannot be read: {reason}; remove it, or leave such files out: skip_unreadable=True in Python, "
        "data_options.skip_unreadable = true in a configuration"
    )


def _decode(
    name: str,
    place: Path,
    names: tuple[str, ...],
    splits: Mapping[str, Sequence[_File]],
    size: tuple[int, int],
    gray: bool,
    skip: bool,
) -> None:
    """Write the files of a saved data set."""
    channels = 1 if gray else 3
    written: dict[str, Images] = {}
    skipped: list[Path] = []
    for split in SPLITS:
        with (place / f"{split}.images").open("wb") as file:
            labels = list(_pixels(splits[split], size, gray, skipped if skip else None, file))
        if not labels:
            raise MorphogenError(f"none of the images for {split} can be read, first {splits[split][0].path}")
        np.array(labels, np.int64).tofile(place / f"{split}.labels")
        written[split] = Images.mapped(place, split, (len(labels), channels, *size), False)
    if skipped:
        more = f" and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
        _log.warning("left out, as they cannot be read: %s%s", ", ".join(map(str, skipped[:NAMED])), more)
    mean, std = moments(written["train"].images)
    suited = Augment(shift=max(1, size[0] // 8))
    test = Sealed(written["test"])
    Data(name or "folder", written["train"], written["valid"], test, names, mean, std, suited).write_card(place)


def _pixels(
    files: Sequence[_File], size: tuple[int, int], gray: bool, skipped: list[Path] | None, to: BinaryIO
) -> Iterator[int]:
    """Write image by image, `(C, H, W)` of bytes; the labels of those that could be read."""
    from PIL import Image, ImageOps

    for file in files:
        try:
            with _opened(file.path) as image:
                try:
                    plain = image.convert("L" if gray else "RGB")
                except (OSError, ValueError, SyntaxError) as error:  # what damaged files raise in their decoders
                    raise _unreadable(file.path, error) from None
        except MorphogenError:
            if skipped is None:
                raise
            skipped.append(file.path)
            continue
        if (plain.height, plain.width) != size:
            plain = ImageOps.fit(
                plain,
                (size[1], size[0]),
                Image.Resampling.BOX if min(plain.size) > 2 * max(size) else Image.Resampling.BILINEAR,
            )
        pixels = np.asarray(plain, np.uint8).reshape(*size, -1)
        to.write(np.ascontiguousarray(pixels.transpose(2, 0, 1)).tobytes())
        yield file.label
