"""Twenty steps of the tiny network on the CPU against numbers written down earlier: network, losses and optimiser learn as they did.

`python tests/test_golden.py` writes the numbers anew, for a change that is meant.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from toys import Recorder, nano, toy_batch, toy_config

from objabn.config import ModelConfig, OptimConfig
from objabn.training.loop import fit

GOLDEN = Path(__file__).parent / "golden" / "tiny.txt"


def train_tiny() -> list[float]:
    """Losses of 20 steps with three maps, every loss, dropout, accumulation, a warm-up and a cosine."""
    optim = OptimConfig(epochs=4, batch=4, accumulate=2, lr=3e-3, weight_decay=0.01, schedule="cosine", warmup_epochs=0.5, name="adamw")
    config = toy_config(optim=optim)
    model = ModelConfig(backbone="x3d_nano", weights="none", cut=2, heads=3, attention_init="random", dropout=0.5)
    config = replace(config, model=model)
    recorder = Recorder()
    # The network and its gradients in double; the losses stay in float32, whose rounding is far below the digits compared.
    fit(nano(config).double(), [toy_batch(seed, clips=2) for seed in range(10)], config, loggers=[recorder])
    return recorder.of("step", "loss")


def write_golden() -> None:
    GOLDEN.write_text("".join(f"{loss:.9f}\n" for loss in train_tiny()))


def test_twenty_steps_are_what_they_were() -> None:
    expected = [float(line) for line in GOLDEN.read_text().split()]
    assert len(expected) == 20
    assert train_tiny() == pytest.approx(expected, rel=1e-5)


if __name__ == "__main__":
    write_golden()
