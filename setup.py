"""Compiles the kernel where a C compiler is at hand; where none is, the same sources run interpreted.

A `.pxd` file beside a module of `tocsin.kernel` gives its names C types and so has it compiled; the module itself is
plain Python and stays in the package.
"""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNEL = Path("src/tocsin/kernel")
SHARED = "tocsin.kernel.shared"
"""What Cython puts into every module otherwise: a fifth of the size, and of the time to compile."""
# One rounding for every operation, on every processor: no fused multiply-add, no reordering. And one memory may be
# read as numbers of several types.
ARITHMETIC = ["-O3", "-g0", "-ffp-contract=off", "-fno-fast-math", "-fno-strict-aliasing"]
DIRECTIVES = {
    "language_level": 3,
    "infer_types": True,
    "annotation_typing": False,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
}


class AllOrNothing(build_ext):
    """Modules that call each other are compiled together or not at all."""

    def run(self) -> None:
        """Compile; whatever is in the way is told, and does not end the installation."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001  # a compiler may fail in any way
            self.warn(f"the kernel could not be compiled and will run interpreted: {error}")
            self.extensions = []


def extensions() -> list[Extension]:
    """One for every typed module, and what they share."""
    shared = Extension(SHARED, ["build/cython/shared.c"], extra_compile_args=ARITHMETIC)
    typed = [source.with_suffix(".py") for source in sorted(KERNEL.glob("*.pxd"))]
    return [shared] + [
        Extension(f"tocsin.kernel.{source.stem}", [source.as_posix()], extra_compile_args=ARITHMETIC)
        for source in [*(source for source in typed if source.exists()), *sorted(KERNEL.glob("*.pyx"))]
    ]


setup(
    ext_modules=cythonize(
        extensions(), build_dir="build/cython", compiler_directives=DIRECTIVES, shared_utility_qualified_name=SHARED
    ),
    cmdclass={"build_ext": AllOrNothing},
)
