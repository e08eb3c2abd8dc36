"""What long commands show: a bar with rate and time left on a terminal, nothing otherwise; sizes for people."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(text: str, *, unit: str) -> Iterator[Callable[[float, int], None]]:
    """Draw a bar and yield the function to call with how much is done and how much there is; the bar goes when the block ends."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=None, rate="")
        # What an earlier run left finished arrives at once and is no sign of speed.
        begin: tuple[float, float] | None = None

        def show(done: float, total: int) -> None:
            nonlocal begin
            begin = begin or (time.monotonic(), done)
            seconds = time.monotonic() - begin[0]
            rate = f"{(done - begin[1]) / seconds:.1f} {unit}/s" if seconds > 0 else ""
            progress.update(task, completed=done, total=total, rate=rate)

        yield show


def size_text(size: float) -> str:
    """Return a number of bytes as people write it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("bytes", "kB", "MB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
