"""Questions from other threads to the one that owns the stream: a bounded queue that it serves between batches."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Any, TypeVar

from tocsin.errors import LimitExceeded

MOST_WAITING = 64
"""Questions at once; more are refused."""

Answer = TypeVar("Answer")


class Requests:
    """What others want to know or have done, one after the other."""

    def __init__(self) -> None:
        self._queue: Queue[tuple[Callable[[], Any], Future[Any]]] = Queue(MOST_WAITING)
        self._closed = False

    def ask(self, do: Callable[[], Answer], timeout_s: float = 10.0) -> Answer:
        """What a function gives that the stream's own thread calls; whatever it raises is raised here.

        Raises
        ------
        LimitExceeded
            If too many wait already, or no answer came in time; a function that was not begun is then not called any
            more.
        """
        answer: Future[Answer] = Future()
        try:
            self._queue.put_nowait((do, answer))
        except Full:
            hint = "ask again in a moment"
            raise LimitExceeded("service", f"{MOST_WAITING} questions waiting", "fewer", hint) from None
        if self._closed:
            self.close()  # what came in behind the last look waits for nobody
        try:
            return answer.result(timeout_s)
        except (TimeoutError, CancelledError):
            answer.cancel()
            hint = "it is busy or came to its end: ask again"
            raise LimitExceeded("service", "no answer", f"one within {timeout_s:g} s", hint) from None

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return self._queue.qsize()

    def serve(self) -> None:
        """Answer those that wait by now; for the stream's own thread, which no asker can keep from its rows."""
        for _ in range(self._queue.qsize()):
            do, answer = self._queue.get_nowait()
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                found = do()
            except Exception as error:  # noqa: BLE001  # it is raised where it was asked
                answer.set_exception(error)
            else:
                answer.set_result(found)

    def close(self) -> None:
        """Nobody will answer any more; who asks from now on is told so at once."""
        self._closed = True
        while True:
            try:
                _, answer = self._queue.get_nowait()
            except Empty:
                return
            with suppress(InvalidStateError):
                answer.cancel()
