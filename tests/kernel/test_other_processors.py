"""Another processor gives the same bits: shown on an emulated one, and read off the compiled instructions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

import tocsin.kernel

PROJECT = Path(__file__).parents[2]
HERE = Path(tocsin.kernel.__file__).parent
THERE = PROJECT / "build/aarch64/lib/tocsin/kernel"
UNAVAILABLE = 69
"""How scripts/aarch64 ends where a program or a package is missing."""

GOLDEN = """
import platform
from tocsin import log
from tocsin.kernel.golden import golden

log.configure()  # log lines go elsewhere
print(platform.machine(), golden())
"""
FUSED = re.compile(r"\t(v?fn?m(?:add|sub|la|ls|ad|sb)\w*)|<(fmaf?)@plt>")
"""A product and a sum with one rounding instead of two, as x86-64 and aarch64 spell it."""
ROUNDS_AS_IT_LIKES = re.compile(
    r"\*UND\*.* ((?:a?(?:sin|cos|tan)h?|atan2|exp2?|exp10|expm1|log(?:2|10|1p)?|pow|cbrt|hypot|erfc?|[tl]gamma)f?)$",
    re.M,
)
"""Functions of the C library whose last bit is not the same in each of its versions."""

Emulated = Callable[[str], str]
Objects = tuple[str, list[Path]]


@pytest.fixture
def emulated(need: Callable[[bool, str], None]) -> Emulated:
    """What a Python script prints on an emulated aarch64 processor, with the kernel compiled."""

    def run(script: str) -> str:
        setting = {name: value for name, value in os.environ.items() if name != "TOCSIN_KERNEL"}
        done = subprocess.run(
            [PROJECT / "scripts/aarch64", "-c", script],
            check=False,
            env=setting | {"BUILD_PYTHON": sys.executable},
            capture_output=True,
            text=True,
        )
        need(done.returncode != UNAVAILABLE, done.stderr.strip())
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(params=["here", "aarch64"])
def objects(request: pytest.FixtureRequest, emulated: Emulated, need: Callable[[bool, str], None]) -> Objects:
    """A program that reads the compiled modules of a processor, and the modules."""
    if request.param == "here":
        need(shutil.which("objdump") is not None, "there is no objdump")
        compiled = sorted(HERE.glob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"))
        need(bool(compiled), "the kernel is not compiled on this machine")
        return "objdump", compiled
    emulated("")
    return "aarch64-linux-gnu-objdump", sorted(THERE.glob("*.so"))


def read(objects: Objects, option: str) -> str:
    program, files = objects
    done = subprocess.run([program, option, "--no-show-raw-insn", *files], capture_output=True, text=True, check=True)
    return done.stdout


def test_an_emulated_aarch64_processor_gives_the_bits_of_this_one(emulated: Emulated) -> None:
    here = subprocess.run([sys.executable, "-c", GOLDEN], capture_output=True, text=True, check=True).stdout
    machine, golden = emulated(GOLDEN).split()
    assert machine == "aarch64"
    assert golden == here.split()[1]


def test_what_has_types_is_compiled_for_aarch64_too(emulated: Emulated) -> None:
    emulated("")
    typed = {source.stem for source in HERE.glob("*.pxd") if source.with_suffix(".py").exists()}
    typed |= {source.stem for source in HERE.glob("*.pyx")}
    assert typed <= {module.name.partition(".")[0] for module in THERE.glob("*.so")}


def test_no_compiled_module_rounds_a_product_and_its_sum_at_once(objects: Objects) -> None:
    assert not FUSED.findall(read(objects, "--disassemble"))


def test_no_compiled_module_leaves_a_last_bit_to_the_c_library(objects: Objects) -> None:
    assert not ROUNDS_AS_IT_LIKES.findall(read(objects, "--dynamic-syms"))
