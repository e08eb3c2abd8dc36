"""A video explained from its file to its film: windows read, maps made, pictures drawn, all written whole or not at all."""

import glob
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from objabn.config import DataConfig
from objabn.explainers import explain
from objabn.explainers.explanation import Explanation
from objabn.explainers.film import Caption, FilmDrawer, shots
from objabn.explainers.overlay import Picture, strip
from objabn.explainers.recording import Recording
from objabn.explainers.video import film_writer, write_animation, write_picture
from objabn.explainers.video_settings import FORMATS, LEARN_A_MASK, VideoSettings
from objabn.explainers.windows import read_windows
from objabn.files import discard_unfinished, write_json
from objabn.models.network import AttentionNetwork
from objabn.prediction import class_names_of, likeliest

STRIP_FRAMES, GIF_FRAMES, GIF_WIDTH, GIF_MILLISECONDS = 8, 48, 800, 100
"""Frames of a picture and of a GIF at most, evenly spread; a GIF that leaves frames out shows each for a tenth of a second."""
READING = 0.6
"""Share of the time that reading and explaining take; the rest is drawing."""

OnShare = Callable[[float], None]
"""Called with how much is done, from 0 to 1."""


class ExplainedVideo(NamedTuple):
    """What was found in a video and where it is drawn."""

    label: str
    """The class predicted: that of the highest mean probability over the clips."""
    probability: float
    files: tuple[Path, ...]


def explain_video(
    net: AttentionNetwork,
    video: Path,
    data: DataConfig,
    target: Path,
    settings: VideoSettings | None = None,
    *,
    made_by: str = "",
    on_progress: OnShare | None = None,
) -> ExplainedVideo:
    """Explain a video and write `target` with the endings of the formats, and `target`.json last, when all others are whole.

    Memory does not grow with the length of the video; what waits to be drawn lies in a file beside the target. `made_by` goes into
    the JSON, `on_progress` is called with the share that is done. Raises as `read_windows` does, and ValueError as the methods do.
    """
    settings = settings or VideoSettings()
    target.parent.mkdir(parents=True, exist_ok=True)
    for ending in (*FORMATS.values(), ".json"):
        discard_unfinished(target.parent, glob.escape(with_ending(target, ending).name))
    clips = settings.clips_for(data)
    # The frames of a clip that reaches over a whole video may be minutes apart.
    pause = float("inf") if data.sampling == "stride" else 1.0
    with Recording(target.parent, clip_size=data.crop_size, is_continuous=clips == "all", longest_pause=pause) as recording:
        before = 0.0
        for window in read_windows(video, data, clips=clips):
            clip, told = window.clips(data.crop_size), part_of(on_progress, READING * before, READING * window.share)
            recording.add(window, clip, explain_clip(net, clip, settings, told))
            before = window.share
        return write_explanation(recording, video, target, settings, class_names_of(net), made_by=made_by, on_progress=on_progress)


def explain_clip(net: AttentionNetwork, clip_BCTYX: Tensor, settings: VideoSettings, on_share: OnShare) -> list[Explanation]:
    """Explain one clip by each method, with the options that it takes."""
    found, count = [], len(settings.methods)
    for number, method in enumerate(settings.methods):
        of_method = part_of(on_share, number / count, (number + 1) / count)
        options = mask_options(settings, of_method) if method in LEARN_A_MASK else {}
        found.append(explain(net, clip_BCTYX, method=method, classes=settings.explained, layer=settings.layer, **options))
        of_method(1.0)
    return found


def mask_options(settings: VideoSettings, on_share: OnShare) -> dict[str, Any]:
    """Return the options of a method that learns a mask."""
    return settings.options() | {"on_progress": lambda done, total: on_share(done / total)}


def part_of(on_share: OnShare | None, begin: float, end: float) -> OnShare:
    """Return what is to be told how much of a part is done, where the part goes from one share of the whole to another."""
    return lambda share: on_share(begin + share * (end - begin)) if on_share else None


def write_explanation(
    recording: Recording,
    video: Path,
    target: Path,
    settings: VideoSettings,
    class_names: Sequence[str],
    *,
    made_by: str,
    on_progress: OnShare | None,
) -> ExplainedVideo:
    """Write all files of a video whose windows are recorded."""
    mean_K = np.mean([window.probabilities for window in recording.windows], 0)
    best = int(mean_K.argmax())
    title = f"{class_names[best]}  {100 * mean_K[best]:.1f} %"
    files = {name: with_ending(target, FORMATS[name]) for name in FORMATS if name in settings.formats}
    if "mp4" in files or "gif" in files:
        caption = Caption(video.name, class_names, is_class_given=settings.explained is not None)
        drawer = FilmDrawer(recording, caption, opacity=settings.opacity, threshold=settings.threshold)
        write_films(drawer, files.get("mp4"), files.get("gif"), on_progress)
    if "png" in files:
        write_picture(files["png"], strip_of(recording, title, settings))
    about = {"video": str(video), "methods": settings.methods, "class_names": class_names}
    if "maps" in files:
        recording.write_maps(files["maps"], about)
    values = about | {"prediction": likeliest(class_names, mean_K, top=5), "clips": clips_described(recording, class_names)}
    write_json(with_ending(target, ".json"), values | {"files": [path.name for path in files.values()], "made_by": made_by})
    return ExplainedVideo(class_names[best], float(mean_K[best]), tuple(files.values()))


def write_films(drawer: FilmDrawer, mp4: Path | None, gif: Path | None, on_progress: OnShare | None) -> None:
    """Write the film of a video as MP4 and as GIF, going through its frames once."""
    every = shots(drawer.recording)
    in_gif = set(evenly(len(every), GIF_FRAMES))
    pictures: list[Image.Image] = []
    steps = np.diff([shot.film_seconds for shot in every])
    usual = float(np.median(steps)) if len(steps) else 1.0
    with film_writer(mp4, frames_per_second=Fraction(1 / usual).limit_denominator(1001)) if mp4 else nullcontext() as writer:
        chosen = every if mp4 else [every[number] for number in sorted(in_gif)]
        for number, (shot, picture_YXC) in enumerate(drawer.frames(chosen)):
            if writer is not None:
                writer.add(picture_YXC, shot.film_seconds)
            if gif is not None and (mp4 is None or number in in_gif):
                pictures.append(reduced(picture_YXC))
            if on_progress is not None:
                on_progress(READING + (1 - READING) * (number + 1) / len(chosen))
    if gif is not None:
        is_whole = len(pictures) == len(every)
        durations = [*np.rint(1000 * steps).astype(int).tolist(), round(1000 * usual)] if is_whole else [GIF_MILLISECONDS] * len(pictures)
        write_animation(gif, pictures, durations)


def reduced(picture_YXC: Picture) -> Image.Image:
    """Return a frame as it stands in a GIF: at most so wide, in 256 colours of its own."""
    image = Image.fromarray(picture_YXC)
    if image.width > GIF_WIDTH:
        image = image.resize((GIF_WIDTH, round(image.height * GIF_WIDTH / image.width)), Image.Resampling.LANCZOS)
    return image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def evenly(count: int, most: int) -> list[int]:
    """Return at most so many of `count` numbers from 0 on, evenly spread, the first among them."""
    return [place * count // most for place in range(most)] if count > most else list(range(count))


def strip_of(recording: Recording, title: str, settings: VideoSettings) -> Picture:
    """Return the figure of a video: frames evenly spread over it, and each map below them."""
    every = shots(recording)
    chosen = [every[number] for number in evenly(len(every), STRIP_FRAMES)]
    pictures_TYXC = np.stack([recording.pictures(shot.window)[shot.place] for shot in chosen])
    maps_NTYX = torch.from_numpy(np.stack([recording.maps(shot.window)[:, shot.place] for shot in chosen], 1))
    maps_NTYX = functional.interpolate(maps_NTYX, pictures_TYXC.shape[1:3], mode="bilinear")
    ranges = recording.ranges()
    return strip(
        pictures_TYXC,
        maps_NTYX.numpy(),
        recording.names,
        title=title,
        every=1,
        opacity=settings.opacity,
        contour=settings.threshold,
        ranges=ranges,
    )


def clips_described(recording: Recording, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each clip when it is and what the network says of it."""
    return [
        {
            "frames": [int(window.frames.min()), int(window.frames.max())],
            "seconds": [float(window.seconds.min()), float(window.seconds.max())],
            "explained": class_names[window.explained],
            "prediction": likeliest(class_names, window.probabilities, top=5),
        }
        for window in recording.windows
    ]


def with_ending(target: Path, ending: str) -> Path:
    """Return the file of a target: names may hold dots."""
    return target.with_name(target.name + ending)
