from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.kernel.walk_tables import Indices32
from tocsin.records import Matrix, Vector

def avx512() -> bool: ...

class Nodes:
    def __init__(
        self,
        nodes: NDArray[Any],
        value: Vector,
        roots: NDArray[np.uint32],
        steps: Indices32,
        *,
        trees: int,
        columns: int,
        twice: bool,
    ) -> None: ...
    def sum(self, x: Matrix, sums: Vector) -> None: ...

class Words:
    def __init__(
        self,
        tests: NDArray[Any],
        words: NDArray[Any],
        words_end: Indices32,
        leaves: Vector,
        *,
        columns: int,
        twice: bool,
    ) -> None: ...
    def sum(self, x: Matrix, sums: Vector) -> None: ...
