"""Secrets that lie in small files: a token, a community, a password. What they hold is in no message."""

from __future__ import annotations

from pathlib import Path

from tocsin.errors import ConfigError, Problem


def read_secret(path: str, *, parameter: str, wanted: str, most: int) -> str:
    """The one line of a file, without its end.

    Parameters
    ----------
    path
        May begin with `~`.
    parameter
        Of the source, for messages.
    wanted
        What the file should hold, for messages.
    most
        Characters, at most.

    Raises
    ------
    ConfigError
        If the file cannot be read, or holds anything else than one line that can be printed.
    """
    try:
        with Path(path).expanduser().open(encoding="utf-8") as file:
            text = file.read(most + 2).rstrip("\n")
    except UnicodeDecodeError:
        raise refused(path, parameter, "bytes that are not UTF-8", wanted) from None
    except (OSError, RuntimeError) as error:
        raise refused(path, parameter, getattr(error, "strerror", None) or str(error), wanted) from None
    if found := _flaw(text, most):
        raise refused(path, parameter, found, wanted)
    return text


def refused(path: str, parameter: str, got: str, wanted: str) -> ConfigError:
    """What is wrong with a file."""
    return ConfigError([Problem(f"$.source.{parameter}", f"{path}: {got}", wanted)])


def _flaw(text: str, most: int) -> str:
    if not text:
        return "nothing"
    if len(text) > most:
        return f"more than {most:,} characters"
    if lines := len(text.splitlines()) - 1:
        return f"{lines + 1} lines"
    return "" if text.isprintable() else "characters that cannot be printed"
