"""Fixtures shared by all tests: a seeded generator, the real data, what a skip means, and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import structlog
from tests.storage.servers import CloudServer, GcsServer, S3Server, gcs_server, s3_server

from tocsin.cli import main

REQUIRE_ALL = os.environ.get("TOCSIN_REQUIRE_ALL") == "1"


def need(condition: bool, reason: str) -> None:
    """Skip with a reason, or fail where everything must be there."""
    if condition:
        return
    if REQUIRE_ALL:
        pytest.fail(f"TOCSIN_REQUIRE_ALL is set and {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session", name="need")
def _need() -> Callable[[bool, str], None]:
    """The function `need`, for tests that cannot import this file."""
    return need


@pytest.fixture(scope="session")
def rounds() -> Callable[[int, int], int]:
    """How often a test does the same thing: the short number, or the long one of `make soak`."""
    return lambda short, long: long if os.environ.get("TOCSIN_SOAK") == "1" else short


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed that can be set by TOCSIN_SEED and is shown when the test fails."""
    value = int(os.environ.get("TOCSIN_SEED", "20261120"))
    request.node.add_report_section("setup", "seed", f"TOCSIN_SEED={value}")
    return value


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real labelled data."""
    folder = os.environ.get("TOCSIN_DATA")
    need(bool(folder), "TOCSIN_DATA does not name the folder of real data")
    assert folder is not None
    return Path(folder)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session", name="s3_server")
def _s3_server() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session", name="gcs_server")
def _gcs_server() -> Iterator[GcsServer]:
    with gcs_server() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Amazon S3 on this machine, where the environment points."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def gcs(gcs_server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> GcsServer:
    """Google Cloud Storage on this machine, where the environment points."""
    for name, value in gcs_server.environment.items():
        monkeypatch.setenv(name, value)
    return gcs_server


@pytest.fixture(params=["s3", "gcs"])
def cloud(request: pytest.FixtureRequest) -> CloudServer:
    """Each of the two in turn."""
    server: CloudServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB in a folder of its own, where this machine lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    need(mounted, "no right to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def tocsin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., CompletedProcess[str]]]:
    """The command line in this process; whatever it does not expect fails the test with its traceback."""

    def call(*words: str | Path) -> CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["tocsin", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return CompletedProcess(sys.argv, code, printed.out, printed.err)

    yield call
    structlog.reset_defaults()
