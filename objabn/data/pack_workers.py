"""Work in processes of its own, which may crash, hang or run out of memory without harm to anything else."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeVar

from objabn.machine import limit_memory

Item = TypeVar("Item")
Result = TypeVar("Result")
Step = Callable[[], None]
"""Called at every step of a piece of work: a sign of life."""

PATIENCE_SECONDS = 120.0
"""Far longer than a decoder takes for a frame, or a network drive commonly stalls."""
PULSE_SECONDS = 1.0


class Lost(NamedTuple):
    """Stands in place of a result where there is none."""

    reason: str


class Finished(NamedTuple):
    """What a process sends when it is done with an item."""

    result: Any


def supervised(
    function: Callable[[Item, Step], Result], items: Sequence[Item], *, workers: int, patience_seconds: float = PATIENCE_SECONDS
) -> Generator[tuple[int, Result | Lost]]:
    """Yield (position, result) of every item as one of several processes finishes it; none outlives this one, even killed.

    Items are begun in order. One whose process dies is tried once more, since the system kills whom it likes for want of memory;
    one whose process gives no sign of life for `patience_seconds` is not. `function` must be importable.
    """
    crew = Crew(function, items, min(workers, len(items)), patience_seconds)
    try:
        while crew.assign():
            yield from crew.outcomes()
    finally:
        for worker in crew.workers:
            worker.end()


class Crew:
    """The processes, and the items that nobody has begun yet."""

    def __init__(self, function: Callable[[Any, Step], Any], items: Sequence[Any], most: int, patience_seconds: float) -> None:
        self.function, self.items, self.most, self.patience_seconds = function, items, most, patience_seconds
        self.waiting = deque(range(len(items)))
        self.died: set[int] = set()
        """Items at which a process died."""
        self.workers: list[Worker] = []

    def assign(self) -> bool:
        """Give every process something to do, and tell whether any of them is at work."""
        while self.waiting and (worker := self.free_worker()):
            position = self.waiting.popleft()
            worker.begin(position, self.items[position])
        return any(worker.position is not None for worker in self.workers)

    def free_worker(self) -> "Worker | None":
        """Return a process that has nothing to do, a new one while there are fewer than there may be."""
        free = [worker for worker in self.workers if worker.position is None]
        if not free and len(self.workers) < self.most:
            free = [Worker(self.function, self.most)]
            self.workers += free
        return free[0] if free else None

    def outcomes(self) -> Iterator[tuple[int, Any]]:
        """Wait a moment, and yield what has been finished or lost in it."""
        busy = [worker for worker in self.workers if worker.position is not None]
        begin = time.monotonic()
        ready = connection.wait([worker.pipe for worker in busy], timeout=PULSE_SECONDS)
        # Never more than was asked for: while this process is stopped, so are the others.
        seconds = min(time.monotonic() - begin, PULSE_SECONDS)
        for worker in busy:
            position = worker.position
            assert position is not None
            try:
                if worker.pipe not in ready:
                    worker.wait(seconds, self.patience_seconds)
                    continue
                message = worker.listen()
            except (EOFError, OSError) as ending:
                self.workers.remove(worker)
                yield from self.after_death(position, worker, ending)
            else:
                if message is not None:
                    worker.position = None
                    yield position, message.result

    def after_death(self, position: int, worker: "Worker", ending: Exception) -> Iterator[tuple[int, Lost]]:
        """Have an item tried again at which a process died for the first time; otherwise yield why it is lost."""
        if not isinstance(ending, TimeoutError):
            worker.process.join(PULSE_SECONDS)  # so that its own exit code is found
        code = worker.end()
        if isinstance(ending, TimeoutError):
            yield position, Lost(f"it was given up since nothing came of it for {self.patience_seconds:.0f} s")
        elif not worker.is_ready:
            raise RuntimeError(
                f"A process could not be started (exit code {code}); a script must call this under `if __name__ == '__main__':`."
            )
        elif position in self.died:
            yield position, Lost(f"the process that decoded it was ended twice, by {name_of_ending(code)}")
        else:
            self.died.add(position)
            self.waiting.appendleft(position)


class Worker:
    """A process, the pipe to it, and the position of what it is at."""

    def __init__(self, function: Callable[[Any, Step], Any], processes: int) -> None:
        # Forking a process whose libraries have threads can hang the child.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, function, processes), daemon=True)
        with without_interrupts():
            self.process.start()
        # From now on only the process holds that end of the pipe, and its death closes it.
        theirs.close()
        self.is_ready = False
        self.position: int | None = None
        self.silent_seconds = 0.0

    def begin(self, position: int, item: Any) -> None:
        """Hand over an item."""
        self.position, self.silent_seconds = position, 0.0
        with contextlib.suppress(OSError):  # that the process is gone is noticed by who listens to it
            self.pipe.send(item)

    def listen(self) -> Finished | None:
        """Return what is finished, None for a sign of life; EOFError or OSError where the process is gone."""
        message: Finished | None = self.pipe.recv()
        self.is_ready, self.silent_seconds = True, 0.0
        return message

    def wait(self, seconds: float, patience_seconds: float) -> None:
        """Count seconds of silence once the process is ready; more of them than there is patience are a TimeoutError."""
        self.silent_seconds += seconds if self.is_ready else 0
        if self.silent_seconds > patience_seconds:
            raise TimeoutError

    def end(self) -> int:
        """Kill the process if it is still there, and return its exit code."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return self.process.exitcode or 0


def name_of_ending(code: int) -> str:
    """Return an exit code of a process as people call it."""
    if code == -signal.SIGKILL:
        return "SIGKILL, perhaps for want of memory: fewer --workers need less"
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from a process started inside, which would print a traceback before it is ready to ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It is started along with the first process, and lets interrupts through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(pipe: Connection, function: Callable[[Any, Step], Any], processes: int) -> None:
    """Be a process: take one item after another until it is ended, and send what becomes of each."""
    # An interrupt reaches all processes; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=leave_with_parent, daemon=True).start()
    # One more for the process that gathers what all make.
    limit_memory(processes + 1)
    told = time.monotonic()

    def step() -> None:
        nonlocal told
        if time.monotonic() - told > PULSE_SECONDS:
            told = time.monotonic()
            pipe.send(None)

    with contextlib.suppress(EOFError, OSError):  # nobody is there any more
        pipe.send(None)
        while True:
            item = pipe.recv()
            pipe.send(Finished(outcome_of(function, item, step)))


def outcome_of(function: Callable[[Any, Step], Any], item: Any, step: Step) -> Any:
    """Return a result, or why there is none."""
    try:
        return function(item, step)
    except MemoryError:
        return Lost("it needs more memory than one process may take; fewer --workers leave more for each")
    except Exception as error:
        return Lost(f"an unforeseen error came of it ({type(error).__name__}: {error})")


def leave_with_parent() -> None:
    """End this process once the one that started it is gone, even killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
