"""The command line: one command per verb, the same options everywhere."""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line and end with its exit code, also where Ctrl-C comes before it has begun."""
    try:
        from tocsin.cli.commands import main as run
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run()
