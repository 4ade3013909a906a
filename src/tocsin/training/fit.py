"""History becomes a fitted model: split, columns chosen, fitted, with the level set on rows that follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tocsin.config import Config
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.model.feature_cache import FeatureCache, FeaturePass
from tocsin.training.history import History, Progress
from tocsin.training.kept_course import KeptCourse
from tocsin.training.limits import Limits
from tocsin.training.selection import selected
from tocsin.training.split import Parts, split


@dataclass(frozen=True, slots=True)
class Means:
    """What a training goes by, besides its config and its rows."""

    limits: Limits
    cache: FeatureCache
    progress: Progress
    course: Path
    """Where a long fit keeps how far it is."""

    @property
    def checkpoint(self) -> Callable[[str], None]:
        """Called before each stage: tells it, and ends the training where a limit is reached."""

        def checkpoint(stage: str) -> None:
            self.limits.check(stage)
            self.progress(stage, 0)

        return checkpoint


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model, the rows it came from, and its features standing behind the calibration rows."""

    model: AnomalyModel
    parts: Parts
    features: FeaturePass


def fit(config: Config, history: History, means: Means, *, test_elsewhere: bool) -> Fitted:
    """Learn from the training part and set the alert level on the calibration part.

    Raises
    ------
    DataError
        If there are too few usable rows.
    LimitExceeded
        If a limit of the config is reached.
    """
    parts = split(history.batch, config.schema_, config.split, test_elsewhere=test_elsewhere)
    design = selected(Design.of(config), parts.train, config.split, means.cache)
    model = AnomalyModel(design, history.tally.digests.values())
    model.detector.course = KeptCourse(means.course, means.limits, means.progress)
    features = FeaturePass(means.cache)
    model.fit(parts.train, parts.calibration, parts.share, means.checkpoint, features)
    return Fitted(model, parts, features)
