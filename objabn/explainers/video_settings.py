"""How a video is explained and drawn: what users choose, checked before anything is read."""

from dataclasses import dataclass
from typing import Any

from objabn.config import DataConfig
from objabn.config.checks import check
from objabn.explainers import find_method
from objabn.explainers.windows import Clips, refuse_whole_videos

FORMATS = {"png": ".png", "mp4": ".mp4", "gif": ".gif", "maps": ".safetensors"}
"""What can be written of a video, and how the files end; beside them a .json is written last."""
LEARN_A_MASK = ("extremal_perturbation", "st_extremal_perturbation")
"""Methods with `iterations` and `areas`, which tell how far they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSettings:
    """How videos are explained and drawn."""

    methods: tuple[str, ...] = ("attention",)
    """Keys of `objabn.explainers.METHODS`; the maps of all stand side by side in one film."""
    explained: int | str | None = None
    """Class to be explained, by number or name; otherwise the one predicted for each clip."""
    clips: Clips | None = None
    """As of `read_windows`; otherwise all for attention alone, where its clips can follow each other, and the centre for the rest."""
    layer: str | None = None
    """Module whose features are looked at; otherwise the last with places."""
    iterations: int | None = None
    """Of methods that learn a mask."""
    areas: tuple[float, ...] | None = None
    """Shares of a clip that such a mask may cover."""
    formats: tuple[str, ...] = tuple(FORMATS)
    """Keys of `FORMATS`."""
    opacity: float = 0.5
    """Of heat."""
    threshold: float = 0.5
    """Where contours run, between the lowest and the highest value of a map."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn, and options that no method takes."""
        for method in self.methods:
            find_method(method)
        for name in ("methods", "formats"):
            values = getattr(self, name)
            check(name, ",".join(values), 0 < len(values) == len(set(values)), "at least one, none of them twice")
        for name in self.formats:
            check("formats", name, name in FORMATS, f"one of {', '.join(FORMATS)}")
        check("opacity", self.opacity, 0 <= self.opacity <= 1, "a number in [0, 1]")
        check("threshold", self.threshold, 0 <= self.threshold <= 1, "a number in [0, 1]")
        check("clips", self.clips, self.clips in (None, "all") or int(self.clips) >= 1, "all, or a number of at least 1")
        for name in self.options():
            if not set(self.methods) & set(LEARN_A_MASK):
                raise ValueError(f"{name} belongs to {' and '.join(LEARN_A_MASK)}, not to {', '.join(self.methods)}; leave it out.")

    def options(self) -> dict[str, Any]:
        """Return the options that were given."""
        given = {"iterations": self.iterations, "areas": self.areas}
        return {name: value for name, value in given.items() if value is not None}

    def clips_for(self, data: DataConfig) -> Clips:
        """Return which clips are explained of videos that are read like this; ValueError where there cannot be all."""
        if self.clips == "all":
            refuse_whole_videos(data)
        if self.clips is not None:
            return self.clips
        return "all" if self.methods == ("attention",) and data.sampling == "stride" else 1
