"""What people would take instead: other packages' detectors with their defaults, and the trivial ones.

Each learns from the same prepared features as Tocsin's own model and is asked for scores of the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np

from tocsin.evaluation.baselines import baseline_scores
from tocsin.records import Column, Matrix, Vector

MOST_ROWS = 20_000
"""Training rows that a peer is given, evenly spread over more: neighbours take time with the product of rows."""

Peer = Callable[[Matrix, Matrix, int], Vector]
"""Training rows, rows to judge, seed -> scores, higher = more anomalous."""


def _isolation_forest(train: Matrix, test: Matrix, seed: int) -> Vector:
    from sklearn.ensemble import IsolationForest

    scores: Vector = -IsolationForest(random_state=seed).fit(train).score_samples(test)
    return scores


def _knn(train: Matrix, test: Matrix, _seed: int) -> Vector:
    from pyod.models.knn import KNN

    return np.asarray(KNN().fit(train).decision_function(test))


def _ecod(train: Matrix, test: Matrix, _seed: int) -> Vector:
    from pyod.models.ecod import ECOD

    return np.asarray(ECOD().fit(train).decision_function(test))


def _hbos(train: Matrix, test: Matrix, _seed: int) -> Vector:
    from pyod.models.hbos import HBOS

    return np.asarray(HBOS().fit(train).decision_function(test))


def _pca(train: Matrix, test: Matrix, _seed: int) -> Vector:
    from pyod.models.pca import PCA

    return np.asarray(PCA().fit(train).decision_function(test))


def _half_space_trees(train: Matrix, test: Matrix, seed: int) -> Vector:
    from river.anomaly import HalfSpaceTrees

    low, high = train.min(axis=0), train.max(axis=0)
    spread = np.where(high > low, high - low, 1.0)
    places = range(train.shape[1])
    trees: Any = HalfSpaceTrees(seed=seed)
    for row in np.clip((train - low) / spread, 0, 1).tolist():
        trees.learn_one(dict(zip(places, row, strict=True)))
    rows = np.clip((test - low) / spread, 0, 1).tolist()
    return np.array([trees.score_one(dict(zip(places, row, strict=True))) for row in rows])


_PEERS: Mapping[str, tuple[str, Peer]] = {
    "scikit-learn IsolationForest": ("sklearn", _isolation_forest),
    "PyOD KNN": ("pyod", _knn),
    "PyOD ECOD": ("pyod", _ecod),
    "PyOD HBOS": ("pyod", _hbos),
    "PyOD PCA": ("pyod", _pca),
    "River HalfSpaceTrees": ("river", _half_space_trees),
}
"""By the name that a table shows: the package that brings it, and how it is asked."""


def missing() -> tuple[str, ...]:
    """Peers whose package is not installed."""
    return tuple(name for name, (package, _) in _PEERS.items() if find_spec(package) is None)


def scores_of_peers(
    train: Matrix, test: Matrix, entities: Column | None, seed: int
) -> Iterator[tuple[str, Callable[[], Vector]]]:
    """The name of each contender, and what gives its scores of the test rows, (n,).

    Parameters
    ----------
    train, test
        Prepared features, (m, d) and (n, d), the test rows in time order where there is a clock.
    entities
        Of the test rows, (n,), or None: all of one.
    seed
        Of those that draw random numbers.
    """
    thinned = train[:: max(1, -(-len(train) // MOST_ROWS))]
    varying = (thinned != thinned[0]).any(axis=0)  # some of them divide by what a column varies
    thinned, seen = thinned[:, varying], test[:, varying]
    for name, (package, peer) in _PEERS.items():
        if find_spec(package) is not None:
            yield name, partial(_quietly, peer, thinned, seen, seed)
    moments = np.stack((train.mean(axis=0), train.std(axis=0)))
    trivial = baseline_scores(test, moments, entities, np.random.default_rng(seed))
    for name, scores in trivial.items():
        yield name.replace("_", " "), partial(np.asarray, scores)


def _quietly(peer: Peer, train: Matrix, test: Matrix, seed: int) -> Vector:
    """What other packages warn of on the way is theirs."""
    with catch_warnings(), np.errstate(all="ignore"):
        simplefilter("ignore")
        return _finite(peer(train, test, seed))


def _finite(scores: Vector) -> Vector:
    """Infinite scores are the highest; a contender that has no others has said nothing, which is not chance."""
    if not np.isfinite(scores).any():
        raise ArithmeticError("no row has a finite score")
    return np.nan_to_num(scores, posinf=np.finfo(np.float64).max)
