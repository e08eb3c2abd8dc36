"""Which videos a folder explains already, and whether the same would come of explaining them again."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from objabn.config import DataConfig
from objabn.explainers.explained_video import ExplainedVideo, with_ending
from objabn.explainers.video_settings import VideoSettings
from objabn.models.storage import clip_settings


def fingerprint(weights: str, data: DataConfig, settings: VideoSettings, video: Path) -> str:
    """Return what an explanation is made of as one word: weights (their `file_digest`), settings, and the video as it is now."""
    paths = sorted(video.iterdir()) if video.is_dir() else [video]
    state = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    said = [weights, clip_settings(data), dataclasses.asdict(settings), str(video.resolve()), state]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode(errors="surrogateescape")).hexdigest()[:32]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_explanation(target: Path, made_by: str) -> ExplainedVideo | None:
    """Return the explanation that is there if it is whole and made as this word of `fingerprint` says."""
    about = read_about(target)
    if about is None or about["made_by"] != made_by:
        return None
    files = tuple(target.parent / name for name in about["files"])
    best = about["prediction"][0]
    return ExplainedVideo(best["class"], best["probability"], files) if all(file.is_file() for file in files) else None


def explains_another(target: Path, video: Path) -> bool:
    """Tell whether what stands under a name explains another video."""
    about = read_about(target)
    return about is not None and Path(about["video"]).resolve() != video.resolve()


def read_about(target: Path) -> dict[str, Any] | None:
    """Return the JSON of a finished explanation, or None."""
    try:
        found = json.loads(with_ending(target, ".json").read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"video", "files", "made_by", "prediction"} <= set(found) else None
