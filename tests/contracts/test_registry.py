from __future__ import annotations

from pathlib import Path

import pytest
from tests.storage.servers import CloudServer

from tocsin.checks.registry import CHECKS, Check, StoreFactory
from tocsin.storage import LocalStore, Store, open_store


@pytest.fixture(params=["local", "s3", "gcs"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> StoreFactory:
    """Opens stores on folders: of this machine, or of a bucket that stands for `tmp_path`."""
    if request.param == "local":
        return LocalStore
    cloud: CloudServer = request.getfixturevalue(request.param)
    url = cloud.bucket()

    def opened(folder: Path) -> Store:
        return open_store(f"{url}/{folder.relative_to(tmp_path).as_posix()}".removesuffix("/."))

    return opened


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(make: StoreFactory, check: Check, tmp_path: Path) -> None:
    check(make, tmp_path)
