"""A cell as an SVG: a box for each node and each operation, from left to right, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from morphogen.report.graph import Graph
from morphogen.report.layout import Box, Line, layered

__all__ = ["PALETTE", "colors_of", "svg"]

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#888888")
"""Okabe and Ito 2008, "Color Universal Design": told apart with every kind of color vision. The yellow is darkened."""

KNOWN = {
    "sep_conv_3x3": "#0072B2",
    "sep_conv_5x5": "#56B4E9",
    "sep_conv_7x7": "#B8A800",
    "dil_conv_3x3": "#009E73",
    "dil_conv_5x5": "#CC79A7",
    "max_pool_3x3": "#D55E00",
    "avg_pool_3x3": "#E69F00",
    "skip_connect": "#888888",
    "identity": "#888888",
}

STYLE = """
.cell-line { fill: none; stroke: #7b8794; stroke-width: 1.5 }
.cell-arrow { fill: #7b8794 }
.cell-node { fill: #f1f3f5; stroke: #59636e; stroke-width: 1.5 }
.cell-operation { fill-opacity: .14; stroke-width: 1.75 }
.cell-text { fill: #1c2024; font: 12px system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif;
  text-anchor: middle; dominant-baseline: central }
@media screen and (prefers-color-scheme: dark) {
  .cell-line { stroke: #8d97a3 } .cell-arrow { fill: #8d97a3 } .cell-text { fill: #e8eaed }
  .cell-node { fill: #2a2f36; stroke: #9aa4af } .cell-operation { fill-opacity: .26 }
}
"""


def colors_of(labels: Iterable[str]) -> dict[str, str]:
    """A color for each operation: the same everywhere for the published names, distinct as far as the palette goes."""
    labels = list(dict.fromkeys(labels))
    used = {KNOWN[label] for label in labels if label in KNOWN}
    free = [color for color in PALETTE if color not in used] or list(PALETTE)
    unknown = [label for label in labels if label not in KNOWN]
    return {label: KNOWN[label] if label in KNOWN else free[unknown.index(label) % len(free)] for label in labels}


def svg(graph: Graph, colors: Mapping[str, str] | None = None) -> str:
    """Draw a graph. The text stands alone as a file, and inside a page.

    Args:
        graph: What to draw.
        colors: Of operations, to be the same in several drawings; by default `colors_of` its own.
    """
    layout = layered(graph)
    colors = {**colors_of(e.label for e in graph.edges if e.label), **(colors or {})}
    title = f"Cell {graph.name}" if graph.name else "Cell"
    width, height = f"{layout.width:.0f}", f"{layout.height:.0f}"
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        *(_line(line) for line in layout.lines),
        *(_box(box, colors) for box in layout.boxes),
        "</svg>",
    ]
    return "\n".join(parts)


def _line(line: Line) -> str:
    """Straight within a column, an S between two."""
    middle = (line.bend1 + line.bend2) / 2
    tip = line.x2 - 6 if line.arrow else line.x2
    y1, y2 = f"{line.y1:.1f}", f"{line.y2:.1f}"
    bend = f"C{middle:.1f} {y1} {middle:.1f} {y2} {min(line.bend2, tip):.1f} {y2}"
    path = f"M{line.x1:.1f} {y1}H{line.bend1:.1f}{bend}H{tip:.1f}"
    drawn = f'<path class="cell-line" d="{path}"/>'
    if line.arrow:
        drawn += f'<path class="cell-arrow" d="M{line.x2:.1f} {y2}l-8 -4v8z"/>'
    return drawn


def _box(box: Box, colors: Mapping[str, str]) -> str:
    corner = 6 if box.operation else box.height / 2
    left, top = box.x - box.width / 2, box.y - box.height / 2
    place = f'x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{corner:g}"'
    text = f'<text class="cell-text" x="{box.x:.1f}" y="{box.y:.1f}">{escape(box.label)}</text>'
    if not box.operation:
        return f'<rect class="cell-node" {place}/>{text}'
    color = escape(colors[box.label])
    return f'<rect class="cell-operation" fill="{color}" stroke="{color}" {place}/>{text}'
