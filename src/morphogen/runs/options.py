"""The options of a strategy or a method, as a configuration gives them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from morphogen.catalog import check_options

__all__ = ["checked"]


def checked(what: str, made: Callable[..., Any], options: Mapping[str, Any], given: frozenset[str]) -> dict[str, Any]:
    """The options with the types that the parameters of `made` say, a list as the tuple that it is.

    A type that a text file has no values of is left to `made` itself.

    Args:
        what: Whose options they are, for messages.
        made: A class or a function.
        options: Name -> value.
        given: Parameters that are no options.

    Raises:
        ValueError: There is no such option, or a value of another type.
    """
    check_options(what, options, [name for name in inspect.signature(made).parameters if name not in given])
    hints = _hints(made)
    return {name: _read(what, name, value, hints.get(name, Any)) for name, value in options.items()}


def _hints(made: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return {**get_type_hints(made), **(get_type_hints(made.__init__) if inspect.isclass(made) else {})}
    except NameError:  # of somebody's own, imported for type checkers only
        return {}


def _read(what: str, name: str, value: Any, hint: Any) -> Any:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{what}: {name} = {value!r}: {error.errors()[0]['msg']}") from None
