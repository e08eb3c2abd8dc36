"""Videos named on the command line: files, folders of frames, and folders that hold either."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from cli.progress import progress_bar


class NamedVideo(NamedTuple):
    """A video, and where what is made of it belongs."""

    path: Path
    name: Path
    """Relative path without ending: that within the folder that was given, or the file's own name."""


def find_videos(given: list[Path]) -> list[NamedVideo]:
    """Return the videos that are meant, in order; those in folders by the suffixes of videos.

    Where two would be one name, the ending belongs to it, and where that does not help, the folder. FileNotFoundError for a path
    that is not there, and ValueError for a folder without videos.
    """
    from objabn.data.sources.found import DEEPEST, is_frame_folder, walk

    found: dict[Path, Path] = {}
    for path in given:
        if not path.is_dir() or is_frame_folder(path):
            found.setdefault(path, Path(path.name or path.resolve().name))
            continue
        inside = list(walk(path, DEEPEST))
        if not inside:
            raise ValueError(f"{path} holds no videos; give videos, folders of them, or a folder of numbered pictures.")
        found |= {video: video.relative_to(path) for video in inside if video not in found}
    return [NamedVideo(path, name) for path, name in zip(found, distinct_names(found), strict=True)]


def distinct_names(found: dict[Path, Path]) -> list[Path]:
    """Return a name for each video, as short as it can be."""
    from objabn.data.sources.found import without_suffix

    short = [Path(without_suffix(str(name))) for name in found.values()]
    often, often_full = Counter(short), Counter(found.values())
    names = [name if often[name] == 1 else full for name, full in zip(short, found.values(), strict=True)]
    alike = [path for path, full in found.items() if often_full[full] > 1]
    return [name if path not in alike else last_parts(path, alike) for path, name in zip(found, names, strict=True)]


def last_parts(path: Path, others: list[Path]) -> Path:
    """Return as many of a path's last names as tell it from others."""
    parts, rest = path.resolve().parts, {other.resolve().parts for other in others if other != path}
    length = next((n for n in range(1, len(parts)) if all(other[-n:] != parts[-n:] for other in rest)), len(parts) - 1)
    return Path(*parts[-length:])


def refuse_absent(videos: list[NamedVideo]) -> None:
    """Raise FileNotFoundError for the first video that is not there."""
    from objabn.files import is_there

    for video in videos:
        if not is_there(video.path):
            raise FileNotFoundError(f"There is no video {video.path}.")


def with_bar(videos: list[NamedVideo], text: str) -> Iterator[tuple[NamedVideo, Callable[[float], None]]]:
    """Yield the videos under a progress bar, each with what is to be told how much of it is done."""
    with progress_bar(text, unit="videos") as on_progress:
        for number, video in enumerate(videos):

            def on_share(share: float, number: int = number) -> None:
                on_progress(number + share, len(videos))

            on_share(0)
            yield video, on_share
