"""What is sent to a worker, pickled."""

from __future__ import annotations

import io
import pickle
import sys
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType
from typing import Any, final

from morphogen.executors.wire import Main
from morphogen.protocols import Context, Estimator, MorphogenError
from morphogen.trial import Proposal

__all__ = ["Packed", "Packer", "pack_task"]

KEPT = 8
"""Pickled estimators that are kept. A run has one a phase."""


@final
@dataclass(frozen=True, slots=True)
class Packed:
    """A pickled estimator.

    Args:
        number: Tells it from others.
        data: The pickle.
        modules: Where its classes and functions are defined.
    """

    number: int
    data: bytes
    modules: frozenset[str]


@final
class Packer:
    """Pickles each estimator once, and keeps the latest few."""

    def __init__(self) -> None:
        # the object is kept with its pickle: no other can have its id meanwhile
        self._kept: OrderedDict[int, tuple[Estimator, Packed]] = OrderedDict()
        self._count = 0

    def pack(self, estimator: Estimator) -> Packed:
        """The pickled estimator.

        Raises:
            MorphogenError: It cannot be pickled.
        """
        if id(estimator) not in self._kept:
            file = io.BytesIO()
            pickler = _Pickler(file)
            _dump(pickler, estimator, type(estimator).__name__)
            self._kept[id(estimator)] = estimator, Packed(self._count, file.getvalue(), frozenset(pickler.modules))
            self._count += 1
        self._kept.move_to_end(id(estimator))
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[id(estimator)][1]

    @property
    def kept(self) -> frozenset[int]:
        """Numbers of the estimators that may still be asked for."""
        return frozenset(packed.number for _, packed in self._kept.values())


def pack_task(proposal: Proposal, context: Context, estimator: Packed) -> tuple[bytes, Main | None]:
    """The pickled proposal and context, and the main module where they or the estimator need it.

    Raises:
        MorphogenError: They cannot be pickled, or come from an interactive session.
    """
    file = io.BytesIO()
    plain = replace(context, log=Context(seed=0).log)  # what listens to the log stays here
    _dump(pickle.Pickler(file), (proposal, plain), "the proposal")
    data = file.getvalue()
    return data, _main() if b"__main__" in estimator.data or b"__main__" in data else None


class _Pickler(pickle.Pickler):
    """Notes the modules that unpickling will import. (`reducer_override` can only be given by a subclass.)"""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.modules: set[str] = set()

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, type | FunctionType) and value.__module__ != "__main__":
            self.modules.add(value.__module__)
        return NotImplemented


def _dump(pickler: pickle.Pickler, value: object, name: str) -> None:
    try:
        pickler.dump(value)
    except (AttributeError, TypeError, ValueError, RecursionError, pickle.PicklingError) as error:
        raise MorphogenError(
            f"{name} cannot be sent to a worker process ({error}): define it at the top of a module, without lambdas "
            "and open files, or use the executor `inline`"
        ) from None


def _main() -> Main:
    """What a worker has to import to find what the driver's main module defines."""
    module = sys.modules["__main__"]
    spec, path = getattr(module, "__spec__", None), getattr(module, "__file__", None)
    if spec is not None:
        return Main(None, spec.name, tuple(sys.argv))
    if path is None or not Path(path).is_file():
        raise MorphogenError(
            "the estimator is defined in an interactive session, where a worker cannot find it: put it into a file "
            "that you import, or use the executor `inline`"
        )
    return Main(str(Path(path).resolve()), None, tuple(sys.argv))
