"""Methods: one file, one named method of the literature, as a function from a setting to phases.

A new one is a file and a line of the table.
"""

from collections.abc import Mapping

METHODS: Mapping[str, str] = {
    "amoebanet": "morphogen.methods.amoebanet:amoebanet",
    "darts": "morphogen.methods.darts:darts",
    "darts-second-order": "morphogen.methods.darts:darts_second_order",
    "drnas": "morphogen.methods.drnas:drnas",
    "enas": "morphogen.methods.enas:enas",
    "gdas": "morphogen.methods.gdas:gdas",
    "nas-rl": "morphogen.methods.nas_rl:nas_rl",
    "nasnet": "morphogen.methods.nasnet:nasnet",
    "pc-darts": "morphogen.methods.pc_darts:pc_darts",
    "pnas": "morphogen.methods.pnas:pnas",
    "single-path": "morphogen.methods.single_path:single_path",
}
"""Name -> function of a `one_shot.Setting` and options, which gives the phases. Any strategy that proposes architectures
one by one is a method by `black_box`."""

SPACES: Mapping[str, str] = {
    "amoebanet": "amoebanet",
    "enas": "enas-micro",
    "nas-rl": "nas-rl",
    "nasnet": "nasnet",
    "pnas": "pnas",
}
"""Method -> the space that it was published with, where that is another than `SPACE`."""

SPACE = "darts"
"""What any other method or strategy searches where nobody names a space."""

__all__ = ["METHODS", "SPACE", "SPACES"]
