"""What a run came to: one HTML page, the same in a terminal, and the verdict against random search."""

from morphogen.catalog import lazy

EXPORTS = {
    "Arm": "verdict",
    "Graph": "graph",
    "Row": "record",
    "RunRecord": "record",
    "Verdict": "verdict",
    "compare": "verdict",
    "graphs_of": "graph",
    "render": "page",
    "show": "terminal",
    "summary": "terminal",
    "svg": "draw",
    "write_report": "page",
}
__all__ = list(EXPORTS)
__getattr__, __dir__ = lazy(__name__, EXPORTS)
