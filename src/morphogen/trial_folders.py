"""The folders of a run's trials, and which of their checkpoints something may still go on from."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import final

from morphogen.trial import Trial

__all__ = ["TrialFolders"]

WEIGHTS = ("*.pt", "*.safetensors")


@final
class TrialFolders:
    """`ROOT/ID/` for each trial. Weights are dropped as soon as nothing will need them: those of a trial that was
    continued, and of all but the best few of a phase.

    What the newest trial or one that is not told yet begins with is kept, however many are better by now: trials that
    are asked one after another often begin with the same. So is what begins with the same as the newest: the next one
    may begin with one of them.

    Args:
        root: The folder of all; None keeps nothing.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._best: dict[str, list[Trial]] = {}
        self._superseded: set[int] = set()
        """Their weights go as soon as nothing begins with them."""
        self._siblings: set[int] = set()
        """Superseded when the newest trial begins with another one's weights than `_family`'s."""
        self._family: int | None = None
        # those that are there, or may be: to ask the disk for every trial of a long record takes half as long as the rest
        there = () if root is None or not root.is_dir() else root.iterdir()
        self._present = {int(path.name) for path in there if path.name.isdecimal()}

    def of(self, id: int) -> Path | None:
        """The folder of a trial, which need not be there; None where nothing is kept."""
        return None if self._root is None else self._root / str(id)

    def begin(self, id: int) -> Path | None:
        """The folder of a trial that is about to write into it."""
        self._present.add(id)
        return self.of(id)

    def tell(self, trial: Trial, trials: Sequence[Trial], pending: Iterable[Trial], keep: int) -> None:
        """Drop what nothing needs now that this trial is over.

        Args:
            trial: With its outcome.
            trials: All that were asked, by id.
            pending: Asked, and not told yet.
            keep: Of how many of the phase's best trials the weights stay.
        """
        if self._root is None:
            return
        before, newest = trial.proposal.warm_start, trials[-1]
        if (
            before is not None
            and trials[before].proposal.fidelity  # else it competes with the best
            and any((self._root / str(trial.id)).glob("*.pt"))
        ):
            self._superseded.add(before)
        if newest.proposal.warm_start != self._family:
            self._superseded |= self._siblings
            self._family, self._siblings = newest.proposal.warm_start, set()
        if not trial.proposal.fidelity:  # a lower rung may still be promoted
            worse = self._worse(trial, keep)
            if worse is not None and worse.id in self._present:
                sibling = self._family is not None and worse.proposal.warm_start == self._family
                (self._siblings if sibling else self._superseded).add(worse.id)
        if self._superseded:
            needed = {t.proposal.warm_start for t in (*pending, newest)}
            for id in self._superseded - needed:
                self._drop(id)
            self._superseded &= needed

    def _worse(self, trial: Trial, keep: int) -> Trial | None:
        """Which trial is not among the best of the phase any more, now that this one is there."""
        best = self._best.setdefault(trial.phase, [])
        if len(best) >= keep and (not best or _rank(trial) >= _rank(best[-1])):
            return trial
        insort(best, trial, key=_rank)
        return best.pop() if len(best) > keep else None

    def _drop(self, id: int) -> None:
        if id in self._present and (folder := self.of(id)) is not None:
            for pattern in WEIGHTS:
                for file in folder.glob(pattern):
                    file.unlink(missing_ok=True)
            self._present.remove(id)


def _rank(trial: Trial) -> tuple[float, tuple[float, ...], int]:
    return trial.violation, trial.losses, trial.id
