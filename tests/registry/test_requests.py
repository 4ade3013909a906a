"""What a registry asks of a bucket does not grow with the versions that there ever were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.registry.worlds import add, machine
from tests.storage.servers import GcsServer, S3Server

from tocsin.checks.registry import NAME, PASSED, example_report
from tocsin.registry import Registry
from tocsin.registry.retention import GRACE
from tocsin.storage import open_store
from tocsin.storage.meter import Meter, Request

FEW, KEEP = 5, 3


def read(registry: Registry, rows: Path) -> None:
    registry.load(NAME)
    registry.index(rows).listing(NAME)
    registry.standings(NAME)
    registry.before(NAME)


def costs(place: str, folder: Path, versions: int, pause: timedelta) -> list[dict[str, Counter[Request]]]:
    """What is asked for each of so many versions, by what is done with it."""
    meter = Meter()
    registry = machine(open_store(place, Path, meter), folder, clock=lambda: datetime.now(UTC) + pause, keep=KEEP)
    steps: dict[str, Callable[[int], object]] = {
        "add": lambda version: add(registry, version),
        "judge": lambda version: registry.add_judgement(NAME, version, PASSED, example_report(version)),
        "promote": lambda version: registry.promote(NAME, version),
        "read": lambda _: read(registry, folder / "index.db"),
        "go back": lambda version: version == 1 or registry.roll_back(NAME),
        "go on": lambda version: registry.promote(NAME, version),
    }
    found = []
    for version in range(1, versions + 1):
        asked = {}
        for what, step in steps.items():
            meter.requests.clear()
            step(version)
            asked[what] = meter.requests.copy()
        found.append(asked)
    return found


@pytest.mark.soak
def test_a_version_costs_what_the_first_ones_did_on_s3(
    s3: S3Server, tmp_path: Path, rounds: Callable[[int, int], int], tell: Callable[[str], None]
) -> None:
    """Whenever one comes, what the one before it gave up is collected."""
    found = costs(s3.bucket(), tmp_path, rounds(9, 40), pause=2 * GRACE)
    tell(str(found[-1]))
    assert found[-1] == found[FEW - 1]


@pytest.mark.soak
def test_a_version_costs_what_the_first_ones_did_on_gcs(
    gcs: GcsServer, tmp_path: Path, rounds: Callable[[int, int], int], tell: Callable[[str], None]
) -> None:
    """All come within the grace, and nothing is old enough to be collected."""
    found = costs(gcs.bucket(), tmp_path, rounds(9, 40), pause=timedelta())
    tell(str(found[-1]))
    assert found[-1] == found[FEW - 1]
