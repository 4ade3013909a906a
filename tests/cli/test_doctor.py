from __future__ import annotations

import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from tocsin.cli import doctor
from tocsin.cli.doctor import Finding, examine, packages
from tocsin.kernel import build, golden


def of(what: str, config: Path) -> Finding:
    (found,) = (finding for finding in examine(config) if finding.what == what)
    return found


@pytest.mark.parametrize(
    ("requirement", "finding"),
    [
        ("numpy>=2.2", ("packages", "ok")),
        ("numpy<3,>=2.2", ("packages", "ok")),
        ("numpy>=99.1", ("packages", "broken")),
        ("no-such-package", ("packages", "broken")),
        ('numpy>=99; extra == "data"', ("extra data", "advice")),
        ("no-such-package<3,>=1.40; extra == 'train'", ("extra train", "advice")),
    ],
)
def test_what_is_needed_is_broken_without_and_an_extra_is_advice(requirement: str, finding: tuple[str, str]) -> None:
    (found,) = packages([requirement, "tocsin[all]; extra == 'dev'", "no-such-package; extra == 'dev'"])
    assert (found.what, found.verdict) == finding
    if found.verdict != "ok":
        assert found.hint.startswith("pip install --upgrade 'tocsin")


def test_a_package_that_is_too_old_is_told_with_both_versions() -> None:
    (found,) = packages(["numpy>=99.1"])
    assert found.found.endswith(", wanted 99.1 or newer")
    assert found.found.startswith("numpy 2.")


def test_a_kernel_without_a_compiler_says_what_that_costs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "compiled", lambda: False)
    monkeypatch.delenv(build.SETTING, raising=False)
    found = of("kernel", tmp_path / "tocsin.yaml")
    assert found.verdict == "advice"
    assert found.found.startswith("no compiler was there at installation: the kernel runs interpreted, about")
    assert found.hint == "install a C compiler and reinstall"


def test_other_bits_than_elsewhere_are_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert of("arithmetic", tmp_path / "tocsin.yaml").verdict == "ok"
    monkeypatch.setattr(golden, "GOLDEN", "other")
    assert of("arithmetic", tmp_path / "tocsin.yaml").verdict == "broken"


def test_a_machine_without_time_zones_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "A_ZONE", "Nowhere/Town")
    assert of("time zones", tmp_path / "tocsin.yaml").verdict == "broken"


def test_a_disk_that_is_nearly_full_is_worth_a_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**12, 10**12, 4 * 10**8))
    found = of("disk", tmp_path / "tocsin.yaml")
    assert (found.verdict, found.found) == ("advice", "0.4 GB free")


def test_a_read_only_folder_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert of("folder", tmp_path / "tocsin.yaml").found.endswith("cannot be written (Read-only file system)")
