"""The arithmetic of Tocsin: the only code that computes a feature or walks a tree.

The modules with a `.pxd` beside them are compiled where there was a compiler at installation; the same sources run
interpreted where there was none, and where the environment says `TOCSIN_KERNEL=interpreted`, with the same bits.
"""

import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader


class _Interpreted:
    """Finds the sources of this package where the import system would take the compiled modules."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if not name.startswith(f"{__name__}."):
            return None
        spec = FileFinder(__path__[0], (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(f"{name} has no source in Python", name=name)
        return spec


if os.environ.get("TOCSIN_KERNEL") == "interpreted":
    sys.meta_path.insert(0, _Interpreted)
