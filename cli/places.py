"""Where things are: packed datasets by name under one folder."""

from pathlib import Path
from typing import Annotated

import typer

from cli.progress import progress_bar

DataOption = Annotated[Path, typer.Option("--data", envvar="OBJABN_DATA", help="Folder of the packed datasets.")]


def dataset_folder(name_or_path: str, data_root: Path) -> Path:
    """Return the folder of a packed dataset: `data_root`/NAME, or the path of one; `demo` is made where it is absent.

    FileNotFoundError where there is none.
    """
    for folder in (data_root / name_or_path, Path(name_or_path)):
        if (folder / "manifest.json").is_file():
            return folder
    if name_or_path == "demo":
        return make_demo(data_root / "demo")
    known = sorted(path.parent.name for path in data_root.glob("*/manifest.json"))
    present = f"{data_root} holds {', '.join(known)}" if known else f"{data_root} holds none yet"
    raise FileNotFoundError(f"There is no packed dataset {name_or_path!r} ({present}); make it with `objabn prepare {name_or_path}`.")


def make_demo(folder: Path) -> Path:
    """Draw, pack and mask the demo dataset, unless it is there."""
    from objabn.data import demo

    with progress_bar("Drawing demo", unit="videos") as on_progress:
        packed = demo.make_demo(folder, on_progress=on_progress)
    print(f"{folder} holds {len(packed)} synthetic videos with exact masks.")
    return folder
