"""Where things are: packed datasets by name under one folder."""

from pathlib import Path
from typing import Annotated

import typer

from cli.progress import progress_bar

DataOption = Annotated[Path, typer.Option("--data", envvar="OBJABN_DATA", help="Folder of the packed datasets.")]


def dataset_folder(name_or_path: str, data_root: Path) -> Path:
    """Return the folder of a packed dataset: `data_root`/NAME, or the path of one; `demo` is made, or completed.

    FileNotFoundError where there is none.
    """
    if name_or_path == "demo":
        return make_demo(data_root / "demo")
    folder = find_dataset(name_or_path, data_root)
    if folder is not None:
        return folder
    known = sorted(path.parent.name for path in data_root.glob("*/manifest.json"))
    present = f"{data_root} holds {', '.join(known)}" if known else f"{data_root} holds none yet"
    raise FileNotFoundError(f"There is no packed dataset {name_or_path!r} ({present}); make it with `objabn prepare {name_or_path}`.")


def find_dataset(name_or_path: str, data_root: Path) -> Path | None:
    """Return the folder of a packed dataset that is there, by its name, its path, or the folder or CSV that it was packed from."""
    folders = [data_root / name_or_path, Path(name_or_path)]
    source = Path(name_or_path)
    if source.exists():
        folders.append(data_root / (source.stem if source.suffix.lower() == ".csv" else source.resolve().name))
    return next((folder for folder in folders if (folder / "manifest.json").is_file()), None)


def dataset_name(name_or_path: str, data_root: Path) -> str:
    """Return the name a dataset was packed under, which its folder need not have; that of the folder where there is none yet."""
    from objabn.data.shards import read_manifest

    folder = find_dataset(name_or_path, data_root)
    return Path(name_or_path).name if folder is None else str(read_manifest(folder / "manifest.json", "prepare").get("name", folder.name))


def is_same_dataset(first: str, second: str, data_root: Path) -> bool:
    """Say whether two names or paths mean one packed dataset."""
    found = [find_dataset(name_or_path, data_root) for name_or_path in (first, second)]
    return first == second or (None not in found and len({folder.resolve() for folder in found if folder is not None}) == 1)


def make_demo(folder: Path) -> Path:
    """Draw, pack and mask the demo dataset, unless it is there."""
    from objabn.data import demo

    with progress_bar("Drawing demo", unit="videos") as on_progress:
        packed = demo.make_demo(folder, on_progress=on_progress)
    print(f"{folder} holds {len(packed)} synthetic videos with exact masks.")
    return folder
