"""Threads for coding: one inside a matrix product, as many as there are cores side by side."""

import contextlib
import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spread(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Yield what a function makes of items, in their order, computed side by side.

    The threads are one for each core and shared by all who ask, from whatever thread: so the
    function itself may not wait for anything that is spread. A few results are computed ahead of
    what is taken.
    """
    cores = usable_cores()
    if len(items) == 1 or cores == 1:
        yield from map(function, items)
        return
    pool, ahead = _pool(cores, os.getpid()), deque[Future[R]]()
    try:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > 2 * cores:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()


@functools.cache
def _pool(cores: int, process: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """Return the threads of a process: one that forks from another has none of its threads."""
    return ThreadPoolExecutor(cores, "coding")


class OneBlasThread(contextlib.ContextDecorator):
    """While any thread is inside, NumPy multiplies matrices with one thread each.

    The coder's products are small and there are thousands of them. Threads that share each one
    spend their time waiting for each other: on a busy machine twenty times what the work takes.
    How many there are belongs to the process, so the last one to leave sets it back, not the first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[int] = []

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = [library.num_threads for library in _libraries()]
                _set([1] * len(self._before))
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                _set(self._before)


one_blas_thread = OneBlasThread()


@functools.cache
def _libraries() -> list[Any]:
    """Return what sets the threads of the BLAS libraries that are loaded, NumPy's among them."""
    import numpy as np  # noqa: F401
    from threadpoolctl import ThreadpoolController

    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


def _set(threads: list[int]) -> None:
    """Set the threads of each library.

    threadpoolctl lets no thread change what another one has set that still lives, and whoever
    leaves last need not be who came first: so a thread does it that is gone at once.
    """

    def work() -> None:
        for library, number in zip(_libraries(), threads, strict=True):
            library.set_num_threads(number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
