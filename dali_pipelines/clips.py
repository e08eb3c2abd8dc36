"""The DALI graph: encoded bytes, mask planes and regions of interest in; warped pixels of clip and mask out.

One graph serves both stores and both devices. With the store `frames` a DALI sample is one frame, so that a batch of clips
decodes as B x T independent pictures; with `video` it is one clip. Only the decode node differs.
"""

from collections.abc import Callable
from typing import Any

from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.pipeline import Pipeline

Source = Callable[[], list[Any]]


def build_graph(
    source: Source, *, store: str, samples: int, crop_size: int, decode_device: str, device_id: int | None, threads: int, prefetch: int
) -> Pipeline:
    """Build the pipeline that calls `source` for each batch: encoded, mask, roi_start, roi_end, and for videos frame numbers.

    Outputs are uint8: pixels (samples, [T,] Y, X, 3) and mask (samples, [T,] Y, X, 1).
    """
    pipeline = clip_graph(
        source,
        store,
        crop_size,
        decode_device,
        batch_size=samples,
        num_threads=threads,
        device_id=device_id,
        prefetch_queue_depth=prefetch,
    )
    pipeline.build()
    return pipeline


@pipeline_def
def clip_graph(source: Source, store: str, crop_size: int, decode_device: str) -> tuple[Any, Any]:
    """Decode, then resize, crop and mirror clip and mask in one pass each over the same region of interest."""
    layout = "HWC" if store == "frames" else "FHWC"
    count = 4 if store == "frames" else 5
    inputs = fn.external_source(
        source=source,
        num_outputs=count,
        dtype=[types.UINT8, types.UINT8, types.FLOAT, types.FLOAT, types.INT32][:count],
        ndim=[1, len(layout), 1, 1, 1][:count],
        layout=["", layout, "", "", ""][:count],
    )
    encoded, mask, roi_start, roi_end = inputs[:4]
    if store == "frames":
        pixels = fn.decoders.image(encoded, device=decode_device, output_type=types.RGB)
    else:
        pixels = fn.decoders.video(encoded, device=decode_device, frames=inputs[4])
    if decode_device == "mixed":
        mask = mask.gpu()
    region = {"roi_start": roi_start, "roi_end": roi_end, "size": (crop_size, crop_size), "antialias": False}
    clip = fn.resize(pixels, interp_type=types.INTERP_LINEAR, **region)
    return clip, fn.resize(mask, interp_type=types.INTERP_NN, **region)
