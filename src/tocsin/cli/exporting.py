"""The options of `tocsin train` that write another system's files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from tocsin.training.exports import Export


class ExportFormat(StrEnum):
    """The systems whose files can be written."""

    AMOSKYS = "amoskys"
    HELIOS = "helios"
    NETWORKING_TESTER = "networking-tester"


def exporting(format: ExportFormat | None, folder: Path | None) -> Export | None:
    """What a training is to write, found out before it begins; raises for a folder that holds something."""
    if format is None:
        if folder is not None:
            raise typer.BadParameter("--export-to says where, and --export says what: give both or neither")
        return None
    from tocsin.training.exports import export

    return export(format.value, folder)
