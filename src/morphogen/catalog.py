"""Components by name: lazy exports of a package, and kebab-case names for the command line.

A package lists what it exports in one table, class -> module; nothing is imported before it is asked for, and nothing
registers itself. `regularized-evolution` is `RegularizedEvolution`; `package.module:Name` is anybody's own.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

__all__ = ["check_options", "component", "kebab", "lazy", "nearest", "resolve"]


def lazy(package: str, exports: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package that imports `exports[name]`, a module in it, when `name` is used."""

    def get(name: str) -> Any:
        if name not in exports:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(f"{package}.{exports[name]}"), name)

    return get, lambda: sorted(exports)


def kebab(name: str) -> str:
    """`RegularizedEvolution` -> `regularized-evolution`, `NSGA2` -> `nsga2`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower().replace("_", "-")


def component(package: str, name: str, kind: str) -> Any:
    """The component that a person names: kebab-case of a class that `package` exports, or `package.module:Name`.

    Raises:
        ValueError: There is none; the message has the nearest name.
    """
    if ":" in name:
        return resolve(name)
    module = importlib.import_module(package)
    names = {kebab(n): n for n in module.__all__}
    if name not in names:
        raise ValueError(f"there is no {kind} '{name}'{nearest(name, names)}; there are {', '.join(sorted(names))}")
    return getattr(module, names[name])


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` where a name is close to one that exists, else nothing."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f", did you mean '{close[0]}'?" if close else ""


def check_options(what: str, options: Iterable[str], known: Collection[str]) -> None:
    """Raises: ValueError: One of the options is not known; the message has the nearest name."""
    for option in options:
        if option not in known:
            raise ValueError(
                f"{what} has no option '{option}'{nearest(option, known)}; it has {', '.join(known) or 'none'}"
            )


def resolve(dotted: str) -> Any:
    """Import `package.module:name`.

    Raises:
        ValueError: There is no such module or name.
    """
    module, colon, name = dotted.partition(":")
    if not colon:
        raise ValueError(f"'{dotted}' is not of the form package.module:name")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"'{dotted}' cannot be imported: {error}") from None
    return found
