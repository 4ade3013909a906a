"""Compiles the kernel where a C compiler is at hand; where none is, the same sources run interpreted.

A `.pxd` file beside a module of `tocsin.kernel` gives its names C types and so has it compiled; the module itself is
plain Python and stays in the package.
"""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNEL = Path("src/tocsin/kernel")
# One rounding for every operation, on every processor: no fused multiply-add, no reordering.
ARITHMETIC = ["-O3", "-ffp-contract=off", "-fno-fast-math"]
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
        try:
            super().run()
        except Exception as error:
            print(f"warning: the kernel could not be compiled and will run interpreted: {error}")
            self.extensions = []


def extensions() -> list[Extension]:
    typed = [source.with_suffix(".py") for source in sorted(KERNEL.glob("*.pxd"))]
    return [
        Extension(f"tocsin.kernel.{source.stem}", [source.as_posix()], extra_compile_args=ARITHMETIC)
        for source in [*(source for source in typed if source.exists()), *sorted(KERNEL.glob("*.pyx"))]
    ]


setup(
    ext_modules=cythonize(extensions(), build_dir="build/cython", compiler_directives=DIRECTIVES),
    cmdclass={"build_ext": AllOrNothing},
)
