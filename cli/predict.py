"""`objabn predict`: what a network says of videos, of all videos in folders, or of a camera, as one line of JSON each."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from cli.completion import complete_run
from cli.evaluate import clips_and_crops
from cli.explain import clips_asked
from cli.videos import with_bar

if TYPE_CHECKING:
    from cli.videos import NamedVideo
    from objabn.config import DataConfig
    from objabn.explainers.camera import Camera
    from objabn.explainers.windows import Clips
    from objabn.models.network import AttentionNetwork
    from objabn.prediction import VideoAnswer


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or a model.safetensors.", autocompletion=complete_run)],
    videos: Annotated[list[str], typer.Argument(help="Videos, folders of them, or a camera: 0 or /dev/video0.")],
    *,
    top: Annotated[int, typer.Option(min=1, help="How many classes, the likeliest first.")] = 5,
    clips: Annotated[str | None, typer.Option(help="centre, all, or how many, evenly spread, each with scores of its own.")] = None,
    views: Annotated[str | None, typer.Option(help="CLIPSxCROPS as of evaluate; otherwise the run's own.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the lines to this file, each as soon as it is there.")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="last or best; otherwise best, or last where there is no best.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
) -> None:
    """Print the likeliest classes of each video, one line of JSON for each; a camera is asked until Ctrl-C.

    Example: objabn predict runs/ucf101-x3d_m-object_abn3 my_videos | jq .class
    """
    from cli.compose import open_run
    from cli.videos import find_videos, refuse_absent
    from objabn.explainers.camera import OpenCamera, device_of, is_camera
    from objabn.explainers.windows import refuse_whole_videos
    from objabn.training.precision import resolve_device

    if clips and views:
        raise ValueError("--clips and --views both say which clips are seen; give one of them.")
    is_live = any(map(is_camera, videos))
    if is_live and (len(videos) > 1 or clips or views):
        raise ValueError("A camera stands alone, without --clips and --views: its clips follow each other until Ctrl-C.")
    asked, chosen = clips_asked(clips), views_asked(views) if views else None
    net, data = open_run(run, checkpoint)
    if is_live or asked == "all":
        refuse_whole_videos(data)
    camera = OpenCamera(device_of(videos[0])) if is_live else None
    refuse_absent(found := [] if is_live else find_videos([Path(video) for video in videos]))
    net.to(resolve_device(device))
    own = chosen or data.views
    with lines_to(out) as write:
        asking = Asking(net=net, data=data, top=top, clips=asked or own[0], crops=1 if asked else own[1], shows_clips=asked is not None)
        if camera is not None:
            asking.camera(camera, videos[0], write)
        else:
            asking.videos(found, write)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """How a network is asked."""

    net: "AttentionNetwork"
    data: "DataConfig"
    top: int
    clips: "Clips"
    crops: int
    shows_clips: bool

    def videos(self, videos: "list[NamedVideo]", write: Callable[[dict[str, Any]], None]) -> None:
        """Write a line for each video, with the reason for one that cannot be read; a RuntimeError counts those at the end."""
        from objabn.data.video import UnreadableVideoError
        from objabn.prediction import predict_video

        failed = 0
        for video, on_progress in with_bar(videos, "Predicting"):
            try:
                answer = predict_video(self.net, video.path, self.data, clips=self.clips, crops=self.crops, on_progress=on_progress)
                write({"video": str(video.path)} | self.described(answer))
            except UnreadableVideoError as error:
                failed += 1
                write({"video": str(video.path), "error": str(error)})
        if failed:
            raise RuntimeError(f"{failed} of {len(videos)} videos cannot be read.")

    def described(self, answer: "VideoAnswer") -> dict[str, Any]:
        """Return what a line holds of a video beside its path."""
        length = {"frames": answer.frames, "seconds": round(answer.seconds, 3)}
        if not self.shows_clips:
            return self.scored(answer.probabilities) | length
        clips = [
            {"frames": [clip.first_frame, clip.last_frame], "seconds": [round(clip.begin, 3), round(clip.end, 3)]}
            | self.scored(clip.probabilities)
            for clip in answer.clips
        ]
        return self.scored(answer.probabilities) | length | {"clips": clips}

    def scored(self, probabilities_K: Any) -> dict[str, Any]:
        """Return the likeliest class, and those after it."""
        from objabn.prediction import class_names_of, likeliest

        top = likeliest(class_names_of(self.net), probabilities_K, top=self.top)
        return {"class": top[0]["class"], "probability": top[0]["probability"], "top": top}

    def camera(self, camera: "Camera", name: str, write: Callable[[dict[str, Any]], None]) -> None:
        """Write a line for each clip of a camera until it ends, or until Ctrl-C, which is the way to end it."""
        from objabn.explainers.windows import slide
        from objabn.prediction import answers

        try:
            for clip in answers(self.net, slide(camera.moments(), self.data, camera.fps), self.data):
                write({"video": name, "seconds": [round(clip.begin, 3), round(clip.end, 3)]} | self.scored(clip.probabilities))
        except SystemExit as ending:
            if ending.code != 130:
                raise


@contextmanager
def lines_to(out: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield what writes one line of JSON at a time, to a file or to the standard output, where whoever reads it has it at once."""

    def writer(file: TextIO) -> Callable[[dict[str, Any]], None]:
        return lambda values: print(json.dumps(values), file=file, flush=True)

    if out is None:
        yield writer(sys.stdout)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w") as file:
        yield writer(file)


def views_asked(views: str) -> tuple[int, int]:
    """Return --views as two numbers of at least 1."""
    clips, crops = map(int, clips_and_crops(views).split(","))
    if min(clips, crops) < 1:
        raise ValueError(f"--views {views} is not possible; both numbers must be at least 1.")
    return clips, crops
