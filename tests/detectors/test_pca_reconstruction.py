"""The plane in which rows move, and what leaves it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.detectors.base_components import components
from tocsin.detectors.pca_reconstruction import PcaReconstruction
from tocsin.errors import IntegrityError, SchemaError
from tocsin.records import Matrix

_BITS = """
import hashlib
import numpy as np
from tocsin.detectors.pca_reconstruction import PcaReconstruction
rows = np.random.default_rng(0).normal(size=(1_000, 200)) @ np.random.default_rng(1).normal(size=(200, 200))
state = PcaReconstruction().fit(rows).state()
print(hashlib.sha256(b"".join(array.tobytes() for array in state.values())).hexdigest())
"""


def moving_together(rng: np.random.Generator, rows: int = 2_000) -> Matrix:
    load = rng.normal(size=(rows, 1))
    return np.hstack([load, 3.0 * load, -load]) + 0.1 * rng.normal(size=(rows, 3))


def test_usual_values_in_an_unusual_combination_stand_out(rng: np.random.Generator) -> None:
    detector = PcaReconstruction().fit(moving_together(rng))
    odd, usual = np.array([[1.0, -3.0, -1.0]]), np.array([[1.0, 3.0, -1.0]])
    assert detector.score(odd)[0] > 10 * detector.score(usual)[0]
    assert detector.explain(odd)[0].argmax() == 1


def test_columns_that_do_not_move_together_are_all_watched(rng: np.random.Generator) -> None:
    """Half of the variance lies in half of the columns; they are no less watched than the others."""
    detector = PcaReconstruction().fit(rng.normal(size=(3_000, 6)))
    spikes = detector.score(8.0 * np.eye(6))
    assert spikes.min() > 0.7 * spikes.max()


def test_an_anomaly_that_lasts_outweighs_one_row(rng: np.random.Generator) -> None:
    rows = moving_together(rng)
    once = np.repeat(rows[:1, None], 5, axis=1)
    once[0, -1, 1] += 6.0
    always = np.repeat(rows[:1, None], 5, axis=1)
    always[0, :, 1] += 4.0
    detector = PcaReconstruction(steps=5).fit(np.repeat(rows[:, None], 5, axis=1))
    assert detector.score(always)[0] > 2 * detector.score(once)[0]


def test_the_score_of_a_sequence_is_the_mean_over_its_rows(rng: np.random.Generator) -> None:
    rows = moving_together(rng)
    sequences = np.stack([rows[:-2], rows[1:-1], rows[2:]], axis=1)
    single = PcaReconstruction().fit(rows[2:]).score(rows)
    several = PcaReconstruction(steps=3).fit(sequences).score(sequences)
    np.testing.assert_allclose(several, (single[:-2] + single[1:-1] + single[2:]) / 3)


def test_more_columns_than_rows_are_no_trouble(rng: np.random.Generator) -> None:
    load = rng.normal(size=(300, 1))
    rows = load * rng.normal(size=1_500) + 0.3 * rng.normal(size=(300, 1_500))
    detector = PcaReconstruction().fit(rows[:200])
    broken = rows[200:201].copy()
    broken[:, :100] *= -1
    shares = detector.explain(broken)[0]
    assert shares[:100].mean() > 2 * shares[100:].mean()
    assert detector.score(broken)[0] > detector.score(rows[200:201])[0]


@given(st.integers(2, 8), st.floats(0.1, 0.95), st.integers(0, 2**32 - 1))
def test_the_directions_are_those_of_the_eigenvectors(columns: int, explained: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(60, columns)) * 2.0 ** np.arange(columns)
    z -= z.mean(axis=0)
    found, variances, rest = components(z, explained)
    wanted = np.linalg.eigvalsh(z.T @ z / len(z))[::-1]
    np.testing.assert_allclose(variances, wanted[: len(found)], rtol=1e-3)
    np.testing.assert_allclose(found @ found.T, np.eye(len(found)), atol=1e-9)
    np.testing.assert_allclose(rest, (wanted.sum() - variances.sum()) / (columns - len(found)), rtol=1e-6, atol=1e-12)


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    bits = {
        subprocess.run(
            [sys.executable, "-c", _BITS],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(bits) == 1


@pytest.mark.parametrize("explained", [0.0, 1.0, np.nan, -0.5])
def test_a_share_of_nothing_or_of_all_is_refused(explained: float) -> None:
    with pytest.raises(ValueError, match="above 0 and below 1"):
        PcaReconstruction(explained=explained)


@pytest.mark.parametrize(("steps", "clip"), [(0, 10.0), (2_000, 10.0), (1, 0.0), (1, np.inf)])
def test_steps_and_clip_out_of_range_are_refused(steps: int, clip: float) -> None:
    with pytest.raises(ValueError, match="wanted"):
        PcaReconstruction(steps=steps, clip=clip)


def test_rows_are_refused_where_sequences_are_scored(rng: np.random.Generator) -> None:
    with pytest.raises(SchemaError, match=r"\(rows, 3, columns\)"):
        PcaReconstruction(steps=3).fit(rng.normal(size=(50, 2)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", np.zeros(3)),
        ("directions", np.full((1, 3), np.nan)),
        ("directions", np.zeros((2, 3))),
        ("explained", np.zeros(3)),
        ("explained", np.zeros((1, 1))),
        ("center", np.zeros(4)),
    ],
)
def test_a_state_that_could_mislead_is_refused(name: str, value: Matrix, rng: np.random.Generator) -> None:
    state = PcaReconstruction().fit(moving_together(rng, 50)).state()
    with pytest.raises(IntegrityError, match=r"pca_reconstruction\."):
        PcaReconstruction.restore({}, {**state, name: value}, 3)
