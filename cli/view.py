"""`objabn view`: a local page on which one looks at videos, paints on a network's maps and sees it answer again."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from cli.completion import complete_run


def view(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or a model.safetensors.", autocompletion=complete_run)],
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes any that is free.")] = 8080,
    host: Annotated[str, typer.Option(help="127.0.0.1 or localhost; the page is for this machine alone.")] = "127.0.0.1",
    checkpoint: Annotated[str | None, typer.Option(help="last or best; otherwise best where it exists.")] = None,
    method: Annotated[str | None, typer.Option(help="Post-hoc methods to offer, a,b,...; otherwise all.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
) -> None:
    """Look at any video with a network on a local page: answers, maps, and maps that you edit.

    Example: objabn view runs/ucf101-x3d_m-object_abn3
    """
    if host not in ("127.0.0.1", "localhost"):
        raise ValueError(
            f"--host {host} is not possible; the page has no password and answers 127.0.0.1 alone. "
            f"From another machine, take `ssh -L {port}:127.0.0.1:{port}` to this one."
        )
    if find_spec("nicegui") is None:
        raise RuntimeError("The page needs NiceGUI, which is not installed; install objabn[view].")
    from tempfile import TemporaryDirectory

    from cli.compose import open_run
    from objabn.training.precision import resolve_device
    from objabn.viewing.server import reserve_port, serve

    methods = chosen_methods(method)
    place = resolve_device(device)
    holder = reserve_port(port)
    net, data = open_run(run, checkpoint)
    if not net.map_names:
        raise ValueError(
            f"{run} is of system {net.config.system} and draws no maps to paint on; `objabn explain {run} VIDEO --method gradcam` "
            "shows what it goes by."
        )
    from objabn.viewing.page import Viewer

    def on_ready(address: str) -> None:
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        if open_page:
            show_address(address)

    with TemporaryDirectory(prefix="objabn-view-") as folder, holder:
        serve(Viewer(net=net.to(place), data=data, title=run.resolve().name, methods=methods, folder=Path(folder)), holder, on_ready)


def chosen_methods(method: str | None) -> tuple[str, ...]:
    """Return the post-hoc methods of this list, or all; ValueError for one that there is not."""
    from objabn.explainers import METHODS, find_method

    names = [name for name in METHODS if name != "attention"] if method is None else [name.strip() for name in method.split(",")]
    for name in names:
        find_method(name)
    return tuple(name for name in names if name != "attention")


def show_address(address: str) -> None:
    """Open an address in the browser of a desktop; a browser within the terminal would take the terminal away."""
    import os
    import sys
    import webbrowser

    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)
