"""A registered model, let into this process once another one has tried it."""

from __future__ import annotations

from tocsin.config import Config
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.bundle import Bundle
from tocsin.model.fitted import named_by
from tocsin.model.replay import replay_once

REPLAYED = ".tocsin/replayed"


def admitted(bundle: Bundle, config: Config) -> AnomalyModel:
    """The model of a bundle; its golden rows are scored in a process of their own first, once on a machine.

    Raises
    ------
    IntegrityError
        If it is none, if a replay gives other scores, or if it holds parts of other packages that the config does not
        name.
    """
    outside = named_by(config)
    replay_once(bundle, config.resolve(REPLAYED), outside)
    return AnomalyModel.from_bundle(bundle, outside)
