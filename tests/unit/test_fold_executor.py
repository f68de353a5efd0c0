"""Fits side by side: never two on one fold, in the order in which they came, and what was not begun is cancelled."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epic22.core.selection.executor import FoldExecutor, split_threads


def test_no_two_fits_share_a_fold_and_others_go_on() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        go_on.wait(10)
        return "slow"

    with FoldExecutor(2) as executor:
        first = executor.submit(0, slow)
        begun.wait(10)
        second = executor.submit(0, lambda: "same fold")
        assert executor.submit(1, lambda: "other fold").result(10) == "other fold"
        assert not second.done()
        go_on.set()
        assert (first.result(10), second.result(10)) == ("slow", "same fold")


def test_one_thread_fits_in_the_order_in_which_work_came() -> None:
    order: list[int] = []
    with FoldExecutor(1) as executor:
        futures = [executor.submit(number % 3, lambda number=number: order.append(number)) for number in range(9)]  # type: ignore[misc]
        for future in futures:
            future.result(10)
    assert order == list(range(9))


def test_work_that_waits_for_a_busy_fold_is_passed_over_and_keeps_its_turn() -> None:
    go_on, begun, order = threading.Event(), threading.Event(), list[str]()

    def hold_first_fold() -> None:
        begun.set()
        go_on.wait(10)

    with FoldExecutor(2) as executor:
        executor.submit(0, hold_first_fold)
        begun.wait(10)
        waiting = [executor.submit(0, lambda name=name: order.append(name)) for name in ("second", "third")]  # type: ignore[misc]
        executor.submit(1, lambda: order.append("passed")).result(10)
        go_on.set()
        for future in waiting:
            future.result(10)
    assert order == ["passed", "second", "third"]


def test_an_error_reaches_who_submitted_the_work_and_the_fold_is_free_again() -> None:
    def fail() -> None:
        raise ValueError("no convergence")

    with FoldExecutor(1) as executor:
        with pytest.raises(ValueError, match="no convergence"):
            executor.submit(0, fail).result(10)
        assert executor.submit(0, lambda: 3).result(10) == 3


def test_what_was_not_begun_is_cancelled_at_the_end() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go_on.wait(10)

    with FoldExecutor(1) as executor:
        executor.submit(0, slow)
        waiting = executor.submit(1, lambda: 1)
        begun.wait(10)
        threading.Timer(0.05, go_on.set).start()
    assert waiting.cancelled()
    assert executor.submit(0, lambda: 1).cancelled()


def test_a_fit_under_way_can_see_that_the_executor_was_closed() -> None:
    begun = threading.Event()
    with FoldExecutor(1) as executor:

        def wait_until_closed() -> bool:
            begun.set()
            for _ in range(1000):
                if executor.closed:
                    return True
                threading.Event().wait(0.01)
            return False

        fit = executor.submit(0, wait_until_closed)
        begun.wait(10)
        executor.close()
    assert fit.result(10)


@given(threads=st.integers(1, 64), n_fits=st.integers(1, 40))
def test_threads_are_shared_out_among_fits_and_never_exceeded(threads: int, n_fits: int) -> None:
    n_at_once, threads_per_fit = split_threads(threads, n_fits)
    assert 1 <= n_at_once <= n_fits
    assert threads_per_fit >= 1
    assert n_at_once * threads_per_fit <= threads
    assert (n_at_once + 1) * threads_per_fit > threads or n_at_once == n_fits or threads_per_fit == 1


def test_an_executor_split_from_threads_knows_what_each_fit_may_use() -> None:
    executor = FoldExecutor.split(8, 5)
    assert (executor.n_threads, executor.threads_per_fit) == (5, 1)
    executor = FoldExecutor.split(8, 2)
    assert (executor.n_threads, executor.threads_per_fit) == (2, 4)
