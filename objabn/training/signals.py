"""Stopping politely: SIGTERM and Ctrl-C are noted, and answered between two steps."""

import signal
import threading
from types import FrameType, TracebackType


class Interrupted(Exception):  # noqa: N818 - the run is well, it was asked to stop
    """Training was asked to stop and has written its checkpoint; `signal_number` says by which signal."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number
        super().__init__(f"Training stopped at {signal.Signals(signal_number).name}.")


class StopRequest:
    """Notes SIGTERM and SIGINT while its context lasts; a second one acts as if nothing were installed."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self.previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        # Python installs signal handlers in the main thread only; elsewhere the caller keeps its own.
        if threading.current_thread() is threading.main_thread():
            self.previous = {number: signal.signal(number, self.note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.restore()

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Remember the signal and put the former handlers back."""
        self.signal_number = number
        self.restore()

    def restore(self) -> None:
        """Put the former handlers back."""
        for number, handler in self.previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self.previous = {}

    def raise_if_received(self) -> None:
        """Raise Interrupted once a signal has come."""
        if self.signal_number is not None:
            raise Interrupted(self.signal_number)
