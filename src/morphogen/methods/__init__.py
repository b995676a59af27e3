"""Methods: one file, one named method of the literature, as a function from a setting to phases.

A new one is a file and a line of the table.
"""

from collections.abc import Mapping

METHODS: Mapping[str, str] = {
    "darts": "morphogen.methods.darts:darts",
    "darts-second-order": "morphogen.methods.darts:darts_second_order",
    "drnas": "morphogen.methods.drnas:drnas",
    "gdas": "morphogen.methods.gdas:gdas",
    "pc-darts": "morphogen.methods.pc_darts:pc_darts",
    "single-path": "morphogen.methods.single_path:single_path",
}
"""Name -> function of a `one_shot.Setting` and options, which gives the phases. Any strategy that proposes architectures
one by one is a method by `black_box`."""

__all__ = ["METHODS"]
