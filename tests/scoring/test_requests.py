"""Other threads are answered by the one that owns the stream, or told that they are not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tocsin.errors import LimitExceeded
from tocsin.scoring.requests import MOST_WAITING, Requests


def test_a_question_is_answered_in_the_thread_that_serves() -> None:
    requests, found = Requests(), []
    asking = threading.Thread(target=lambda: found.append(requests.ask(threading.get_ident)))
    asking.start()
    while asking.is_alive():
        requests.serve()
    assert found == [threading.get_ident()]


def test_who_asks_over_and_over_does_not_keep_the_stream_from_its_rows() -> None:
    requests, answered = Requests(), []

    def ask(do: Callable[[], None]) -> None:
        threading.Thread(target=lambda: requests.ask(do)).start()
        while not requests.waiting:
            time.sleep(0.0)

    def first() -> None:
        answered.append("first")
        ask(lambda: answered.append("second"))

    ask(first)
    requests.serve()
    assert answered == ["first"]
    requests.serve()
    assert answered == ["first", "second"]


def test_what_goes_wrong_is_raised_where_it_was_asked() -> None:
    requests = Requests()
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            requests.ask(lambda: 1 / 0)
        except ZeroDivisionError as error:
            raised.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while asking.is_alive():
        requests.serve()
    assert len(raised) == 1


def test_who_has_waited_too_long_is_told_and_nothing_is_done_later() -> None:
    requests, done = Requests(), []
    with pytest.raises(LimitExceeded, match="no answer"):
        requests.ask(lambda: done.append(1), timeout_s=0.01)
    requests.serve()
    assert done == []


def test_too_many_questions_are_refused() -> None:
    requests = Requests()
    for _ in range(MOST_WAITING):
        with pytest.raises(LimitExceeded, match="no answer"):
            requests.ask(lambda: None, timeout_s=0.0)
    with pytest.raises(LimitExceeded, match="64 questions waiting"):
        requests.ask(lambda: None)


def test_who_asks_behind_the_end_does_not_wait() -> None:
    requests = Requests()
    requests.close()
    with pytest.raises(LimitExceeded, match="came to its end"):
        requests.ask(lambda: None, timeout_s=1e6)


def test_at_the_end_everybody_is_told() -> None:
    requests, told = Requests(), []

    def ask() -> None:
        try:
            requests.ask(lambda: None, timeout_s=30.0)
        except LimitExceeded as error:
            told.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while asking.is_alive():
        requests.close()
    assert len(told) == 1
