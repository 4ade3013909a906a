"""Which block devices are disks, so that no operation is counted twice."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NO_DISK = re.compile(r"(?:loop|ram|zram|dm-|md)\d+.*")
"""In memory or in a file, or made of disks that count the same operations."""
_PARTITION = re.compile(r"(.+?)(?:(?<=\d)p)?\d+")


def whole_disks(names: Iterable[str]) -> set[str]:
    """The disks themselves: not their partitions, nor what is built upon them.

    >>> sorted(whole_disks(["sda", "sda1", "nvme0n1", "nvme0n1p2", "dm-0", "md127", "loop3", "sr0"]))
    ['nvme0n1', 'sda', 'sr0']
    """
    found = {name for name in names if name and not _NO_DISK.fullmatch(name)}
    return {name for name in found if not ((part := _PARTITION.fullmatch(name)) and part[1] in found)}
