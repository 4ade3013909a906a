"""A place for a site, where a model that was replayed in one test need not be in the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.system.live import Site


@pytest.fixture(scope="session")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replayed")


@pytest.fixture
def place(tmp_path: Path, replayed: Path) -> Path:
    (tmp_path / ".tocsin").mkdir()
    (tmp_path / ".tocsin" / "replayed").symlink_to(replayed)
    return tmp_path


@pytest.fixture
def site(place: Path) -> Site:
    """One whose first version serves."""
    site = Site(place)
    site.publish(site.fit(1))
    return site
