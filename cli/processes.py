"""How many processes a command may be, and which of them is heard."""

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from os import devnull, environ
from pathlib import Path

from objabn.machine import Ranks, launched


def refuse_ranks(command: str) -> None:
    """Raise ValueError where torchrun started several processes of a command that would all do the same."""
    world = launched().world
    if world > 1:
        raise ValueError(f"objabn {command} is one process and WORLD_SIZE={world} asks for {world}; start it without torchrun.")


@contextmanager
def alone() -> Iterator[Ranks]:
    """Have this process be the only one of what it does while the context lasts; yields which one torchrun started it as.

    The share of the machine's cores stays that of one of several.
    """
    ranks, hidden = launched(), ("RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID")
    kept = {name: environ.pop(name) for name in hidden if name in environ}
    try:
        yield ranks
    finally:
        environ.update(kept)


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started while the context lasts; of what they print only rank 0's is seen."""
    from objabn.training.distributed import process_group

    with process_group(device) as ranks:
        if ranks.rank == 0:
            yield ranks
            return
        with Path(devnull).open("w") as nowhere, redirect_stdout(nowhere):
            yield ranks
