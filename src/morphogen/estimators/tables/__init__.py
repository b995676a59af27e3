"""Tables that a person gives: recorded results in a data file, and a small TOML beside it that says what is what."""

from morphogen.catalog import lazy

EXPORTS = {"FileTable": "table", "SHIPPED": "table", "is_table_file": "table", "load": "table"}
__all__ = list(EXPORTS)
__getattr__, __dir__ = lazy(__name__, EXPORTS)
