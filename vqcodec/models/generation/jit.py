"""Compilation of loops over arrays, where numba is at hand; else they run as they are, slowly."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile at the first call, for good: the result is kept on disk where that is possible.

    Where neither this package nor the user's folder may be written to, every process compiles
    anew. It holds no lock while it runs, and may reorder sums. With NUMBA_DISABLE_JIT=1 in the
    environment the function stays as it is.
    """
    try:
        from numba import njit
    except ImportError:
        return function
    home = os.path.isabs(os.path.expanduser("~"))  # without one, numba makes a folder named ~
    made: Any
    try:
        made = njit(cache=home, nogil=True, fastmath=True)(function)
    except RuntimeError:  # numba's word for no folder to keep it in
        made = njit(nogil=True, fastmath=True)(function)
    return made
