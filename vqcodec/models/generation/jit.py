"""Compilation of loops over arrays, where numba is at hand; else they run as they are, slowly."""

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile at the first call, for good: the result is kept on disk.

    It holds no lock while it runs, and may reorder sums. With NUMBA_DISABLE_JIT=1 in the
    environment the function stays as it is.
    """
    try:
        from numba import njit
    except ImportError:
        return function
    made: Any = njit(cache=True, nogil=True, fastmath=True)(function)
    return made
