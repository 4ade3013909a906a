"""Tocsin installs with and without a compiler, and the package holds the kernel's sources either way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KERNEL = ROOT / "src" / "tocsin" / "kernel"


def build(folder: Path, compiler: str) -> subprocess.CompletedProcess[str]:
    arguments = ["build_ext", "--force", "--build-lib", str(folder / "lib"), "--build-temp", str(folder / "temp")]
    return subprocess.run(
        [sys.executable, "setup.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "CC": compiler},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_compiler_the_installation_goes_on_and_nothing_is_half_compiled(tmp_path: Path) -> None:
    built = build(tmp_path, compiler="no-such-compiler")
    assert built.returncode == 0, built.stderr
    assert "will run interpreted" in built.stdout + built.stderr
    assert not list(tmp_path.rglob("*.so"))


def test_every_typed_module_is_a_module() -> None:
    assert {path.stem for path in KERNEL.glob("*.pxd")} <= {path.stem for path in KERNEL.glob("*.py")}


def test_the_interpreted_kernel_is_chosen_by_the_environment() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import tocsin.kernel.state as state; print(state.__file__)"],
        env={**os.environ, "TOCSIN_KERNEL": "interpreted"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip().endswith("state.py")
