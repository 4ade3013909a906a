from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tocsin.errors import IntegrityError
from tocsin.model.profile import BINS, GRID, Profile
from tocsin.records import DAY, Batch, Vector
from tocsin.schema import Field, Schema

SCHEMA = Schema(
    fields={
        "at": Field(dtype="time"),
        "host": Field(dtype="category"),
        "load": Field(),
        "sent": Field(kind="counter"),
    },
    time="at",
    entity="host",
)
ROWS = 4_000
MONDAY = 1_767_571_200_000_000  # 2026-01-05


def rows(rng: np.random.Generator, load: Vector | None = None, hosts: int = 8) -> Batch:
    return Batch(
        {
            "at": MONDAY + np.arange(ROWS) * 7 * DAY // ROWS,
            "host": np.array([f"host-{row % hosts}" for row in range(ROWS)], dtype=object),
            "load": rng.normal(50, 5, ROWS) if load is None else load,
            "sent": np.arange(ROWS) // hosts * 10.0,
        }
    )


def test_an_unchanged_field_stays_within_what_chance_does(rng: np.random.Generator) -> None:
    was, now = (Profile.of(rows(rng), SCHEMA, (3, 400)) for _ in range(2))
    assert was.shift(now, 0, 0) < was.chance(now, 0, 0) < 0.1


def test_a_wrong_unit_is_far_beyond_chance(rng: np.random.Generator) -> None:
    was, now = (
        Profile.of(rows(rng), SCHEMA, (3, 400)),
        Profile.of(rows(rng, rng.normal(50, 5, ROWS) / 1_000), SCHEMA, (3, 400)),
    )
    assert was.shift(now, 0, 0) > 4 > was.chance(now, 0, 0)


def test_levels_of_a_few_hosts_say_as_little_as_a_few_values(rng: np.random.Generator) -> None:
    levels = np.repeat(rng.normal(50, 20, 8)[None], ROWS // 8, axis=0).ravel() + rng.normal(0, 0.1, ROWS)
    told = Profile.of(rows(rng, levels), SCHEMA, (3, 400))
    assert told.independent[0] == pytest.approx(8, rel=0.05)


def test_a_counter_is_told_by_what_it_grows_by(rng: np.random.Generator) -> None:
    told = Profile.of(rows(rng), SCHEMA, (3, 400))
    assert set(told.quantiles[:, 1]) == {10.0}
    assert told.missing[1] == pytest.approx(8 / ROWS)  # nothing is known of a host's first row


def test_a_field_that_is_gone_has_no_quantiles_and_no_shift(rng: np.random.Generator) -> None:
    was, gone = Profile.of(rows(rng), SCHEMA, (3, 400)), Profile.of(rows(rng, np.full(ROWS, np.nan)), SCHEMA, (3, 400))
    assert np.isnan(gone.quantiles[:, 0]).all()
    assert gone.missing[0] == 1.0
    assert was.shift(gone, 0, 0) == 0.0


def test_a_field_keeps_its_place_however_a_config_orders_them(rng: np.random.Generator) -> None:
    turned = Schema(fields=dict([*SCHEMA.fields.items()][::-1]), time="at", entity="host")
    told = [Profile.of(rows(rng, np.full(ROWS, np.nan)), schema, (3, 400)) for schema in (SCHEMA, turned)]
    assert [int(profile.missing.argmax()) for profile in told] == [0, 0]


def test_every_day_of_the_week_is_counted(rng: np.random.Generator) -> None:
    counts = Profile.of(rows(rng), SCHEMA, (3, 400)).weekdays
    assert counts.sum() == ROWS
    assert counts.min() >= ROWS // 7 - 1


def test_it_is_the_same_after_it_was_kept(rng: np.random.Generator) -> None:
    told = Profile.of(rows(rng), SCHEMA, (3, 400))
    kept = Profile.restore(told.state(), 2)
    assert all(np.array_equal(getattr(kept, name), getattr(told, name), equal_nan=True) for name in told.__slots__)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("quantiles", np.full((GRID, 2), np.inf)),
        ("quantiles", np.zeros((BINS, 2))),
        ("missing", np.array([np.nan, 0.0])),
        ("independent", np.array([-1.0, 1.0])),
        ("weekdays", np.zeros(7)),
        ("rang", np.array([1, -1])),
    ],
)
def test_what_cannot_be_a_profile_is_refused(rng: np.random.Generator, name: str, array: Any) -> None:
    told = Profile.of(rows(rng), SCHEMA, (3, 400))
    with pytest.raises(IntegrityError, match=rf"profile\.{name}"):
        Profile.restore(replace(told, **{name: array}).state(), 2)
    with pytest.raises(IntegrityError, match="profile"):
        Profile.restore({}, 2)
