"""The default segmenter: instance masks of an Ultralytics network (AGPL-3.0, an extra of its own)."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from objabn.config import check
from objabn.data.masks import VideoMasks
from objabn.data.segment import Segmenter


class DescribedSegmenter(NamedTuple):
    """A segmenter and what is to be written down about it."""

    segmenter: Segmenter
    description: dict[str, Any]


def ultralytics_segmenter(
    name_or_path: str = "yolo26n-seg",
    *,
    confidence: float = 0.5,
    classes: Sequence[int] | None = None,
    device: str = "auto",
    image_size: int = 0,
) -> DescribedSegmenter:
    """Load a segmentation network by name (downloaded once) or from a `.pt` or `.onnx` file; `classes` None takes all 80 of COCO.

    The network sees frames with `image_size` pixels on the long side; 0 is their own size, at least 320. On clips of 320 x 240
    twice that cost three times as long and found no more.
    """
    check("confidence", confidence, 0 < confidence < 1, "between 0 and 1")
    network, path = load_network(name_or_path)
    place = choose_device(device)

    def run(frames: NDArray[np.uint8]) -> VideoMasks:
        results = network.predict(
            [np.ascontiguousarray(frame[..., ::-1]) for frame in frames],
            conf=confidence,
            classes=None if classes is None else list(classes),
            device=place,
            imgsz=image_size or max(320, math.ceil(max(frames.shape[1:3]) / 32) * 32),
            retina_masks=True,
            verbose=False,
        )
        return VideoMasks(*map(np.stack, zip(*(union(result, frames.shape[1:3]) for result in results), strict=True)))

    description = {
        "segmenter": path.stem,
        "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "confidence": confidence,
        "classes": "all" if classes is None else list(classes),
        "image_size": image_size or "frame",
    }
    return DescribedSegmenter(run, description)


def union(result: Any, shape: tuple[int, int]) -> tuple[NDArray[np.bool_], NDArray[np.uint16]]:
    """Return the union of all instances of one frame, and how many there are."""
    if result.masks is None:
        return np.zeros(shape, np.bool_), np.asarray(0, np.uint16)
    instances = result.masks.data
    check("size of a mask", tuple(instances.shape[1:]), tuple(instances.shape[1:]) == tuple(shape), f"that of its frame, {shape}")
    return (instances > 0.5).any(0).cpu().numpy(), np.asarray(len(instances), np.uint16)


def load_network(name_or_path: str) -> tuple[Any, Path]:
    """Load the network and tell where its weights are."""
    try:
        from ultralytics import YOLO  # noqa: PLC0415  (optional, AGPL, slow to import)
    except ImportError:
        raise RuntimeError(
            "The default segmenter needs Ultralytics: pip install 'objabn[masks]', or give your own masks with --from."
        ) from None
    path = Path(name_or_path)
    if not path.suffix:
        # A name: Ultralytics downloads to exactly the path it is given, else into the working folder.
        path = Path.home() / ".cache" / "objabn" / f"{name_or_path}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.is_file():
        raise FileNotFoundError(f"The segmenter {path} does not exist; give a name such as yolo26n-seg, or a .pt or .onnx file.")
    try:
        return YOLO(str(path), task="segment"), path
    except Exception as error:
        raise RuntimeError(f"The segmenter {name_or_path} could not be loaded ({error}); give the path of a .pt or .onnx file.") from None


def choose_device(device: str) -> str:
    """Return the device to run on; `auto` is the GPU where there is one."""
    import torch  # noqa: PLC0415  (only needed here)

    return device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
