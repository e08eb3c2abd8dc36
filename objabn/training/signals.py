"""Signals, answered between two steps: SIGTERM and Ctrl-C stop a run politely, SIGUSR1 has it write a checkpoint and go on."""

import signal
import threading
from types import FrameType, TracebackType

STOPPING = (signal.SIGTERM, signal.SIGINT)
SAVING = getattr(signal, "SIGUSR1", None)
"""Windows has none."""


class Interrupted(Exception):  # noqa: N818 - the run is well, it was asked to stop
    """Training was asked to stop and has written its checkpoint; `signal_number` says by which signal."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number
        super().__init__(f"Training stopped at {signal.Signals(signal_number).name}.")


class StopRequest:
    """Notes SIGTERM, SIGINT and SIGUSR1 while its context lasts; a second one of the former acts as if nothing were installed."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self.is_checkpoint_wanted = False
        """SIGUSR1 has come since the last checkpoint was begun."""
        self.previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        # Python installs signal handlers in the main thread only; elsewhere the caller keeps its own.
        if threading.current_thread() is threading.main_thread():
            self.previous = {number: signal.signal(number, self.note) for number in STOPPING}
            if SAVING is not None:
                self.previous[SAVING] = signal.signal(SAVING, self.note_checkpoint)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.restore(tuple(self.previous))

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Remember the signal and put the former handlers back."""
        self.signal_number = number
        self.restore(STOPPING)

    def note_checkpoint(self, _number: int, _frame: FrameType | None) -> None:
        """Remember that a checkpoint is wanted."""
        self.is_checkpoint_wanted = True

    def restore(self, numbers: tuple[int, ...]) -> None:
        """Put the former handlers of these signals back."""
        for number in numbers:
            if number in self.previous:
                signal.signal(number, self.previous.pop(number))  # type: ignore[arg-type]
