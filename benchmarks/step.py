"""A whole training step of Object-ABN beside one of the plain X3D-M it is built on: what the maps cost."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

import objabn
from benchmarks.result import Row, measure, timings_row
from objabn.config import Config, LossConfig
from objabn.models.network import AttentionNetwork
from objabn.models.x3d import create_x3d  # pytorchvideo's own, imported there without its warnings
from objabn.objective import build_objective
from objabn.types import Batch

CLASSES = 101
Step = Callable[[], object]


def run(
    *, device: str = "cpu", clips: int | None = None, frames: int | None = None, size: int | None = None, repeats: int = 5
) -> list[Row]:
    """Compare training steps with one and three maps with pytorchvideo's X3D-M: small on a CPU, at full size on a GPU.

    The unit is clips per second; a speed-up of 0.8 means that the maps cost a fifth of the speed.
    """
    on_gpu = device.startswith("cuda")
    clips, frames, size = clips or (16 if on_gpu else 2), frames or (16 if on_gpu else 4), size or (224 if on_gpu else 96)
    batch = random_batch(clips, frames, size, device)
    ways: dict[str, Step] = {"peer": plain_step(batch)}
    for heads in (1, 3):
        ways[f"heads={heads}"] = object_step(heads, batch)
    if on_gpu:
        ways["peer compiled"] = plain_step(batch, is_compiled=True)
        for heads in (1, 3):
            ways[f"heads={heads} compiled"] = object_step(heads, batch, is_compiled=True)
    timings = measure(ways, repeats=repeats)
    precision = "bf16" if on_gpu else "float32"
    return [
        timings_row(
            "step",
            f"x3d_m object_abn {name}: {clips} clips, {frames} frames, {size} px, {precision}",
            timings,
            ours=name,
            peer="peer compiled" if name.endswith("compiled") else "peer",
            peer_name=f"pytorchvideo X3D-M, {'compiled' if name.endswith('compiled') else 'eager'}, contiguous, no attention",
            items=clips,
            unit="clips/s",
        )
        for name in ways
        if not name.startswith("peer")
    ]


def training_steps(config: Config, device: str) -> Iterator[None]:
    """Train without end on one batch of noise, of the size that a run of `config` trains with; compiled on a GPU."""
    batch = random_batch(config.optim.batch, config.data.clip_frames, config.data.crop_size, device)
    step = object_step(config.model.heads, batch, is_compiled=device.startswith("cuda"))
    while True:
        step()
        yield


def random_batch(clips: int, frames: int, size: int, device: str) -> Batch:
    """Return a batch of noise on `device`."""
    torch.manual_seed(0)
    grid = -(-size // 16)
    count = torch.arange(clips)
    return Batch(
        clip=torch.randint(0, 256, (clips, 3, frames, size, size), dtype=torch.uint8),
        mask=torch.rand(clips, frames, grid, grid),
        mask_valid=torch.rand(clips, frames) > 0.2,
        label=count % CLASSES,
        video=count,
        frames=torch.arange(frames).expand(clips, frames),
        view=torch.zeros_like(count),
        present=torch.ones(clips, dtype=torch.bool),
    ).to(device)


def object_step(heads: int, batch: Batch, *, is_compiled: bool = False) -> Step:
    """Return a training step of our network with its losses."""
    _, _, frames, size, _ = batch.clip.shape
    net: AttentionNetwork = objabn.create_model("x3d_m", heads=heads, classes=CLASSES, weights=None, clip_frames=frames, clip_size=size)
    net.to(batch.clip.device).to(memory_format=torch.channels_last_3d)
    objective = build_objective(LossConfig(), net).to(batch.clip.device)
    forward = torch.compile(net) if is_compiled else net
    optimizer = torch.optim.Adam([*net.parameters(), *objective.parameters()], lr=1e-4)
    return step_of(lambda: objective(forward(batch.clip), batch).total, optimizer, batch.clip.device)


def plain_step(batch: Batch, *, is_compiled: bool = False) -> Step:
    """Return a training step of pytorchvideo's own network, in the layout that PyTorch gives it."""
    _, _, frames, size, _ = batch.clip.shape
    net: nn.Module = create_x3d(input_clip_length=frames, input_crop_size=size, model_num_class=CLASSES, head_activation=None).to(
        batch.clip.device
    )
    forward = torch.compile(net) if is_compiled else net
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)

    def loss() -> Tensor:
        clip = (batch.clip.float() / 255 - 0.45) / 0.225
        return functional.cross_entropy(forward(clip).float(), batch.label)

    return step_of(loss, optimizer, batch.clip.device)


def step_of(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer, device: torch.device) -> Step:
    """Return forward, backward and update; bf16 on a GPU."""

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            total = loss()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()

    return step
