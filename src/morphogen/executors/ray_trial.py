"""A trial on its way to a worker of Ray, and what comes back."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

from morphogen.executors import ray_task
from morphogen.executors.carrying import digest, token, unpack
from morphogen.protocols import Context, Estimator
from morphogen.space import Space
from morphogen.trial import Outcome, Proposal

__all__ = ["Parcel", "RayTrial", "needs_of", "pickled", "unseen"]


@final
class Parcel(NamedTuple):
    """A pickled estimator or a reference to it, and of each data set that it maps the folder and the digest."""

    sent: Any
    mapped: tuple[tuple[str, str], ...] = ()


@final
@dataclass(frozen=True, slots=True, eq=False)
class RayTrial:
    """A trial that was submitted; `needs` are Ray's options, `seen` is the folder that a node sees or has no use for."""

    estimator: Estimator
    packed: Parcel
    proposal: Proposal
    context: Context
    needs: Mapping[str, float]
    space: bytes
    seen: Path | None = None

    @property
    def aloud(self) -> bool:
        """Whether it is followed while it runs."""
        return self.context.resources.seconds is not None or self.context.log is not Context(0).log

    @property
    def task(self) -> ray_task.Task:
        """What a worker is sent beside the estimator."""
        asked, context, limits = self.proposal, self.context, self.context.resources
        folder, warm = self.folders
        return ray_task.Task(
            self.space,
            None if asked.architecture is None else asked.architecture.code,
            (asked.fidelity, asked.warm_start, asked.origin),
            (
                context.seed,
                None if folder is None else str(folder),
                None if warm is None else str(warm),
                "cuda:0" if context.device.startswith("cuda") else context.device,  # a worker sees no other
            ),
            (limits.seconds, limits.memory_mb, limits.cpus, limits.gpus),
            None if context.deadline is None else context.deadline - time.monotonic(),
            None if self.seen is None else (str(self.seen), token(self.seen)),
            self.packed.mapped,
        )

    @property
    def folders(self) -> tuple[Path | None, Path | None]:
        """Its own and that of the trial which it continues."""
        own, warm = self.context.folder, self.context.warm_start
        return None if own is None else own.absolute(), None if warm is None else warm.absolute()

    async def hear(self, running: Any) -> Outcome | Sequence[str]:
        """Wait for one that says nothing on its way; what its node does not see, where it could not begin."""
        said = await running
        line, left = (said, {}) if isinstance(said, str) else said
        body = json.loads(line)
        if "unseen" in body:
            return unseen(line)
        await self.take(left)
        return self.read(body["outcome"])

    async def take(self, left: Mapping[str, bytes]) -> None:
        """Put the files that came with the outcome where they belong."""
        if left and self.context.folder is not None:
            await asyncio.to_thread(unpack, left, self.context.folder)

    def read(self, body: Mapping[str, Any]) -> Outcome:
        """The outcome that a worker sent."""
        asked = self.proposal.architecture
        space = asked.space if asked is not None else getattr(self.estimator, "space", None)
        if "found" in body and not isinstance(space, Space):
            name = type(self.estimator).__name__
            return Outcome(error=f"{name} found an architecture, but has no attribute `space` to read it with")
        return Outcome.from_json(body, space if isinstance(space, Space) else Space(()))


def needs_of(context: Context) -> dict[str, float]:
    """Ray's options of a trial: what it needs of a node."""
    gpus = context.resources.gpus or float(context.device.startswith("cuda"))
    return {"num_cpus": context.resources.cpus, "num_gpus": gpus}


def pickled(cloudpickle: Any, sent: Estimator | Space) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Pickle; and name the folders of mapped data, which a node may have elsewhere, with their digests."""
    digests: dict[str, str | None] = {}

    def mapped(value: Any) -> Any:
        images = sys.modules.get("morphogen.training.images")  # without torch there are none
        if images is None or not isinstance(value, images.Images) or value.files is None:
            return None
        if (folder := value.files.folder) not in digests:
            digests[folder] = digest(Path(folder))
        return None if digests[folder] is None else tuple(value.files)

    file = io.BytesIO()
    pickler = cloudpickle.Pickler(file)
    pickler.persistent_id = mapped
    pickler.dump(sent)
    return file.getvalue(), tuple((folder, known) for folder, known in digests.items() if known is not None)


def unseen(line: str) -> Sequence[str]:
    """What a node says that it does not see."""
    return [str(what) for what in json.loads(line)["unseen"]]
