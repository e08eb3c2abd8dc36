"""The DALI graph: encoded bytes, mask bits and regions of interest in; warped pixels of clip and mask out.

One graph serves both stores and all places. With the store `frames` a DALI sample is one frame, so that a batch of clips
decodes as B x T independent pictures; with `video` it is one clip. Only the decode node differs.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.pipeline import Pipeline

from dali_pipelines.decode_place import Place

Source = Callable[[], list[Any]]


def build_graph(
    source: Source,
    *,
    store: str,
    samples: int,
    clip_frames: int,
    crop_size: int,
    place: Place,
    device_id: int | None,
    threads: int,
    prefetch: int,
    has_colours: bool = False,
) -> Pipeline:
    """Build the pipeline that calls `source` for each batch.

    It gives encoded bytes, mask bits (frames, bytes), height and width of the packed frames, start and end of the region of
    interest, for videos frame numbers, and with `has_colours` matrix and offset of the colours. Outputs are uint8: pixels
    (samples, [T,] Y, X, 3) and mask (samples, [T,] Y, X, 1).
    """
    pipeline = clip_graph(
        source,
        store,
        clip_frames,
        crop_size,
        place,
        has_colours,
        batch_size=samples,
        num_threads=threads,
        device_id=device_id,
        prefetch_queue_depth=prefetch,
    )
    pipeline.build()
    return pipeline


@pipeline_def
def clip_graph(source: Source, store: str, clip_frames: int, crop_size: int, place: Place, has_colours: bool) -> tuple[Any, Any]:
    """Decode, then resize, crop and mirror clip and mask in one pass each over the same region of interest."""
    kinds = [(types.UINT8, 1), (types.UINT8, 2), (types.INT32, 1), (types.FLOAT, 1), (types.FLOAT, 1)]
    kinds += [] if store == "frames" else [(types.INT32, 1)]
    kinds += [(types.FLOAT, 2), (types.FLOAT, 1)] if has_colours else []
    dtypes, ndims = map(list, zip(*kinds, strict=True))
    inputs = fn.external_source(source=source, num_outputs=len(kinds), dtype=dtypes, ndim=ndims)
    encoded, bits, size_YX, roi_start, roi_end = inputs[:5]
    pixels = decode(encoded, None if store == "frames" else inputs[5], store=store, place=place)
    if place == "hybrid":
        pixels = pixels.gpu()
    mask = unpack(bits if place == "cpu" else bits.gpu(), size_YX, frames=None if store == "frames" else clip_frames)
    region = {"roi_start": roi_start, "roi_end": roi_end, "size": (crop_size, crop_size), "antialias": False}
    clip = fn.resize(pixels, interp_type=types.INTERP_LINEAR, **region)
    if has_colours:
        clip = fn.coord_transform(clip, M=inputs[-2], T=inputs[-1], dtype=types.UINT8)
    return clip, fn.resize(mask, interp_type=types.INTERP_NN, **region)


def decode(encoded: Any, frames: Any, *, store: str, place: Place) -> Any:
    """Decode pictures, or `frames` of pieces of video: ([T,] Y, X, 3) RGB at the size they were packed in."""
    device = "mixed" if place == "gpu" else "cpu"
    if store == "frames":
        # On a GPU chroma would otherwise be repeated, and colours differ by several grey levels from those of the CPU and the reader.
        return fn.decoders.image(encoded, device=device, output_type=types.RGB, jpeg_fancy_upsampling=True)
    return fn.decoders.video(encoded, device=device, frames=frames)


def unpack(bits: Any, size_YX: Any, *, frames: int | None) -> Any:
    """Turn the bits of each frame into a plane of 0 and 1, ([T,] Y, X, 1); what fills up its last byte is cut off."""
    weights = types.Constant(np.array([128, 64, 32, 16, 8, 4, 2, 1], np.uint8))
    pixels = fn.cast((fn.expand_dims(bits, axes=[2]) & weights) > 0, dtype=types.UINT8)
    rows = fn.slice(fn.reshape(pixels, shape=[frames or 1, -1]), 0, size_YX[0] * size_YX[1], axes=[1])
    leading = [] if frames is None else [types.Constant([frames])]
    shape = fn.cat(*leading, size_YX, types.Constant([1]))
    return fn.reshape(rows, shape=shape, layout="HWC" if frames is None else "FHWC")
