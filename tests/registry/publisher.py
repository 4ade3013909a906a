"""Processes that publish, promote and list until somebody ends them: one for every line on standard input.

A line holds a folder, a file for acknowledgements, a first seed, and what to do: `on` until killed; `once` without an
end; a number to die at that touch of the folder. Its process id is printed, and its exit status once it is gone. A
process is forked from this one, which has loaded everything that it needs. With the same words as arguments this one
does the work itself.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import cast

from tocsin import log
from tocsin.checks.registry import NAME, PASSED, example_bundle, example_report, opened
from tocsin.errors import TocsinError
from tocsin.registry import Registry
from tocsin.storage import LocalStore

KEEP = 3
AHEAD = timedelta(hours=2)
"""How far the clock is ahead of the files: whatever is no longer needed is collected at once."""
PAUSE_S = 0.01
TOUCHES = {"os.link", "os.mkdir", "os.remove", "os.rename", "os.utime", "sqlite3.connect"}
"""What is done to a file, as Python's audit events call it; an `open` counts if it is for writing."""


def now() -> datetime:
    return datetime.now(UTC) + AHEAD


def site_of(folder: Path) -> Registry:
    return opened(LocalStore(folder / "registry"), folder, keep=KEEP, clock=now)


def publish(registry: Registry, index: Path, seed: int, say: int) -> None:
    """One model more; what is done is acknowledged in a file that no injected fault reaches."""
    version = registry.add(NAME, example_bundle(seed), example_report(seed), PASSED)
    os.writev(say, [f"added {version.version} {version.digest}\n".encode()])
    registry.promote(NAME, version.version)
    os.writev(say, [f"pointed {version.version}\n".encode()])
    if seed % 3 == 2:
        back = registry.roll_back(NAME)
        os.writev(say, [f"pointed {back.version}\n".encode()])
    registry.index(index).listing(NAME)


def work(folder: Path, acknowledged: Path, seed: int, how: str) -> None:
    say = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    left = int(how) if how.isdecimal() else 0

    def touched(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        writes = event in TOUCHES or (event == "open" and cast("int", arguments[2]) & (os.O_WRONLY | os.O_RDWR))
        if left and writes and str(arguments[0]).startswith(str(folder)):
            left -= 1
            if not left:
                os.writev(say, [f"killed at {event} {Path(str(arguments[0])).relative_to(folder)}\n".encode()])
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(touched)
    registry, index = site_of(folder), folder / "registry" / "index.db"
    for more in count(seed):
        try:
            publish(registry, index, more, say)
        except TocsinError as error:
            os.writev(say, [f"refused {error.problem.got} {error.problem.hint}\n".encode()])
            if how != "on":
                return
            time.sleep(PAUSE_S)
        if how != "on":
            return


def tell(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main() -> None:
    log.configure("error")
    if sys.argv[1:]:
        folder, acknowledged, seed, how = sys.argv[1:]
        work(Path(folder), Path(acknowledged), int(seed), how)
        return
    tell("ready")
    for line in sys.stdin:
        folder, acknowledged, seed, how = line.split()
        child = os.fork()
        if not child:
            work(Path(folder), Path(acknowledged), int(seed), how)
            sys.exit()
        tell(child)
        _, status = os.waitpid(child, 0)
        tell(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
