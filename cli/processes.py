"""How many processes a command may be."""

import os


def refuse_ranks(command: str) -> None:
    """Raise ValueError where torchrun started several processes of a command that would all do the same."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1:
        raise ValueError(f"objabn {command} is one process and WORLD_SIZE={world} asks for {world}; start it without torchrun.")
