"""What a person sees of an error at the command line: one line and an exit code, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer

__all__ = ["Exit", "complain", "failures"]


class Exit(IntEnum):
    """0 it worked; 1 it could not be done; 2 it was asked wrongly; 130 it was interrupted."""

    FAILED = 1
    USAGE = 2
    INTERRUPTED = 130


@contextmanager
def failures() -> Iterator[None]:
    """The only place where an error becomes a line and an exit code."""
    from morphogen.protocols import MorphogenError  # with numpy behind it, for which --help would have to wait

    try:
        yield
    except MorphogenError as error:
        complain(str(error))
        raise typer.Exit(Exit.FAILED) from None
    except OSError as error:  # a full disk, a folder that may not be written
        complain(f"{error.filename or 'a file'} cannot be read or written: {error.strerror or error}")
        raise typer.Exit(Exit.FAILED) from None
    except (ValueError, TypeError, LookupError) as error:
        # a KeyError's text is in quotes
        complain(str(error.args[0] if isinstance(error, KeyError) and error.args else error))
        raise typer.Exit(Exit.USAGE) from None
    except KeyboardInterrupt as interrupt:
        complain(str(interrupt) or "interrupted")
        raise typer.Exit(Exit.INTERRUPTED) from None


def complain(text: str) -> None:
    """One line, whatever was given: names from files may have escapes of terminals in them."""
    print("morphogen:", "".join(c if c.isprintable() else " " for c in text), file=sys.stderr)
