"""Work in several threads that an interruption need not wait for."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


def run_all(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """Return the results of tasks that run at the same time, in their order.

    The threads are daemons: where an executor would first finish what is under way, minutes on a
    large picture, Ctrl-C ends the program at once.
    """
    futures: list[Future[Result]] = [Future() for _ in tasks]
    for task, future in zip(tasks, futures, strict=True):
        Thread(target=_run, args=(task, future), daemon=True).start()
    return [future.result() for future in futures]


def _run(task: Callable[[], Result], future: "Future[Result]") -> None:
    try:
        future.set_result(task())
    except BaseException as error:  # it is raised again where the result is asked for
        future.set_exception(error)
