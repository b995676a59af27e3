"""The table that a person names."""

from __future__ import annotations

from morphogen.catalog import nearest, resolve
from morphogen.estimators.tabular import Table

__all__ = ["TABLES", "table"]

TABLES = {"toy": "morphogen.estimators.toy:ToyTable"}
"""Those that are computed; `morphogen.estimators.tables.SHIPPED` has those that are files."""


def table(name: str) -> Table:
    """A table by its name, by the TOML file of its own that says what is in it, or by `package.module:Name`.

    Raises:
        ValueError: There is none; the message has the nearest name.
    """
    from morphogen.estimators.tables import SHIPPED, is_table_file, load

    found: Table
    if name in SHIPPED or (name not in TABLES and is_table_file(name)):
        found = load(SHIPPED.get(name, name))
        return found
    if name not in TABLES and ":" not in name:
        known = [*TABLES, *SHIPPED]
        raise ValueError(
            f"there is no table '{name}'{nearest(name, known)}; there are {', '.join(known)}, and your own as a TOML file"
        )
    found = resolve(TABLES.get(name, name))()
    return found
