"""Tocsin: anomaly detection for network and service telemetry, from raw records to a trusted alarm.

>>> import tocsin
>>> project = tocsin.load("tocsin.yaml")  # doctest: +SKIP
>>> project.train()  # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tocsin.system import Project

__version__ = "0.1.0"


def load(path: str | Path) -> Project:
    """The project that a config file describes, ready to train, evaluate and score.

    Raises
    ------
    ConfigError
        If the file holds any problem; every problem is listed.
    """
    from tocsin.system import Project  # `import tocsin` stays light

    return Project.load(Path(path))
