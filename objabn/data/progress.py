"""Counting what is done, for whoever draws the bar."""

from collections.abc import Callable

OnProgress = Callable[[int, int], None]
"""Called with how much is done, and how much there is."""


class Counter:
    """A running sum that reports every step; without a listener it only counts."""

    def __init__(self, on_progress: OnProgress | None, total: int) -> None:
        self.on_progress = on_progress
        self.total = total
        self.done = 0

    def add(self, number: int) -> None:
        """Count `number` more as done."""
        self.done += number
        if self.on_progress is not None:
            self.on_progress(self.done, self.total)
