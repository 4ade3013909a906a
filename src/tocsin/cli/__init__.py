"""The command line: one command per verb, the same options everywhere."""

from tocsin.cli.commands import main

__all__ = ["main"]
