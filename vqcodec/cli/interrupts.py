"""Ctrl-C, or a request to end, while something is going on that is worth keeping."""

import signal
from collections.abc import Callable
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Postponed:
    """Takes note of an interrupt instead of obeying it; the next one is obeyed as ever.

    Args:
        told: called when there is one.

    Attributes:
        number: of the signal; 0 as long as there was none.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self.number = 0
        self._told, self._before = told, dict[int, Any]()

    def __call__(self) -> bool:
        """Return whether there was one; from the first call on it is looked out for."""
        if not self._before:
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self.number > 0

    def obey(self) -> None:
        """Make up for it, if there was one."""
        if self.number:
            signal.raise_signal(self.number)

    def close(self) -> None:
        """Let interrupts be obeyed again."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: Any) -> None:
        self.number = number
        self.close()
        self._told()
