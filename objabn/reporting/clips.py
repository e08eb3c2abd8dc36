"""Clips for the gallery: frames as one JPEG, maps and masks as grids of bytes, all as text that a page can hold."""

import base64
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from objabn.config import Config
from objabn.data.dataset import PackedDataset
from objabn.data.reader import warp_nearest
from objabn.data.sampling import evaluation_plan
from objabn.explainers import explain
from objabn.explainers.overlay import describe, stretch
from objabn.explainers.video import film_rate
from objabn.models.network import AttentionNetwork, evaluating
from objabn.training.precision import as_float32
from objabn.types import Batch

LARGEST_SIDE = 224
"""Pixels of a shown frame; larger ones are reduced."""
LARGEST_GRID = 40
"""Cells of a shown map; those of the pixels of a clip are averaged."""
JPEG_QUALITY = 80


class Sprite(NamedTuple):
    """All frames of a clip in one picture, row by row."""

    picture: str
    """A data: address of a JPEG."""
    columns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownMap:
    """A map of a clip, stretched to [0, 1] over all its frames."""

    name: str
    range: str
    """Its name with the values that 0 and 1 stand for."""
    rows: int
    columns: int
    cells: str
    """T x rows x columns bytes in base64, 255 for 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownClip:
    """The single view of a video that evaluation takes, with everything that can be laid over it."""

    sprite: Sprite
    frames: int
    frames_per_second: float
    maps: list[ShownMap]
    weights: list[float] | None
    """Of the frames, where the network has temporal attention."""


def gallery_clips(
    net: AttentionNetwork, batches: Iterable[Batch], dataset: PackedDataset, config: Config, methods: Sequence[str]
) -> Iterator[tuple[int, ShownClip]]:
    """Yield the clips that are present, each with its row of the index; `config` is that of the loader, with a single view."""
    for batch in batches:
        on_device = batch.to(next(net.parameters()).device)
        maps, weights_BT = explained(net, on_device.clip, methods)
        for place in batch.present.nonzero()[:, 0].tolist():
            row = int(batch.video[place])
            own = [shown_map(name, maps_BTYX[place]) for name, maps_BTYX in maps.items()]
            covered = [coverage_map(dataset, config, row)] if dataset.has_masks else []
            weights = None if weights_BT is None else [round(weight, 4) for weight in weights_BT[place].tolist()]
            yield row, shown_clip(batch.clip[place], dataset, config, row, maps=[*own, *covered], weights=weights)


def explained(net: AttentionNetwork, clip_BCTYX: Tensor, methods: Sequence[str]) -> tuple[dict[str, Tensor], Tensor | None]:
    """Return maps (B, T, y, x) by name, the network's own on its own grid, and the weights (B, T) of frames where it has such."""
    maps: dict[str, Tensor] = {}
    weights_BT = None
    for method in methods:
        if method == "attention":
            with torch.inference_mode(), evaluating(net):
                output = as_float32(net(clip_BCTYX))
            weights_BT = output.frame_weights
            found = dict(zip(net.map_names, output.maps.unbind(1), strict=True))
        else:
            explanation = explain(net, clip_BCTYX, method=method)
            found = dict(zip(explanation.names, explanation.maps.unbind(1), strict=True))
        maps |= found
    return maps, weights_BT


def shown_map(name: str, map_TYX: Tensor) -> ShownMap:
    """Return a map as the page holds it, on a grid that is no finer than `LARGEST_GRID`."""
    size_YX = (min(map_TYX.shape[1], LARGEST_GRID), min(map_TYX.shape[2], LARGEST_GRID))
    values = functional.adaptive_avg_pool2d(map_TYX.float()[None], size_YX)[0].cpu().numpy()
    return encoded_map(name, describe(name, values), stretch(values))


def coverage_map(dataset: PackedDataset, config: Config, row: int) -> ShownMap:
    """Return which part of each cell the objects of the mask store cover, in the very crop that the clip has."""
    plan = evaluation_plan(dataset.index, np.array([row]), config.data)
    mask_TYX = torch.from_numpy(dataset.masks(row, plan.frames[0]).mask)
    size = config.data.crop_size
    cropped_TYX = warp_nearest(mask_TYX, plan.roi[0].tolist(), size).float()
    covered = functional.adaptive_avg_pool2d(cropped_TYX[None], min(size, LARGEST_GRID))[0].numpy()
    return encoded_map("mask", "mask", covered)


def encoded_map(name: str, values_range: str, values_TYX: NDArray[np.float32]) -> ShownMap:
    """Return values in [0, 1] as bytes."""
    cells = base64.b64encode(np.rint(255 * values_TYX).astype(np.uint8).tobytes()).decode()
    return ShownMap(name=name, range=values_range, rows=values_TYX.shape[1], columns=values_TYX.shape[2], cells=cells)


def shown_clip(
    clip_CTYX: Tensor, dataset: PackedDataset, config: Config, row: int, *, maps: list[ShownMap], weights: list[float] | None
) -> ShownClip:
    """Return a clip (3, T, Y, X) uint8 with its maps, as fast as the video."""
    index = dataset.index
    rate = film_rate(config.data, int(index.frames[row]), Fraction(float(index.fps[row])).limit_denominator(1001))
    return ShownClip(
        sprite=sprite(clip_CTYX.permute(1, 2, 3, 0).cpu().numpy()),
        frames=clip_CTYX.shape[1],
        frames_per_second=round(float(rate), 3),
        maps=maps,
        weights=weights,
    )


def sprite(frames_TYXC: NDArray[np.uint8]) -> Sprite:
    """Return frames side by side in rows, about as many rows as columns."""
    height, width = frames_TYXC.shape[1:3]
    scale = min(1.0, LARGEST_SIDE / max(height, width))
    height, width = round(height * scale), round(width * scale)
    columns = math.ceil(math.sqrt(len(frames_TYXC)))
    sheet = Image.new("RGB", (columns * width, -(-len(frames_TYXC) // columns) * height))
    for number, frame_YXC in enumerate(frames_TYXC):
        row, column = divmod(number, columns)
        sheet.paste(Image.fromarray(frame_YXC).resize((width, height), Image.Resampling.LANCZOS), (column * width, row * height))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return Sprite(f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}", columns)
