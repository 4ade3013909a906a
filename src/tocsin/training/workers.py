"""Work spread over processes of this machine, which end with the one that started them, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

from tocsin import log
from tocsin.errors import LimitExceeded

Answer = TypeVar("Answer")
Spread = Callable[[list[Any]], Iterator[tuple[Any, Any]]]
"""Tasks -> each with its answer, in the order in which they are done."""

_work: Callable[[Any], Any] | None = None
"""What a worker does; it is given to each once, since it carries the rows."""


@contextmanager
def spread_over(workers: int, work: Callable[[Any], Any]) -> Iterator[Spread]:
    """A function that does work on tasks, by so many processes; by this one if it is to be one.

    Parameters
    ----------
    workers
        Processes.
    work
        Called with a task; it and the tasks are copied to other processes.

    Raises
    ------
    LimitExceeded
        While tasks are done, if a process is ended from outside: by an operator, or for want of memory.
    """
    if workers == 1:
        yield lambda tasks: ((task, work(task)) for task in tasks)
        return
    # Workers are begun afresh: threads of numpy and of torch do not survive a fork.
    fresh = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, fresh, _begin, (work,))

    def spread(tasks: list[Any]) -> Iterator[tuple[Any, Any]]:
        asked: dict[Future[Any], Any] = {pool.submit(_answer, task): task for task in tasks}
        for done in as_completed(asked):
            try:
                answer = done.result()
            except BrokenProcessPool:
                hint = "look whether memory was short, and take fewer --workers; what was finished is kept"
                raise LimitExceeded("workers", "a process that was ended from outside", "", hint) from None
            yield asked[done], answer

    try:
        yield spread
    finally:
        for child in set(multiprocessing.active_children()) - others:  # an interrupt waits for no trial to end
            child.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(work: Callable[[Any], Any]) -> None:
    global _work  # noqa: PLW0603  # a worker has nothing else to keep it in
    _work = work
    log.configure("error")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _answer(task: Any) -> Any:
    if _work is None:
        raise RuntimeError("a worker without work")
    return _work(task)
