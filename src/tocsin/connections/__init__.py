"""Connections to other systems: one client per broker and for HTTP, and what goes out to addresses of a config."""


class Unreachable(Exception):
    """A broker does not answer, refuses, or has gone.

    Parameters
    ----------
    got
        What it said, or did not say.
    hint
        What to look at.
    """

    def __init__(self, got: str, hint: str = "is the broker up, and its url right?") -> None:
        super().__init__(got)
        self.got = got
        self.hint = hint
