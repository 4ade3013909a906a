"""A model whose detector looks at several rows of an entity: which rows those are, whoever hands them over and how."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.config import parse
from tocsin.errors import DataError
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import LABEL, SECOND, Batch, Scores

STEPS = 3
DETECTORS = {
    "pca_reconstruction": f"{{type: pca_reconstruction, steps: {STEPS}}}",
    "lstm_autoencoder": f"{{type: lstm_autoencoder, steps: {STEPS}, units: 4, epochs: 3}}",
}
CONFIG = """\
version: 1
name: hosts
schema:
  time: time
  entity: host
  fields: {{time: {{dtype: time}}, host: {{dtype: category}}, load: {{dtype: float}}, queue: {{dtype: float}}}}
detector: {detector}
alerts: {{budget: 1%}}
"""


def rows(hosts: str, seed: int = 0, begin: int = 1_000_000) -> Batch:
    """A row a minute, each of the host that a letter names; loads follow queues."""
    queue = np.random.default_rng(seed).normal(size=len(hosts))
    return Batch(
        {
            "time": (begin + 60 * np.arange(len(hosts))) * SECOND,
            "host": np.array(list(hosts), dtype=object),
            "load": 2.0 * queue + 0.1 * np.random.default_rng(seed + 1).normal(size=len(hosts)),
            "queue": queue,
        }
    )


def fitted(detector: str, hosts: str = "abc" * 200) -> AnomalyModel:
    design = Design.of(parse(CONFIG.format(detector=detector)))
    return AnomalyModel(design).fit(rows(hosts), rows(hosts, 7, 2_000_000))


@pytest.fixture(scope="module", params=DETECTORS)
def model(request: pytest.FixtureRequest) -> AnomalyModel:
    return fitted(DETECTORS[request.param])


def same(one: Scores, other: Scores) -> None:
    """To within the rounding of sums over another number of rows."""
    np.testing.assert_allclose(one.score, other.score, rtol=1e-12, atol=1e-12)
    assert one.state.tolist() == other.state.tolist()


def joined(parts: list[Scores]) -> Scores:
    names = ("score", "p_value", "flagged", "state")
    return Scores(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hosts=st.text("abc", min_size=1, max_size=40), cuts=st.lists(st.integers(0, 40), max_size=6))
def test_any_chunking_scores_as_one_batch_and_as_row_by_row(model: AnomalyModel, hosts: str, cuts: list[int]) -> None:
    batch, whole = rows(hosts, 5), model.score(rows(hosts, 5))
    some = [0, *sorted(min(cut, len(hosts)) for cut in cuts), len(hosts)]
    for edges in (some, list(range(len(hosts) + 1))):
        state = model.start()
        same(joined([model.score(batch.take(slice(one, two)), state) for one, two in pairwise(edges)]), whole)


def test_a_sequence_is_of_one_host_whatever_the_others_send(model: AnomalyModel) -> None:
    batch = rows("aabacbaacab", 5)
    own = np.asarray(batch["host"] == "a")
    mixed, alone = model.score(batch), model.score(batch.take(own))
    np.testing.assert_allclose(mixed.score[own], alone.score, rtol=1e-12)
    wild = model.score(batch.replace({"load": np.where(own, batch["load"], 1e6)}))
    np.testing.assert_allclose(wild.score[own], alone.score, rtol=1e-12)


def test_rows_are_warming_up_until_they_are_enough_and_again_after_a_gap(model: AnomalyModel) -> None:
    batch = rows("a" * 8, 5)
    times = np.asarray(batch["time"]).copy()
    times[5:] += 86_400 * SECOND
    scores = model.score(batch.replace({"time": times}))
    assert scores.state.tolist() == ["warming_up", "warming_up", *["ready"] * 3, "warming_up", "warming_up", "ready"]
    assert not scores.flagged[scores.state == "warming_up"].any()


def test_a_loaded_model_goes_on_where_the_rows_are(model: AnomalyModel, tmp_path: Path) -> None:
    batch = rows("abcab" * 6, 5)
    model.save(tmp_path / "model")
    loaded = AnomalyModel.load(tmp_path / "model")
    assert loaded.digest == model.digest
    np.testing.assert_array_equal(loaded.score(batch).score, model.score(batch).score)


def test_a_reason_names_the_row_that_weighed_most(model: AnomalyModel) -> None:
    batch = rows("a" * 8, 5)
    load = np.asarray(batch["load"]).copy()
    load[4] = 40.0
    batch = batch.replace({"load": load})
    scores = model.score(batch)
    assert scores.score[4:7].min() > scores.score[[2, 3, 7]].max()
    named = [reasons[0] for reasons in model.reasons(model.features(batch, model.start()).values[4:7])]
    assert [reason.feature for reason in named] == ["load", "load@1", "load@2"]
    assert [reason.value for reason in named] == [40.0] * 3


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=DETECTORS)
def test_one_host_alone_is_enough(detector: str) -> None:
    batch = rows("a" * 30, 5)
    load = np.asarray(batch["load"]).copy()
    load[20] = 40.0
    scores = fitted(detector, "a" * 400).score(batch.replace({"load": load})).score
    assert scores[20] > 2 * np.delete(scores, [20, 21, 22])[STEPS:].max()


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=DETECTORS)
def test_hosts_with_fewer_rows_than_a_sequence_teach_nothing_and_are_told(detector: str) -> None:
    short = "".join(chr(0x4E00 + host) * (STEPS - 1) for host in range(200))
    told = rf"(?s)got 0 usable rows.*steps={STEPS}.* learns from {STEPS} rows of an entity"
    with pytest.raises(DataError, match=told):
        fitted(detector, short)


def test_a_few_labels_are_not_blamed_for_sequences_that_are_too_long() -> None:
    short = rows("".join(chr(0x4E00 + host) * (STEPS - 1) for host in range(200)))
    labelled = Batch({**short, LABEL: (np.arange(short.rows) % 20 == 7).astype(np.int8)})
    model = AnomalyModel(Design.of(parse(CONFIG.format(detector=DETECTORS["pca_reconstruction"]))))
    with pytest.raises(DataError, match="take fewer steps"):
        model.fit(labelled, labelled)
