"""Tables that a person gives: recorded results in a data file, and a small TOML beside it that says what is what."""

from pathlib import Path

from morphogen.catalog import lazy

SHIPPED = {"digits": str(Path(__file__).parent / "shipped" / "digits.toml")}
"""Tables that come with the package, by name."""

EXPORTS = {"FileTable": "table", "is_table_file": "table", "load": "table"}
__all__ = ["SHIPPED", *EXPORTS]
__getattr__, __dir__ = lazy(__name__, EXPORTS)
