"""The command line: one command per verb, the same options everywhere."""

import os
import sys
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

INTERRUPTED = 130
AGAIN_S = 0.05
"""After which a Ctrl-C that was dropped comes again."""


def main() -> None:
    """Run the command line and end with its exit code, also where Ctrl-C comes before it has begun."""
    open_what_is_closed()
    with dropped_interrupts_again():
        try:
            from tocsin.cli.commands import main as run
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        run()


def open_what_is_closed() -> None:
    """Give a closed standard stream something to be: the next file that is opened would be written to in its place."""
    for name, mode, flags in (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_WRONLY), ("stderr", "w", os.O_WRONLY)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode, encoding="utf-8"))


@contextmanager
def dropped_interrupts_again() -> Iterator[None]:
    """Python drops a Ctrl-C that it gets within a callback, as of its imports: let each of them come once more."""
    before = sys.unraisablehook

    def told(dropped: Any) -> None:
        if dropped.exc_type is KeyboardInterrupt:
            Timer(AGAIN_S, interrupt_main).start()
        else:
            before(dropped)

    sys.unraisablehook = told
    try:
        yield
    finally:
        sys.unraisablehook = before
