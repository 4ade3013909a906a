"""Texts that Tocsin writes for people to go on with: a first config, a new detector."""

from __future__ import annotations

import keyword
import re
from math import inf

import yaml

from tocsin.component import snake_case
from tocsin.errors import ConfigError, Problem
from tocsin.presets import read_preset
from tocsin.sources.base_files import format_of

_ENDINGS = {"zeek": "log", "jsonl": "jsonl", "parquet": "parquet"}
_TAKEN = ("Detector", "Labels", "Matrix", "Self", "State", "Vector")
"""Names that the file of a detector uses already."""

_CONFIG = """\
version: 1
name: {name}
preset: {preset}                  # schema, features, detector and gate; all can be overridden below
source: {source}
{labels}alerts: {{budget: {budget}, cooldown: 2m}}
registry: {{path: registry, keep: 5}}
sinks: [{{type: console}}, {{type: jsonl, path: alerts.jsonl}}]
# gate: {{recall: ">= 0.8", false_positive_rate: "<= 0.05"}}
# limits: {{memory: 400MB, train_time: 10m}}
"""

_DETECTOR = '''\
"""{title}: what it measures, in one line.

Source: author, title, year, or a link.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from tocsin.arrays import Array
from tocsin.detectors.base import Detector, Labels, State
from tocsin.records import Matrix, Vector


class {kind}(Detector):
    """Score a row by its largest distance from the training mean.

    Say when to take it, and when not.

    Parameters
    ----------
    smallest_scale
        Smallest standard deviation, in the column's own unit, greater than 0.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(200, 3))
    >>> detector = {kind}().fit(rows)
    >>> bool(detector.score(rows + 9.0).min() > detector.score(rows).max())
    True
    """

    def __init__(self, *, smallest_scale: float = 1e-6) -> None:
        self.smallest_scale = smallest_scale

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        """Learn mean and deviation of each column."""
        bounded = np.clip(x, -1e100, 1e100)
        self._mean = bounded.mean(axis=0)
        self._scale = np.maximum(bounded.std(axis=0), self.smallest_scale)
        return self

    def explain(self, x: Matrix) -> Matrix:
        """Distance of each value from its mean, (n, d), in standard deviations."""
        return np.asarray(np.abs(np.clip(x, -1e100, 1e100) - self._mean) / self._scale)

    def score(self, x: Matrix) -> Vector:
        """The largest of a row's distances."""
        return np.asarray(self.explain(x).max(axis=1))

    def state(self) -> State:
        """Mean and scale of each column."""
        return {{"mean": self._mean, "scale": self._scale}}

    def arrays(self, columns: int) -> Mapping[str, Array]:
        """What they must be where a model is loaded: a number for each column, scales above 0."""
        return {{
            "mean": Array((columns,), least=-1e100, most=1e100),
            "scale": Array((columns,), least=self.smallest_scale, most=1e101),
        }}
'''


def first_config(preset: str, path: str | None) -> str:
    """A config to begin with, by default for files in `data`; raises ConfigError for an unknown preset.

    A URL of a bucket, or of a Realtime Database, brings the source that reads it.
    """
    values = read_preset(preset)
    source = values.get("source", {}).get("type", "csv")
    clock = values["schema"].get("time") is not None
    return _CONFIG.format(
        name=preset.replace("/", "-").replace("_", "-"),
        preset=preset,
        source=_source(source, path),
        labels="" if "labels" in values else "# labels: {column: label, normal: [normal]}\n",
        budget="3/day" if clock else "1%",
    )


def _source(kind: str, path: str | None) -> str:
    """The line of a source that reads files of a kind, wherever they are."""
    place = yaml.safe_dump(
        path or f"data/*.{_ENDINGS.get(kind, 'csv')}", default_style='"', width=inf, allow_unicode=True
    )
    if path and path.startswith(("s3://", "gs://")):
        format = "" if format_of(path) == kind else f", format: {{type: {kind}}}"
        return f"{{type: object_store, url: {place.strip()}{format}}}"
    if path and path.startswith("https://"):
        return f"{{type: firebase, url: {place.strip()}}}"
    return f"{{type: {kind}, path: {place.strip()}}}"


def new_detector(name: str) -> str:
    """The file of a new detector, complete and working; raises ConfigError for a name that none can bear."""
    words = name.split("_")
    kind = "".join(word.capitalize() for word in words)
    right = re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) and snake_case(kind) == name
    if not right or words[0] == "base" or keyword.iskeyword(kind) or kind in _TAKEN:
        hint = "the class is the same name in CamelCase, from which the name must be found again"
        raise ConfigError([Problem("name", f'"{name}"', "snake_case such as nearest_neighbours", hint)])
    return _DETECTOR.format(title=" ".join(words).capitalize(), kind=kind)
