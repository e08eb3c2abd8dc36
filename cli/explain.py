"""`objabn explain`: where a network looks in videos, as a film, a GIF, a picture and the maps themselves for each."""

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.completion import complete_run
from cli.errors import printable
from cli.videos import with_bar

if TYPE_CHECKING:
    from cli.videos import NamedVideo
    from objabn.config import DataConfig
    from objabn.explainers.explained_video import ExplainedVideo
    from objabn.explainers.video_settings import VideoSettings
    from objabn.explainers.windows import Clips
    from objabn.models.network import AttentionNetwork


def explain(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or a model.safetensors.", autocompletion=complete_run)],
    videos: Annotated[list[Path], typer.Argument(help="Video files, folders of frames, or folders of either.")],
    *,
    method: Annotated[str, typer.Option(help="One or several, with commas: attention,gradcam,3dcam, ...")] = "attention",
    explained: Annotated[
        str, typer.Option("--class", help="predicted, true (the folder's name), or a class by name or number.")
    ] = "predicted",
    clips: Annotated[str | None, typer.Option(help="centre, all, or a number; otherwise all for attention, centre for the rest.")] = None,
    layer: Annotated[str | None, typer.Option(help="Module to look at, otherwise the last with places; attended: behind the maps.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Steps of the extremal perturbations.")] = None,
    areas: Annotated[str | None, typer.Option(help="Shares of the clip that their masks cover: 0.05,0.1")] = None,
    formats: Annotated[str, typer.Option("--format", help="What to write; NAME.json is always.")] = "png,mp4,gif,maps",
    opacity: Annotated[float, typer.Option(help="Of heat, from 0 to 1.")] = 0.5,
    threshold: Annotated[float, typer.Option(help="Where contours run between a map's lowest and highest value, from 0 to 1.")] = 0.5,
    out: Annotated[Path | None, typer.Option(help="Otherwise RUN/explanations, or ./explanations.")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="last or best; otherwise best, or last where there is no best.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make anew what is there, and replace other videos' of the same name.")
    ] = False,
) -> None:
    """Draw where the network looks in each video: NAME.png, NAME.mp4, NAME.gif, and the maps in NAME.safetensors.

    What is there and would become the same is left. Example: objabn explain runs/ucf101-x3d_m-object_abn3 my_video.mp4
    """
    from cli.compose import open_run
    from cli.videos import find_videos, refuse_absent
    from objabn.explainers.video_settings import VideoSettings
    from objabn.training.precision import resolve_device

    settings = VideoSettings(
        methods=words(method),
        clips=clips_asked(clips),
        layer=layer,
        iterations=iterations,
        areas=None if areas is None else shares(areas),
        formats=words(formats),
        opacity=opacity,
        threshold=threshold,
    )
    refuse_absent(found := find_videos(videos))
    net, data = open_run(run, checkpoint)
    settings.clips_for(data)
    per_video = [dataclasses.replace(settings, explained=explained_class(explained, video.path, net)) for video in found]
    net.to(resolve_device(device))
    folder = out or (run if run.is_dir() else Path()) / "explanations"
    task = Task(net=net, data=data, weights=weights_digest(run, checkpoint), folder=folder, overwrite=overwrite)
    explain_all(task, found, per_video)


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What is the same for all videos."""

    net: "AttentionNetwork"
    data: "DataConfig"
    weights: str
    """Digest of the model file."""
    folder: Path
    overwrite: bool

    def explain(self, video: "NamedVideo", settings: "VideoSettings", on_progress: Callable[[float], None]) -> "ExplainedVideo":
        """Return the explanation of a video, which is made unless it is there."""
        from objabn.explainers.explained_video import explain_video
        from objabn.explainers.finished import explains_another, find_explanation, fingerprint

        target = self.folder / video.name
        made_by = fingerprint(self.weights, self.data, settings, video.path)
        if not self.overwrite:
            if (found := find_explanation(target, made_by)) is not None:
                return found
            if explains_another(target, video.path):
                raise ValueError(f"{target}.json explains another video of this name; choose another --out, or add --overwrite.")
        refuse_to_replace(video.path, target, settings)
        return explain_video(self.net, video.path, self.data, target, settings, made_by=made_by, on_progress=on_progress)


def explain_all(task: Task, videos: "list[NamedVideo]", settings: "list[VideoSettings]") -> None:
    """Explain one video after the other; those that cannot be read are named, and a RuntimeError counts them at the end."""
    from objabn.data.video import UnreadableVideoError
    from objabn.files import claimed

    failed = 0
    with claimed(task.folder):
        for (video, on_progress), of_video in zip(with_bar(videos, "Explaining"), settings, strict=True):
            try:
                print(said(video, task.explain(video, of_video, on_progress)))
            except UnreadableVideoError as error:
                if len(videos) == 1:
                    raise
                failed += 1
                print(printable(str(error)), file=sys.stderr)
    if failed:
        raise RuntimeError(f"{failed} of {len(videos)} videos cannot be read and were left out.")


def said(video: "NamedVideo", found: "ExplainedVideo") -> str:
    """Return what is to be said about a video."""
    title = f"{video.path.name}: {found.label}  {100 * found.probability:.1f} %"
    return "\n".join(printable(line) for line in (title, *(f"  {path}" for path in found.files)))


def refuse_to_replace(video: Path, target: Path, settings: "VideoSettings") -> None:
    """Raise ValueError where a file to be written is the video itself."""
    from objabn.explainers.explained_video import with_ending
    from objabn.explainers.video_settings import FORMATS

    for name in settings.formats:
        if with_ending(target, FORMATS[name]).resolve() == video.resolve():
            raise ValueError(f"{video} would be replaced by its own explanation; choose another folder with --out.")


def explained_class(asked: str, video: Path, net: "AttentionNetwork") -> int | str | None:
    """Return the class to be explained in a video: None is the predicted one, and a name goes before a number."""
    names = net.class_names or ()
    if asked in names:
        return asked
    if asked == "predicted":
        return None
    if asked == "true":
        name = video.resolve().parent.name
        if name not in names:
            raise ValueError(
                f"--class true takes the class from the folder of a video, and {name}, that of {video}, is none; name the class."
            )
        return name
    if asked.isdecimal() and int(asked) < net.classes:
        return int(asked)
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    raise ValueError(
        f"--class {asked} is none; give predicted, true, a number below {net.classes}" + (f", or one of {shown}." if shown else ".")
    )


def weights_digest(run: Path, checkpoint: str | None) -> str:
    """Return the digest of the model file that `open_run` reads."""
    from cli.compose import find_run_model
    from objabn.checkpoint import find_model
    from objabn.explainers.finished import file_digest
    from objabn.models.model_files import model_file

    is_run = checkpoint is not None or find_model(run) is not None
    return file_digest(find_run_model(run, checkpoint)[0] if is_run else model_file(run))


def clips_asked(text: str | None) -> "Clips | None":
    """Return --clips as `VideoSettings` takes it."""
    if text in (None, "all"):
        return None if text is None else "all"
    if text == "centre" or text.isdecimal():
        return 1 if text == "centre" else int(text)
    raise ValueError(f"--clips {text} is not possible; give centre, all, or a number of clips.")


def words(text: str) -> tuple[str, ...]:
    """Return what stands between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def shares(text: str) -> tuple[float, ...]:
    """Return --areas as numbers."""
    try:
        return tuple(float(word) for word in words(text))
    except ValueError:
        raise ValueError(f"--areas {text} is not possible; give numbers between 0 and 1 with commas, such as 0.05,0.1.") from None
