"""Small source videos for tests, written by PyAV: frame k is told apart from its neighbours by a bar at a place of its own."""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.pack import pack
from objabn.data.pack_shard import PackSettings
from objabn.data.sources import folder


def numbered_frames(frames: int, *, height: int = 48, width: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """Return (T, Y, X, 3): a smooth coloured ramp with a bright bar that moves 5 pixels a frame."""
    ramp = np.linspace(40, 160, width)[None, :, None] * np.array([1.0, 0.8, 0.6]) + np.linspace(0, 30, height)[:, None, None]
    pictures = np.repeat(ramp[None], frames, 0).astype(np.uint8)
    for number in range(frames):
        start = (5 * number + 7 * seed) % (width - 8)
        pictures[number, :, start : start + 8] = 230
    return pictures


def write_video(
    path: Path, pictures: NDArray[np.uint8], *, codec: str = "mpeg4", options: dict[str, str] | None = None, title: str = ""
) -> Path:
    """Write RGB pictures as a video of 25 frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = pictures.shape[2], pictures.shape[1], "yuv420p"
        if codec == "mpeg4":
            stream.codec_context.qmin = stream.codec_context.qmax = 2
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def class_folders(root: Path, *, frames: tuple[int, ...] = (9, 20, 12, 17)) -> Path:
    """Write one video per number of frames, alternating between the classes `b` and `A`."""
    for number, count in enumerate(frames):
        write_video(root / "bA"[number % 2] / f"v{number}.avi", numbered_frames(count, seed=number))
    return root


def packed(root: Path, tmp_path: Path, **settings: str) -> PackedDataset:
    """Pack class folders into `tmp_path/packed` in this process."""
    pack(folder(root), tmp_path / "packed", PackSettings(**settings), workers=1)
    return open_dataset(tmp_path / "packed")


def everything(root: Path) -> dict[str, bytes]:
    """Return the bytes of all files of a folder by name."""
    return {path.name: path.read_bytes() for path in sorted(root.iterdir()) if path.is_file()}
