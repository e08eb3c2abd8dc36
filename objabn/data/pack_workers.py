"""Shards written by several processes, none of which outlives the one that started them."""

import functools
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing.queues import Queue

from objabn.data.pack_shard import ShardJob, pack_shard


def run_jobs(jobs: Sequence[ShardJob], workers: int, *, on_videos: Callable[[int], None]) -> None:
    """Write shards in this process (one worker) or in several; `on_videos` is told how many videos are done."""
    if workers == 1 or len(jobs) <= 1:
        for job in jobs:
            pack_shard(job, functools.partial(on_videos, 1))
        return
    # Forking a process whose libraries have threads can hang the child.
    context = multiprocessing.get_context("spawn")
    waiting: Queue[ShardJob | None] = context.Queue()
    messages: Queue[int | Exception] = context.Queue()
    processes = [context.Process(target=work, args=(waiting, messages), daemon=True) for _ in range(min(workers, len(jobs)))]
    for job_or_end in (*jobs, *[None] * len(processes)):
        waiting.put(job_or_end)
    for process in processes:
        process.start()
    try:
        while any(process.is_alive() for process in processes):
            on_videos(drain(messages, patience_seconds=0.2))
            if any(process.exitcode for process in processes):
                raise RuntimeError("A packing process died, perhaps for want of memory; run it again, with fewer --workers.")
        on_videos(drain(messages, patience_seconds=0))
    finally:
        waiting.cancel_join_thread()
        for process in processes:
            process.terminate()
            process.join()


def drain(messages: "Queue[int | Exception]", *, patience_seconds: float) -> int:
    """Return the sum of the messages that have arrived; an error among them is raised."""
    total = 0
    try:
        while True:
            message = messages.get(timeout=patience_seconds)
            if isinstance(message, Exception):
                raise message
            total, patience_seconds = total + message, 0
    except queue.Empty:
        return total


def work(waiting: "Queue[ShardJob | None]", messages: "Queue[int | Exception]") -> None:
    """Write one shard after another until there are none left."""
    # An interrupt reaches all processes; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=leave_with_parent, daemon=True).start()
    try:
        while job := waiting.get():
            pack_shard(job, functools.partial(messages.put, 1))
    except Exception as error:
        messages.put(error)


def leave_with_parent() -> None:
    """End this process once the one that started it is gone, even killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
