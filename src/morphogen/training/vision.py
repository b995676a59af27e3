"""Data sets that torchvision knows how to read and fetch."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch

from morphogen.protocols import MorphogenError
from morphogen.training.augment import Augment
from morphogen.training.dataset import Data

__all__ = ["cifar10", "cifar100", "fashion_mnist", "mnist", "svhn"]

CROP_AND_FLIP = Augment(shift=4, flip=True)
"""He et al. 2016 (arXiv:1512.03385), section 4.2: pad 4, crop, mirror."""

VALID_SHARE = 0.1
"""45,000 images to train on and 5,000 to validate, of 50,000: the split of Zoph 2017, NASNet, ENAS and PNAS."""


class _Set(NamedTuple):
    dataset: str
    augment: Augment
    kept_in: str
    """What torchvision looks for under the root."""
    parts: tuple[dict[str, Any], dict[str, Any]] = ({"train": True}, {"train": False})


def cifar10(root: Path, split_seed: int, download: bool) -> Data:
    """Krizhevsky 2009: 60,000 color images of 32x32 pixels, 10 classes."""
    return _load("cifar10", _Set("CIFAR10", CROP_AND_FLIP, "cifar-10-batches-py"), root, split_seed, download)


def cifar100(root: Path, split_seed: int, download: bool) -> Data:
    """Krizhevsky 2009: 60,000 color images of 32x32 pixels, 100 classes."""
    return _load("cifar100", _Set("CIFAR100", CROP_AND_FLIP, "cifar-100-python"), root, split_seed, download)


def mnist(root: Path, split_seed: int, download: bool) -> Data:
    """LeCun et al. 1998: 70,000 handwritten digits of 28x28 pixels."""
    return _load("mnist", _Set("MNIST", Augment(shift=2), "MNIST/raw"), root, split_seed, download)


def fashion_mnist(root: Path, split_seed: int, download: bool) -> Data:
    """Xiao et al. 2017 (arXiv:1708.07747): 70,000 gray pieces of clothing of 28x28 pixels."""
    kind = _Set("FashionMNIST", Augment(shift=2, flip=True), "FashionMNIST/raw")
    return _load("fashion-mnist", kind, root, split_seed, download)


def svhn(root: Path, split_seed: int, download: bool) -> Data:
    """Netzer et al. 2011: 99,289 color house numbers of 32x32 pixels; the extra part is not used."""
    parts = ({"split": "train"}, {"split": "test"})
    return _load("svhn", _Set("SVHN", Augment(shift=4), "train_32x32.mat", parts), root, split_seed, download)


def _load(name: str, kind: _Set, root: Path, split_seed: int, download: bool) -> Data:
    """Raises: MorphogenError: torchvision is not installed, or its files are not under the root."""
    dataset = getattr(_torchvision_datasets(), kind.dataset)
    try:
        train, test = (dataset(str(root), **part, download=download) for part in kind.parts)
    except (RuntimeError, OSError) as error:
        looked = f"{name} is not in {root} ({kind.kept_in} was looked for)"
        advice = "give the folder that has it as root, or download=True to fetch it"
        if download:
            advice = str(error).splitlines()[0]
        raise MorphogenError(f"{looked}: {advice}") from None
    return Data.from_arrays(
        train.data,
        _labels(train),
        x_test=test.data,
        y_test=_labels(test),
        name=name,
        class_names=getattr(train, "classes", ()),
        augment=kind.augment,
        split_seed=split_seed,
        share=VALID_SHARE,
    )


def _labels(dataset: Any) -> torch.Tensor:
    return torch.as_tensor(dataset.labels if hasattr(dataset, "labels") else dataset.targets)


def _torchvision_datasets() -> Any:
    """`torchvision.datasets`, also beside a CPU build of torch.

    The wheels of torchvision on PyPI for Linux are built for CUDA. Beside a CPU build of torch their library of
    operators does not load, and the import fails where it mentions two of them. Declaring these is enough for reading
    data sets.
    """
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise MorphogenError("this data set needs torchvision: pip install 'morphogen[vision]', or give a .npz file")
    if "torchvision" not in sys.modules:
        for library in Path(spec.origin).parent.glob("_C*.so"):
            try:
                torch.ops.load_library(library)  # type: ignore[no-untyped-call]
            except OSError:
                _declare_operators()
    return import_module("torchvision.datasets")


def _declare_operators() -> None:
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    _DECLARED.append(library)


_DECLARED: list[Any] = []
"""Declarations last as long as their library object."""
