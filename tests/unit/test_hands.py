import threading

import pytest

from epic22.core.selection.executor import FoldExecutor


def test_no_two_are_at_one_place_and_others_go_on() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        go_on.wait(10)
        return "slow"

    with FoldExecutor(2) as hands:
        first = hands.submit(0, slow)
        begun.wait(10)
        second = hands.submit(0, lambda: "same place")
        assert hands.submit(1, lambda: "other place").result(10) == "other place"
        assert not second.done()
        go_on.set()
        assert (first.result(10), second.result(10)) == ("slow", "same place")


def test_an_error_is_the_askers_and_the_place_is_free_again() -> None:
    def fail() -> None:
        raise ValueError("mine")

    with FoldExecutor(1) as hands:
        with pytest.raises(ValueError, match="mine"):
            hands.submit(0, fail).result(10)
        assert hands.submit(0, lambda: 3).result(10) == 3


def test_what_was_not_begun_is_cancelled_at_the_end() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go_on.wait(10)

    with FoldExecutor(1) as hands:
        hands.submit(0, slow)
        waiting = hands.submit(1, lambda: 1)
        begun.wait(10)
        threading.Timer(0.05, go_on.set).start()
    assert waiting.cancelled()
    assert hands.submit(0, lambda: 1).cancelled()
