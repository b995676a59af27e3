"""The splits of a data set: labeled images in memory or in mapped files, and a seal for the test split."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphogen.protocols import MorphogenError
from morphogen.training.files import write_whole

__all__ = ["Images", "Sealed", "as_images", "as_labels", "as_targets", "moments"]

MOMENTS_AT_ONCE = 1 << 28
"""Bytes of images of which mean and deviation are computed at once."""


class _Files(NamedTuple):
    """Where a split lies: raw values, `<split>.images` and `<split>.labels`, in native byte order."""

    folder: str
    split: str
    shape: tuple[int, ...]
    floating: bool
    outputs: int = 0


@final
class Images:
    """One split: images `(N, C, H, W)`, uint8 or float32, and labels `(N,)`, int64 (or targets `(N, outputs)`, float32).

    Either tensors, or files that are mapped on first use. Mapped files are never changed: pages are copied on write.

    Args:
        images: As above.
        labels: As above.
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self._tensors: tuple[Tensor, Tensor] | None = (images, labels)
        self._files: _Files | None = None
        self.shape = tuple(images.shape)

    @classmethod
    def mapped(cls, folder: Path, split: str, shape: tuple[int, ...], floating: bool, outputs: int = 0) -> Images:
        """The split that `save` wrote to a folder; nothing is read yet. `outputs` is 0 for labels."""
        made = cls.__new__(cls)
        made._tensors, made._files, made.shape = None, _Files(str(folder), split, shape, floating, outputs), shape
        return made

    @property
    def images(self) -> Tensor:
        """`(N, C, H, W)`, uint8 or float32."""
        return self._both()[0]

    @property
    def labels(self) -> Tensor:
        """`(N,)`, int64; or `(N, outputs)`, float32."""
        return self._both()[1]

    @property
    def files(self) -> _Files | None:
        """Where it is mapped from: the arguments of `mapped`. None: it is in memory only."""
        return self._files

    @property
    def nbytes(self) -> int:
        """Of the images."""
        return int(np.prod(self.shape)) * self.images.element_size()

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Images({' x '.join(map(str, self.shape))})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._files is not None:
            return Images.mapped, (Path(self._files.folder), *self._files[1:])
        # as arrays: a tensor that is sent to another process would depend on its sender staying alive
        return _from_arrays, (self.images.numpy(), self.labels.numpy())

    def first(self, count: int, seed: int = 0) -> Images:
        """The first `count` images of a fixed permutation, so that smaller subsets are parts of larger ones."""
        if count >= len(self):
            return self
        picked = torch.from_numpy(np.random.default_rng(seed).permutation(len(self))[:count])
        return Images(self.images[picked], self.labels[picked])

    def save(self, folder: Path, split: str) -> None:
        """Write the files that `mapped` maps."""
        write_whole(folder / f"{split}.images", self.images.contiguous().numpy().tofile)
        write_whole(folder / f"{split}.labels", self.labels.contiguous().numpy().tofile)

    def _both(self) -> tuple[Tensor, Tensor]:
        if self._tensors is None:
            assert self._files is not None
            folder, split, shape, floating, outputs = self._files
            kind = torch.float32 if floating else torch.uint8
            images = _map(Path(folder) / f"{split}.images", int(np.prod(shape)), kind)
            file = Path(folder) / f"{split}.labels"
            if outputs:
                labels = _map(file, shape[0] * outputs, torch.float32).view(shape[0], outputs)
            else:
                labels = _map(file, shape[0], torch.int64)
            self._tensors = images.view(shape), labels
        return self._tensors


@final
class Sealed:
    """A test split that shows its size only, so that nothing looks at it by accident. `Data.open_test` opens it.

    Args:
        inside: The split.
    """

    def __init__(self, inside: Images) -> None:
        self._inside = inside

    def __len__(self) -> int:
        return len(self._inside)

    def __repr__(self) -> str:
        return f"Sealed({len(self)} images)"

    @property
    def images(self) -> Tensor:
        """Refused."""
        raise MorphogenError(
            "the test split is sealed: search on train and valid, then open it once, at the end, by data.open_test()"
        )

    @property
    def labels(self) -> Tensor:
        """Refused."""
        return self.images


def as_images(values: Any, name: str) -> Tensor:
    """Images of any usual layout as a tensor `(N, C, H, W)`, uint8 or float32.

    Takes `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)`: channels are the axis that is not longer than the other two.

    Raises:
        ValueError: Another shape or type, no image at all, or values that are not finite.
    """
    array = _array(values)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or 0 in array.shape:
        raise ValueError(
            f"{name} has the shape {array.shape}, expected images N,H,W or N,H,W,C or N,C,H,W, at least one"
        )
    if array.shape[1] > min(array.shape[2:]):
        if array.shape[3] > min(array.shape[1:3]):
            raise ValueError(
                f"{name} has the shape {array.shape}: which axis is the channels? "
                "Expected N,H,W,C or N,C,H,W with fewer channels than rows and columns"
            )
        array = array.transpose(0, 3, 1, 2)
    if array.dtype.kind in "iub" and array.dtype != np.uint8:
        if array.min() < 0 or array.max() > 255:
            raise ValueError(
                f"{name} has whole numbers from {array.min()} to {array.max()}, expected 0 to 255 or floating point"
            )
        array = array.astype(np.uint8)
    elif array.dtype.kind == "f":
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            image = int(np.argwhere(~np.isfinite(array))[0][0])
            raise ValueError(
                f"{name} has NaN or infinite values, first in image {image}: replace them or leave the image out"
            )
    elif array.dtype != np.uint8:
        raise ValueError(f"{name} has the type {array.dtype}, expected uint8 or floating point")
    return torch.from_numpy(np.array(array, order="C"))


def as_labels(values: Any, name: str, images: int, classes: int | None = None) -> Tensor:
    """Labels as a tensor `(N,)` of whole numbers from 0 to `classes` - 1.

    Raises:
        ValueError: Another shape, type or range, or not one for each image.
    """
    array = _array(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} has the shape {array.shape} and the type {array.dtype}, expected one whole number for each image"
        )
    if len(array) != images:
        raise ValueError(f"{name} has {len(array)} labels for {images} images")
    if array.min() < 0 or (classes is not None and array.max() >= classes):
        expected = "0 or more" if classes is None else f"0 to {classes - 1}, the classes that there are"
        raise ValueError(f"{name} has labels from {array.min()} to {array.max()}, expected {expected}")
    return torch.from_numpy(array.astype(np.int64))


def as_targets(values: Any, name: str, images: int, outputs: int | None = None) -> Tensor:
    """Targets as a tensor `(N, outputs)` of float32; `(N,)` is one for each image.

    Raises:
        ValueError: Another shape or type, not one for each image, or values that are not finite.
    """
    array = _array(values)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.dtype.kind not in "iubf" or 0 in array.shape:
        raise ValueError(
            f"{name} has the shape {array.shape} and the type {array.dtype}, expected numbers (N, outputs)"
        )
    if len(array) != images:
        raise ValueError(f"{name} has {len(array)} rows for {images} images")
    if outputs is not None and array.shape[1] != outputs:
        raise ValueError(f"{name} has {array.shape[1]} numbers for each image, expected {outputs}")
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} has NaN or infinite values, first for image {int(np.argwhere(~np.isfinite(array))[0][0])}"
        )
    return torch.from_numpy(array)


def moments(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel; a constant channel has standard deviation 1."""
    means, stds = [], []
    for channel in range(images.shape[1]):
        if images.nbytes <= MOMENTS_AT_ONCE:
            values = images[:, channel].double()
            means.append(float(values.mean()))
            stds.append(float(values.std(correction=0)) or 1.0)
            continue
        # part by part: eight bytes a pixel may be more than the memory
        first, second = 0.0, 0.0
        size = max(1, MOMENTS_AT_ONCE // (8 * images[0].nbytes))
        for start in range(0, len(images), size):
            values = images[start : start + size, channel].double()
            first, second = first + float(values.sum()), second + float(values.square().sum())
        count = images[:, channel].numel()
        means.append(first / count)
        stds.append(math.sqrt(max(second / count - (first / count) ** 2, 0.0)) or 1.0)
    return tuple(means), tuple(stds)


def _array(values: Any) -> NDArray[Any]:
    return values.numpy(force=True) if isinstance(values, Tensor) else np.asarray(values)


def _from_arrays(images: NDArray[Any], labels: NDArray[Any]) -> Images:
    return Images(torch.from_numpy(images), torch.from_numpy(labels))


def _map(path: Path, size: int, kind: torch.dtype) -> Tensor:
    """Raises: MorphogenError: The file is absent or has another size."""
    wanted = size * torch.empty((), dtype=kind).element_size()
    have = path.stat().st_size if path.is_file() else None
    if have != wanted:
        found = "it is not there" if have is None else f"it has {have} bytes, not {wanted}"
        raise MorphogenError(
            f"the data file {path} cannot be used: {found}; remove its folder and start again to save the data anew"
        )
    return torch.from_file(str(path), shared=False, size=size, dtype=kind)
