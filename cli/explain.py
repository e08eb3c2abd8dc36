"""`objabn explain`: where a network looks in videos, as a picture and a film for each."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.completion import complete_run

if TYPE_CHECKING:
    from objabn.config import DataConfig
    from objabn.models.network import AttentionNetwork


def explain(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or a model.safetensors.", autocompletion=complete_run)],
    videos: Annotated[list[Path], typer.Argument(help="Video files.")],
    *,
    method: Annotated[str, typer.Option(help="attention: the network's own maps; 3dcam: what its stages say.")] = "attention",
    out: Annotated[Path | None, typer.Option(help="Otherwise RUN/explanations, or ./explanations.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
) -> None:
    """Draw where the network looks in the centre clip of each video: NAME.png and NAME.mp4.

    Example: objabn explain runs/ucf101-x3d_m-object_abn3 my_video.mp4
    """
    from cli.compose import open_run
    from objabn.training.precision import resolve_device

    net, data = open_run(run)
    net.to(resolve_device(device))
    folder = out or (run if run.is_dir() else Path()) / "explanations"
    folder.mkdir(parents=True, exist_ok=True)
    for video in videos:
        print(explain_video(net, data, video, folder, method))


def explain_video(net: "AttentionNetwork", data: "DataConfig", video: Path, folder: Path, method: str) -> str:
    """Write the picture and the film of one video, and return what is to be said about it."""
    from objabn import explainers
    from objabn.explainers.overlay import film, magnify, strip
    from objabn.explainers.video import read_centre_clip, write_film, write_picture

    clip, _, fps = read_centre_clip(video, data)
    explanation = explainers.explain(net, clip[None], method=method)
    probabilities_K = explanation.logits[0].softmax(0).cpu()
    best = int(probabilities_K.argmax())
    name = net.class_names[best] if net.class_names else f"class {best}"
    title = f"{name}  {100 * float(probabilities_K[best]):.1f} %"
    frames_TYXC = magnify(clip.permute(1, 2, 3, 0).numpy(), (1, 2))
    maps_NTYX = magnify(explanation.maps[0].cpu().numpy(), (2, 3))
    picture, movie = folder / f"{video.stem}.png", folder / f"{video.stem}.mp4"
    write_picture(picture, strip(frames_TYXC, maps_NTYX, explanation.names, title=title))
    write_film(movie, film(frames_TYXC, maps_NTYX, explanation.names, title=title), frames_per_second=fps)
    return f"{video.name}: {title}\n  {picture}\n  {movie}"
