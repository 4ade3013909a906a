"""The terminal that alerts, results and errors are shown on."""

from __future__ import annotations

import rich.console


class Terminal(rich.console.Console):
    """Prints lines as they are: none is broken, coloured by guess or searched for emoji.

    Parameters
    ----------
    stderr
        Standard error in place of standard output, either as it is when something is printed.
    width
        Characters of a line; by default those of the terminal.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, soft_wrap=True, highlight=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Nobody reads any more: for who prints to decide, not the end of the program.

        Raises
        ------
        BrokenPipeError
            Always. It bears no number, by which the command line's parser would know it and end the program.
        """
        raise BrokenPipeError("nobody reads any more")
