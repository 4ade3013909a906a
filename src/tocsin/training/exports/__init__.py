"""A finished training in the files of another system: same names, same columns and keys, honest values.

One file per format. A format is a function (material, folder) that writes into an empty folder. All figures are over
rows that the model never saw, identities stay pseudonyms, and what was made from generated data says so in every file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tocsin.errors import DataError
from tocsin.evaluation.runs import appearing
from tocsin.training.exports.material import Material

__all__ = ["Export", "Format", "Material", "export"]

Format = Literal["amoskys", "helios", "networking-tester"]
Export = Callable[[Material, Path], None]
"""Called with a training and its run folder, before anything is registered."""


def export(name: Format, folder: Path | None = None) -> Export:
    """An export of a format, to be handed to a training.

    Parameters
    ----------
    name
        The system whose files are written.
    folder
        Where to; must be empty or not there yet. By default `exports/<name>` in the run folder.

    Raises
    ------
    DataError
        If the folder holds something.
    MissingExtraError
        If a package that the format needs is not installed.
    """
    if folder is not None and (folder.is_file() or (folder.is_dir() and any(folder.iterdir()))):
        hint = "telemetry is never replaced in silence"
        raise DataError(str(folder), "something that is there already", "a new or an empty folder", hint)
    write = _writer(name)

    def run(material: Material, run_folder: Path) -> None:
        with appearing(folder or run_folder / "exports" / name) as partial:
            write(material, partial)

    return run


def _writer(name: Format) -> Export:
    if name == "amoskys":
        from tocsin.training.exports import amoskys

        return amoskys.write
    if name == "helios":
        from tocsin.training.exports import helios

        return helios.write
    from tocsin.training.exports import networking_tester

    return networking_tester.write
