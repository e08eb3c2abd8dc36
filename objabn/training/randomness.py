"""The generators of random numbers: those of torch, CUDA, NumPy and Python, begun, written down and put back together."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_all(seed: int) -> None:
    """Begin the generators of torch, NumPy and Python anew; a checkpoint holds all three."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def seed_of_rank(seed: int, rank: int, step: int = 0) -> int:
    """Return the seed of a rank's generators from a step on, which differs from those of other seeds, ranks and steps."""
    return int(np.random.SeedSequence((seed, rank, step)).generate_state(1)[0])


def read_random_states() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the states of the generators of torch, CUDA, NumPy and Python, as tensors and the numbers beside them."""
    version, words, gauss = random.getstate()
    numpy_state = np.random.get_state(legacy=False)
    mersenne = numpy_state["state"]
    tensors = {
        "random.torch": torch.get_rng_state(),
        "random.python": torch.tensor(words, dtype=torch.int64),
        "random.numpy": torch.from_numpy(mersenne["key"].astype(np.int64)),
    }
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    numpy_scalars = {"pos": mersenne["pos"], "has_gauss": numpy_state["has_gauss"], "gauss": numpy_state["gauss"]}
    return tensors, {"python": [version, gauss], "numpy": numpy_scalars}


def write_random_states(tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
    """Put the generators back; a checkpoint from a machine without a GPU leaves that of CUDA as it is."""
    version, gauss = scalars["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    numbers = scalars["numpy"]
    key = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", key, numbers["pos"], numbers["has_gauss"], numbers["gauss"]))
    torch.set_rng_state(tensors["torch"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])
