"""A dataset that needs no download: a coloured thing among grey ones, and the class is how it moves.

The picture is a cylinder: who leaves at one side comes back at the other. In all four classes the eight frames of a clip show
the thing at the same eight places around it; only their order tells left from right and single steps from steps of three.
Everything else is drawn independently for every frame, so a frame alone, or frames out of order, say exactly nothing.
Mirrored clips change class: train without flips.
"""

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.encode import encode_gops, to_planes
from objabn.data.pack import pack
from objabn.data.pack_shard import PackSettings
from objabn.data.progress import Counter, OnProgress
from objabn.data.segment import import_masks
from objabn.data.sources import Listing, folder
from objabn.files import claimed

MOTIONS = {"slow_right": 1, "slow_left": -1, "fast_right": 3, "fast_left": -3}
"""Places from one frame of a clip to the next; all odd, so that eight frames visit all eight places."""
PLACES = 8
STRIDE_FRAMES = 3
"""Frames of the video between two frames of a clip; `objabn.recipes.demo` samples so."""
FPS = Fraction(12)


class Path2D(NamedTuple):
    """Where a thing is in each frame; borders wrap around."""

    y: NDArray[np.floating[Any]]
    """(T,) rows, in pixels."""
    x: NDArray[np.floating[Any]]
    """(T,) columns, in pixels."""
    angle: float
    """Radians, growing clockwise on screen; the same in all frames."""


class DemoClip(NamedTuple):
    """One synthetic video."""

    frames: NDArray[np.uint8]
    """(T, Y, X, 3) RGB."""
    mask: NDArray[np.bool_]
    """(T, Y, X): exactly the pixels of the moving thing."""


def write_demo(
    root: Path, *, train: int = 480, test: int = 120, size: int = 96, frames: int = 32, seed: int = 0, on_progress: OnProgress | None = None
) -> Listing:
    """Write `root/videos/SUBSET/CLASS/*.mp4` and `root/own_masks/.../*.npz`, the same bytes for the same seed; list the videos."""
    counter, reformatter = Counter(on_progress, train + test), VideoReformatter()
    for subset, number, motion in (
        (s, n, list(MOTIONS)[n % len(MOTIONS)]) for s, count in (("train", train), ("test", test)) for n in range(count)
    ):
        name = f"{subset}/{motion}/{subset}-{number:05d}"
        clip = draw_clip(motion, np.random.default_rng([seed, subset == "test", number]), size=size, frames=frames)
        video, masks = root / "videos" / f"{name}.mp4", root / "own_masks" / f"{name}.npz"
        video.parent.mkdir(parents=True, exist_ok=True)
        masks.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(masks, mask=clip.mask)
        pictures = (to_planes(frame, reformatter) for frame in clip.frames)
        video.write_bytes(b"".join(encode_gops(pictures, fps=FPS, codec="h264", quality=94, gop=32)))
        counter.add(1)
    return folder(root / "videos")._replace(name="demo")


def make_demo(
    root: Path, *, train: int = 480, test: int = 120, size: int = 96, frames: int = 32, seed: int = 0, on_progress: OnProgress | None = None
) -> PackedDataset:
    """Write, pack and mask the demo dataset in `root`; one that is already there is opened."""
    if not (root / "masks" / "manifest.json").is_file():
        # Each of the three has a folder of its own to write to.
        with claimed(root / "videos"):
            listing = write_demo(root, train=train, test=test, size=size, frames=frames, seed=seed, on_progress=on_progress)
            pack(listing, root, PackSettings(quality=95))
            # Masks that a kill left half finished belong to files that have been written anew.
            shutil.rmtree(root / "masks", ignore_errors=True)
            import_masks(open_dataset(root), root / "own_masks")
    return open_dataset(root)


def draw_clip(motion: str, rng: Generator, *, size: int, frames: int) -> DemoClip:
    """Draw one video: a shaking background, two or three grey things that stay where they are and flicker, one that moves."""
    clip = draw_background(rng, size=size, frames=frames)
    for _ in range(rng.integers(2, 4)):
        place = shaken(np.full((frames, 2), rng.uniform(0, size, 2)), rng, size)
        still = Path2D(place[:, 0], place[:, 1], rng.uniform(0, 2 * np.pi))
        draw_thing(clip, still, make_texture(rng, colour=0.15), rng, brightness_T=rng.uniform(0.7, 1.3, frames))
    path = draw_path(motion, rng, size=size, frames=frames)
    mask = draw_thing(clip, path, make_texture(rng, colour=1.0), rng, brightness_T=np.ones(frames))
    return DemoClip(clip, mask)


def draw_path(motion: str, rng: Generator, *, size: int, frames: int) -> Path2D:
    """Return the way around the picture from a random place, at the speed of the class."""
    pixels_per_frame = MOTIONS[motion] * size / (PLACES * STRIDE_FRAMES)
    start_y, start_x = rng.uniform(0, size, 2)
    place = shaken(np.stack([np.full(frames, start_y), start_x + pixels_per_frame * np.arange(frames)], 1), rng, size)
    return Path2D(place[:, 0], place[:, 1], rng.uniform(0, 2 * np.pi))


def shaken(place_T2: NDArray[np.float64], rng: Generator, size: int) -> NDArray[np.float64]:
    """Move every frame's place a little, independently of its neighbours."""
    return place_T2 + rng.uniform(-1, 1, place_T2.shape) * size / 96


def draw_background(rng: Generator, *, size: int, frames: int) -> NDArray[np.uint8]:
    """Return (T, Y, X, 3): a muted texture, shaken as if by hand."""
    texture = make_texture(rng, colour=0.15, cells=int(rng.integers(5, 9)), size=size)
    shift_T2 = rng.integers(-4, 5, (frames, 2)) * size // 96
    rows_TY = (np.arange(size) + shift_T2[:, :1]) % size
    columns_TX = (np.arange(size) + shift_T2[:, 1:]) % size
    return texture[rows_TY[:, :, None], columns_TX[:, None, :]]


def make_texture(rng: Generator, *, colour: float, cells: int = 5, size: int = 64) -> NDArray[np.uint8]:
    """Return a (size, size, 3) smooth random texture without seams between two tones; `colour` 0 is grey, 1 is vivid."""
    noise = np.tile(rng.integers(0, 256, (cells, cells), dtype=np.uint8), (3, 3))
    smooth = np.asarray(Image.fromarray(noise).resize((3 * size, 3 * size), Image.Resampling.BICUBIC))[size : 2 * size, size : 2 * size]
    weight = np.clip((smooth.astype(np.float32) / 255 - 0.5) * 2.5 + 0.5, 0, 1)[..., None]
    hue = rng.uniform(0, 1)
    dark, light = (vivid(hue + shift, value) * colour + value * (1 - colour) for shift, value in ((0, 80.0), (0.35, 190.0)))
    return np.asarray(dark * (1 - weight) + light * weight, np.uint8)


def vivid(hue: float, value: float) -> NDArray[np.float64]:
    """Return a saturated RGB colour around a brightness."""
    wheel = np.cos(2 * np.pi * (hue - np.arange(3) / 3))
    return np.clip(value + 90 * wheel, 0, 255)


def draw_thing(
    clip: NDArray[np.uint8], path: Path2D, texture: NDArray[np.uint8], rng: Generator, *, brightness_T: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Draw a textured, lobed thing into `clip` along a path; return exactly its pixels as (T, Y, X)."""
    frames, size = clip.shape[0], clip.shape[1]
    radius, lobes, depth = rng.uniform(11, 16) * size / 96, int(rng.integers(2, 6)), rng.uniform(0, 0.3)
    reach = np.arange(-int(1.3 * radius) - 1, int(1.3 * radius) + 2)
    rows_TY = np.floor(path.y)[:, None].astype(np.int64) + reach
    columns_TX = np.floor(path.x)[:, None].astype(np.int64) + reach
    y_TYX, x_TYX = (rows_TY - path.y[:, None])[:, :, None], (columns_TX - path.x[:, None])[:, None, :]
    cos, sin = np.cos(path.angle), np.sin(path.angle)
    own_x, own_y = cos * x_TYX + sin * y_TYX, cos * y_TYX - sin * x_TYX
    outline = radius * (1 + depth * np.cos(lobes * np.arctan2(own_y, own_x)))
    frame, row, column = np.nonzero(own_x**2 + own_y**2 < outline**2)
    cells = texture[tuple((own[frame, row, column] / radius * 24).astype(np.int64) % len(texture) for own in (own_y, own_x))]
    place = (frame, rows_TY[frame, row] % size, columns_TX[frame, column] % size)
    clip[place] = np.clip(cells * brightness_T[frame, None], 0, 255).astype(np.uint8)
    mask = np.zeros((frames, size, size), np.bool_)
    mask[place] = True
    return mask
