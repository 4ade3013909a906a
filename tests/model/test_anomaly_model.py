"""A model learns, scores, explains itself, and comes back as what it was or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tocsin import log
from tocsin.config import parse
from tocsin.errors import DataError, IntegrityError, LimitExceeded, NotFittedError, SchemaError
from tocsin.kernel.entities import COLD, LATE, NOT_ADMITTED, STEPPED_BACK, TOO_LATE
from tocsin.kernel.run import FeatureMatrix
from tocsin.kernel.state import WARMING_UP
from tocsin.model.anomaly_model import ENOUGH_ROWS, LEAST_ROWS, AnomalyModel
from tocsin.model.bundle import Bundle
from tocsin.model.design import Design
from tocsin.model.fitted import GOLDEN_ROWS
from tocsin.records import LABEL, SECOND, Batch, Scores

CONFIG = """\
version: 1
name: hosts
schema:
  time: time
  entity: host
  fields:
    time: {{dtype: time}}
    host: {{dtype: category}}
    load: {{dtype: float, unit: ratio, optional: true}}
    temperature: {{dtype: float, unit: celsius}}
features: {features}
detector: {detector}
alerts: {{budget: {budget}}}
"""
PLAIN = "{columns: [load, temperature]}"
WINDOWS = """\
  columns: [load, temperature]
  derive:
    - {type: rolling, columns: [load], windows: [10m], statistics: [mean, max], min_count: 3}
    - {type: rate, columns: [temperature], max_gap: 1h}
"""
FOREST = "{type: isolation_forest, trees: 20, samples: 64}"
ROBUST = "{type: robust_zscore}"


def design(features: str = PLAIN, detector: str = ROBUST, budget: str = "1%") -> Design:
    if "\n" in features:
        features = "\n" + features
    return Design.of(parse(CONFIG.format(features=features, detector=detector, budget=budget)))


@pytest.fixture
def make_rows(rng: np.random.Generator) -> Callable[..., Batch]:
    """Typed rows of three hosts, one a minute."""

    def make(rows: int = 600, begin: int = 1_000_000, anomalous: range = range(0)) -> Batch:
        load, temperature = rng.normal(0.5, 0.05, rows), rng.normal(60.0, 2.0, rows)
        labels = np.zeros(rows, dtype=np.int8)
        places = list(anomalous)
        labels[places], load[places], temperature[places] = 1, 9.0, 200.0
        return Batch(
            {
                "time": (begin + 60 * np.arange(rows)) * SECOND,
                "host": np.array([f"host-{row % 3}" for row in range(rows)], dtype=object),
                "load": load,
                "temperature": temperature,
                LABEL: labels,
            }
        )

    return make


@pytest.fixture
def three(make_rows: Callable[..., Batch]) -> tuple[Batch, Batch, Batch]:
    """Training, calibration and test rows; the test rows hold five anomalies."""
    return make_rows(), make_rows(300, 1_036_000), make_rows(300, 1_054_000, anomalous=range(250, 255))


Three = tuple[Batch, Batch, Batch]


def without_labels(batch: Batch) -> Batch:
    return Batch({name: column for name, column in batch.items() if name != LABEL})


SCORES = ("score", "p_value", "flagged", "state")


def same(one: Scores, other: Scores) -> None:
    for name in SCORES:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("detector", [ROBUST, FOREST])
@pytest.mark.parametrize("features", [PLAIN, WINDOWS], ids=["plain", "windows"])
def test_anomalies_score_highest_and_a_loaded_model_gives_the_same_scores(
    features: str, detector: str, three: Three, tmp_path: Path
) -> None:
    train, calibration, test = three
    model = AnomalyModel(design(features, detector)).fit(train, calibration)
    scores = model.score(test)
    assert scores.score[250:255].min() > np.quantile(scores.score[:250], 0.99)
    assert scores.flagged[250:255].all()
    assert ((scores.p_value > 0) & (scores.p_value <= 1)).all()

    model.save(tmp_path / "model")
    loaded = AnomalyModel.load(tmp_path / "model")
    same(loaded.score(test), scores)
    assert loaded.digest == model.digest
    rung = model.features(test, model.start()).values[250:255]
    assert loaded.reasons(rung) == model.reasons(rung)


def test_the_same_rows_make_the_same_model_and_the_inputs_are_part_of_it(three: Three) -> None:
    train, calibration, _ = three
    digests = [
        AnomalyModel(design(detector=FOREST), inputs).fit(train, calibration).digest
        for inputs in ({"aa" * 32}, {"aa" * 32}, {"bb" * 32})
    ]
    assert digests[0] == digests[1] != digests[2]


def test_no_column_is_gone_where_rows_of_two_kinds_have_different_ones(make_rows: Callable[..., Batch]) -> None:
    def mixed(rows: Batch) -> Batch:
        """Every second row has neither load nor its rate: most of it is missing by its kind."""
        return rows.replace({"load": np.where(np.arange(rows.rows) % 2, rows["load"], np.nan)})

    only = "{columns: [load], derive: [{type: product, left: load, right: temperature, name: both}]}"
    train, calibration, test = (mixed(make_rows(rows)) for rows in (600, 300, 2 * ENOUGH_ROWS))
    model = AnomalyModel(design(only)).fit(train, calibration)
    before = log.counters().get("tocsin_lost_columns_total", 0)
    assert (model.score(test).state == "ready").sum() == ENOUGH_ROWS
    assert log.counters().get("tocsin_lost_columns_total", 0) == before


def test_rows_are_degraded_where_a_column_that_training_had_is_gone(
    three: Three, make_rows: Callable[..., Batch]
) -> None:
    train, calibration, _ = three
    test = make_rows(ENOUGH_ROWS, 1_054_000)
    model = AnomalyModel(design()).fit(train, calibration)
    lost = test.replace({"load": np.full(test.rows, np.nan)})
    before = log.counters().get("tocsin_lost_columns_total", 0)
    assert set(model.score(test).state) == {"ready"}
    assert set(model.score(lost.take(np.arange(ENOUGH_ROWS - 1))).state) == {"ready"}, "too few to say so"
    assert log.counters().get("tocsin_lost_columns_total", 0) == before
    assert set(model.score(lost).state) == {"degraded"}
    assert log.counters()["tocsin_lost_columns_total"] == before + 1


@pytest.mark.parametrize(
    ("mark", "state", "rings"),
    [
        (0, "ready", True),
        (LATE, "ready", True),
        (STEPPED_BACK, "ready", True),
        (COLD, "degraded", True),
        (NOT_ADMITTED, "degraded", True),
        (TOO_LATE, "degraded", True),
        (WARMING_UP, "warming_up", False),
        (NOT_ADMITTED | WARMING_UP, "degraded", False),
    ],
)
def test_what_the_kernel_knows_of_a_row_is_its_state(mark: int, state: str, rings: bool, three: Three) -> None:
    model = AnomalyModel(design()).fit(three[0], three[1])
    far = FeatureMatrix(np.array([[9.0, 200.0]]), np.array([mark], dtype=np.uint8))
    scores = model.judge(far)
    assert (scores.state[0], bool(scores.flagged[0])) == (state, rings)


def test_a_repeat_teaches_nothing_and_never_rings(three: Three) -> None:
    train, calibration, test = three
    keyed = replace(design(WINDOWS), schema=design(WINDOWS).schema.model_copy(update={"key": ("host", "time")}))
    twice = np.repeat(np.arange(train.rows), 2)
    model = AnomalyModel(keyed).fit(train.take(twice), calibration)
    once = AnomalyModel(keyed).fit(train, calibration)
    assert model.digest == once.digest
    scores = model.score(test.take(np.repeat(np.arange(test.rows), 2)))
    same(Scores(*(getattr(scores, name)[::2] for name in SCORES)), once.score(test))
    assert scores.flagged[::2].any()
    assert not scores.flagged[1::2].any()


def test_rows_that_are_warming_up_are_scored_and_never_flagged(three: Three) -> None:
    train, calibration, _ = three
    model = AnomalyModel(design(WINDOWS)).fit(train, calibration)
    hot = train.take(slice(0, 30)).replace({"load": np.full(30, 99.0), "temperature": np.full(30, 999.0)})
    scores = model.score(hot)
    warming = scores.state == "warming_up"
    assert 0 < warming.sum() < 30
    assert not scores.flagged[warming].any()
    assert scores.flagged[~warming].all()
    assert (scores.score[warming] > model.score(train).score.max()).any()


def test_a_row_that_is_mostly_missing_is_degraded_and_still_judged(three: Three) -> None:
    train, calibration, test = three
    model = AnomalyModel(design("{columns: [load]}")).fit(train, calibration)
    holes = test.replace({"load": np.where(np.arange(300) % 2 == 0, np.nan, 9.0)})
    scores = model.score(holes)
    assert set(scores.state[::2]) == {"degraded"}
    assert set(scores.state[1::2]) == {"ready"}
    assert not scores.flagged[::2].any()
    assert scores.flagged[1::2].all()


@pytest.mark.parametrize("detector", [ROBUST, FOREST])
def test_known_anomalies_teach_nothing(detector: str, make_rows: Callable[..., Batch]) -> None:
    train = make_rows(anomalous=range(100, 160))
    calibration = make_rows(300, 1_036_000, anomalous=range(40, 60))
    with_them = AnomalyModel(design(detector=detector)).fit(train, calibration)
    clean = [rows.take(rows[LABEL] == 0) for rows in (train, calibration)]
    without_them = AnomalyModel(design(detector=detector)).fit(clean[0], clean[1])
    assert with_them.digest == without_them.digest


def test_known_anomalies_still_pass_through_the_windows(make_rows: Callable[..., Batch]) -> None:
    train, calibration = make_rows(anomalous=range(100, 160)), make_rows(300, 1_036_000)
    model = AnomalyModel(design(WINDOWS)).fit(train, calibration)
    seen = model.features(train, model.start()).values[160:163, model.program.outputs.index("load_max_10m")]
    assert (seen == 9.0).all()


def test_rows_without_labels_are_all_learnt_from(make_rows: Callable[..., Batch]) -> None:
    train, calibration = make_rows(), make_rows(300, 1_036_000)
    labelled = AnomalyModel(design()).fit(train, calibration)
    unlabelled = AnomalyModel(design()).fit(without_labels(train), without_labels(calibration))
    assert labelled.digest == unlabelled.digest


@pytest.mark.parametrize("cut", [1, 7, 299])
def test_features_do_not_depend_on_how_rows_are_cut_into_batches(cut: int, three: Three) -> None:
    train, calibration, test = three
    model = AnomalyModel(design(WINDOWS)).fit(train, calibration)
    whole, state = model.features(test, model.start()), model.start()
    pieces = [model.features(test.take(slice(start, start + cut)), state) for start in range(0, test.rows, cut)]
    np.testing.assert_array_equal(np.concatenate([piece.values for piece in pieces]), whole.values)
    np.testing.assert_array_equal(np.concatenate([piece.warm for piece in pieces]), whole.warm)


def test_reasons_come_strongest_first_with_what_is_usual(three: Three) -> None:
    train, calibration, _ = three
    model = AnomalyModel(design(WINDOWS)).fit(train, calibration)
    odd = np.array([[0.5, 90.0, 0.5, 0.6, np.nan], [30.0, 60.0, 0.5, 0.6, 0.0]])
    hot, busy = model.reasons(odd)
    for reasons in (hot, busy):
        assert len(reasons) == 3
        shares = [reason.contribution for reason in reasons]
        assert shares == sorted(shares, reverse=True)
    assert (hot[0].feature, hot[0].value, hot[0].unit) == ("temperature", 90.0, "celsius")
    assert (busy[0].feature, busy[0].value, busy[0].unit) == ("load", 30.0, "ratio")
    low, high = np.quantile(train["temperature"], (0.01, 0.99))
    assert (hot[0].usual_low, hot[0].usual_high) == pytest.approx((low, high))
    assert model.reasons(odd[:0]) == []


def test_too_few_rows_are_refused(make_rows: Callable[..., Batch]) -> None:
    enough = AnomalyModel(design()).fit(make_rows(LEAST_ROWS), make_rows(300))
    assert enough.score(make_rows(3)).score.shape == (3,)
    with pytest.raises(DataError, match="99 usable rows, wanted at least 100"):
        AnomalyModel(design()).fit(make_rows(LEAST_ROWS - 1), make_rows(300))
    with pytest.raises(DataError, match="80 usable rows"):
        AnomalyModel(design()).fit(make_rows(100, anomalous=range(20)), make_rows(300))
    with pytest.raises(DataError):
        AnomalyModel(design()).fit(make_rows(), make_rows(20))


def test_a_model_that_has_not_learnt_says_so(make_rows: Callable[..., Batch]) -> None:
    model = AnomalyModel(design())
    with pytest.raises(NotFittedError, match="call fit or load first"):
        model.score(make_rows(3))
    with pytest.raises(NotFittedError):
        _ = model.digest


def test_rows_of_another_shape_are_refused_by_column(three: Three) -> None:
    train, calibration, test = three
    model = AnomalyModel(design()).fit(train, calibration)
    with pytest.raises(SchemaError, match='no column "load"'):
        model.score(Batch({"temperature": test["temperature"]}))


def test_each_stage_may_end_the_training(three: Three) -> None:
    stages: list[str] = []
    AnomalyModel(design()).fit(three[0], three[1], checkpoint=stages.append)
    assert stages == ["features", "detector", "threshold"]

    def stop(stage: str) -> None:
        if stage == "detector":
            raise LimitExceeded("$.limits", "enough")

    with pytest.raises(LimitExceeded):
        AnomalyModel(design()).fit(three[0], three[1], checkpoint=stop)


@pytest.fixture
def bundle(three: Three) -> Bundle:
    return AnomalyModel(design(WINDOWS, FOREST), {"aa" * 32}).fit(three[0], three[1]).bundle({"train_seconds": 1.5})


def changed(bundle: Bundle, arrays: Mapping[str, Any] | None = None, **content: Any) -> Bundle:
    return Bundle({**bundle.content, **content}, {**bundle.arrays, **(arrays or {})}, bundle.notes)


def test_golden_rows_that_score_otherwise_refuse_the_model(bundle: Bundle) -> None:
    assert bundle.arrays["golden.features"].shape[0] == GOLDEN_ROWS
    with pytest.raises(IntegrityError, match="other scores for its golden rows"):
        AnomalyModel.from_bundle(changed(bundle, {"golden.scores": bundle.arrays["golden.scores"] + 1e-6}))
    nearly = changed(bundle, {"golden.scores": bundle.arrays["golden.scores"] + 1e-12})
    assert AnomalyModel.from_bundle(nearly).program.outputs == tuple(bundle.content["program"]["outputs"])


@pytest.mark.parametrize("kind", [None, "", "tocsin.detector", 7])
def test_an_unknown_kind_is_refused(kind: object, bundle: Bundle) -> None:
    with pytest.raises(IntegrityError, match=r"\$\.content\.kind"):
        AnomalyModel.from_bundle(changed(bundle, kind=kind))


@pytest.mark.parametrize("room", ["detector", "threshold", "features"])
def test_a_model_alone_never_makes_anything_be_imported(
    room: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def imported(*_: object, **__: object) -> None:
        raise AssertionError("looked for another package")

    monkeypatch.setattr("tocsin.component.entry_points", imported)
    foreign: Any = {"type": "evil/part", "of": []}
    hostile = changed(bundle, **{room: {"columns": [], "derive": [{"of": foreign}]} if room == "features" else foreign})
    with pytest.raises(IntegrityError, match="parts of other packages: evil/part") as refused:
        AnomalyModel.from_bundle(hostile, outside={"good/part"})
    assert "name it in the config" in refused.value.problem.hint


HOSTILE: dict[str, dict[str, Any]] = {
    "no detector": {"detector": None},
    "an unknown detector": {"detector": {"type": "os"}},
    "a path for a detector": {"detector": {"type": "../cli"}},
    "an unknown parameter": {"detector": {"type": "isolation_forest", "run": "this"}},
    "a schema that is a list": {"schema": []},
    "a program without operations": {"program": {}},
    "a program of unknown steps": {
        "program": {
            "operations": [{"kind": "system", "inputs": [], "outputs": ["a"], "constants": {}}],
            "outputs": ["a"],
            "time": None,
            "entity": None,
        }
    },
    "entities without end": {"entities": "many"},
    "a budget of another form": {"budget": {"per_minute": 3}},
    "a threshold without a level": {"threshold_state": {"promise": {}}},
    "features nobody has": {"features": {"columns": ["load"], "shell": "true"}},
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_manifest_is_refused_whatever_it_holds(content: dict[str, Any], bundle: Bundle) -> None:
    with pytest.raises(IntegrityError):
        AnomalyModel.from_bundle(changed(bundle, **content))


@pytest.mark.parametrize(
    "name", ["golden.features", "preparation.scale", "training.usual", "training.typical", "golden.scores"]
)
def test_an_array_of_another_shape_is_refused(name: str, bundle: Bundle) -> None:
    narrow = bundle.arrays[name][..., :-1]
    with pytest.raises(IntegrityError):
        AnomalyModel.from_bundle(changed(bundle, {name: narrow}))


@pytest.mark.parametrize("name", ["golden.features", "preparation.scale", "detector.feature", "training.usual"])
def test_an_array_that_is_missing_is_refused(name: str, bundle: Bundle) -> None:
    arrays = {key: array for key, array in bundle.arrays.items() if key != name}
    assert len(arrays) == len(bundle.arrays) - 1
    with pytest.raises(IntegrityError):
        AnomalyModel.from_bundle(Bundle(bundle.content, arrays, {}))
