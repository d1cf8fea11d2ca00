"""Coding shares the machine: one BLAS thread inside, and what others had set afterwards."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tests.helpers import coding_prior_arrays
from vqcodec.coding.contextmodel import ContextModel
from vqcodec.coding.threads import one_blas_thread


def blas_threads() -> int:
    return max((i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"), default=0)


def set_threads(number: int) -> int:
    """Set them as a program would that uses ours, and return how many there were."""
    before = blas_threads()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(threadpool_limits, limits=number, user_api="blas").result()
    return before


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = set_threads(2)
    if blas_threads() != 2:
        pytest.skip("the threads of NumPy's BLAS cannot be set here")
    yield
    set_threads(before)


def test_the_last_to_leave_sets_the_threads_back() -> None:
    with one_blas_thread:
        with one_blas_thread:
            assert blas_threads() == 1
        assert blas_threads() == 1
    assert blas_threads() == 2


def test_who_came_first_may_leave_first() -> None:
    with ThreadPoolExecutor(2) as pool:
        ready, left = Event(), Event()

        def first() -> None:
            with one_blas_thread:
                ready.wait()

        def last() -> int:
            with one_blas_thread:
                ready.set()
                left.wait()
                return blas_threads()

        came = pool.submit(first)
        number = pool.submit(last)
        came.result()
        left.set()
        assert number.result() == 1
        assert blas_threads() == 2  # while the thread that set them to one still lives


def test_several_threads_that_code_have_one_blas_thread_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = ContextModel(coding_prior_arrays(24))
    maps = [np.random.default_rng(i).integers(0, 24, (6, 9 + i)).astype(np.uint16) for i in (0, 1)]
    seen = []

    def watched(scores: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> object:
        seen.append(blas_threads())
        return unwatched(scores)

    unwatched = model._cumulative
    monkeypatch.setattr(model, "_cumulative", watched)

    def there_and_back(number: int) -> bool:
        grid = maps[number % 2]
        return bool((model.decode(model.encode([grid]), grid.shape)[0] == grid).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(there_and_back, range(12)))
    assert set(seen) == {1}
    assert blas_threads() == 2
