"""The energy that a machine says it has used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

__all__ = ["Meter"]

POWERCAP = Path("/sys/class/powercap")


@final
@dataclass(frozen=True)
class Meter:
    """The counters of the processor packages (RAPL), as Linux shows them. They count everything that runs.

    Args:
        zones: A folder for each package.
    """

    zones: tuple[Path, ...]

    @staticmethod
    def find(root: Path = POWERCAP) -> Meter | None:
        """The meter of this machine; None where it tells nothing, or not to us (many systems let only root read it)."""
        zones = []
        # `intel-rapl:0` is a package (of AMD, too); `intel-rapl:0:1` is a part of one
        for zone in sorted(root.glob("intel-rapl:*")):
            if zone.name.count(":") == 1:
                try:
                    int((zone / "energy_uj").read_text())
                except (OSError, ValueError):
                    continue
                zones.append(zone)
        return Meter(tuple(zones)) if zones else None

    def read(self) -> tuple[int, ...]:
        """Every counter, in microjoules."""
        return tuple(int((zone / "energy_uj").read_text()) for zone in self.zones)

    def millijoules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """What was used between two readings less than a turn of a counter apart."""
        used = 0
        for zone, first, last in zip(self.zones, before, after, strict=True):
            used += last - first if last >= first else last - first + int((zone / "max_energy_range_uj").read_text())
        return used / 1000
