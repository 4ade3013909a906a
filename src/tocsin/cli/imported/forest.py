"""The words in which scikit-learn's users describe an isolation forest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tocsin.cli.imported.values import budget, number, whole
from tocsin.cli.imported.words import Fate, Rule, Words, kept, meaningless
from tocsin.detectors.base_trees import MAX_SAMPLED, MAX_TREES

BUDGET = "the share of rows that may ring"
SEED = kept("detector.seed", whole(0, 2**32 - 1))


def _share(value: Any, _words: Words) -> Fate:
    if value == "auto":
        return Fate("no_meaning", "the alert level is set from alerts.budget, which stays as it is")
    return Fate("kept", BUDGET, {"alerts.budget": budget(value)})


def _samples(value: Any, _words: Words) -> Fate:
    if value == "auto":
        return Fate("kept", "256, or all rows where there are fewer", {"detector.samples": 256})
    samples = number(value, 0, MAX_SAMPLED)
    if samples < 1:
        return Fate("not_yet", "samples are a number of rows here, no share of them; the default is 256")
    return Fate("kept", "", {"detector.samples": whole(2, MAX_SAMPLED)(value)})


def detector(value: Any, _words: Words) -> Fate:
    """The rule of a word that names a kind of detector."""
    if str(value).lower().replace("_", "") in ("isolationforest", "iforest"):
        return Fate("kept", "", {"detector.type": "isolation_forest"})
    return Fate("not_yet", "Tocsin has no such detector yet; an isolation forest stands in for it")


FOREST: dict[str, Rule] = {
    "n_estimators": kept("detector.trees", whole(1, MAX_TREES)),
    "max_samples": _samples,
    "contamination": _share,
    "random_state": SEED,
    "max_features": meaningless("every cut draws from all columns"),
    "bootstrap": meaningless("sub-samples are drawn without replacement"),
    "n_jobs": meaningless("a forest is grown and walked by one core"),
    "verbose": meaningless("progress is shown on a terminal"),
    "warm_start": meaningless("a model is trained whole"),
}


def searched(places: Mapping[str, Any]) -> Fate:
    """The fate of a word that asks for a grid over these places."""
    return Fate("kept", "tocsin tune tries it", {"tune.sampler": "grid", "tune.search": dict(places)})
