"""Settings of clips: which are seen, and how they are cut out of videos."""

from dataclasses import dataclass
from typing import Literal

from objabn.config.checks import check, check_choices


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Which clips are seen, and how they are cut out of the videos."""

    dataset: str = "ucf101"
    """Name or folder of a packed dataset."""
    fold: int = 1
    """Official split, 1-based."""
    clip_frames: int = 16
    """Frames of a clip."""
    sampling: Literal["stride", "segments", "uniform"] = "stride"
    """`stride`: neighbours `stride_frames` apart; `segments`: one frame from each of `clip_frames` equal parts of the video, at random
    in training and the middle one in evaluation (TSN); `uniform`: equally spaced from the first frame, the same each time."""
    stride_frames: int = 4
    """Distance between neighbouring frames of a clip."""
    frames_per_second: float = 0.0
    """Rate at which `stride_frames` counts: videos of any other rate are read as if they had this one; 0 counts a video's own frames."""
    short_videos: Literal["repeat", "loop"] = "repeat"
    """With `stride`: what fills a clip from a video too short for it: its last frame again and again, or the video from its start."""
    short_side: tuple[int, int] = (256, 320)
    """Training: the short side is drawn uniformly from this range of pixels, both ends included."""
    eval_short_side: int = 256
    """Evaluation: the short side in pixels."""
    crop_size: int = 224
    """Side of the square crop in pixels: random in training, central in evaluation unless `views` asks for several."""
    views: tuple[int, int] = (1, 1)
    """Evaluation: clips of a video, spread evenly in time, and crops of each, spread evenly along the longer side."""
    augment: bool = True
    """Training: crops, flips and colours at random; false takes each clip as a single view of evaluation has it."""
    flip_probability: float = 0.5
    """Chance of a horizontal flip in training; 0 where left and right have a meaning."""
    colour_jitter: float = 0.0
    """Training: brightness, contrast and saturation of a clip are multiplied by factors from 1 - this to 1 + this."""
    colour_noise: float = 0.0
    """Training: a clip's colours are moved along the principal axes of ImageNet's, with this deviation in eigenvalues."""
    val_fraction: float = 0.0
    """Part of the training groups held out as the subset `val`."""
    repeat_epochs: int = 0
    """Training: the clips of the first so many epochs come again and again, so that their features can be kept; 0 draws new ones."""
    shots: int = 0
    """Training: so many videos of each class, drawn by `run.seed`; 0 takes all."""
    loader: Literal["dali", "reader"] = "dali"
    """`dali`, or `reader`: the same batches from PyAV and PyTorch, without DALI."""
    decode: Literal["auto", "cpu", "hybrid", "gpu"] = "auto"
    """Where DALI decodes and warps: `hybrid` decodes on the CPU and warps on the GPU; `auto` tries what the machine has."""
    threads: int = 0
    """Threads of the loader; 0 takes one per core, divided among the ranks on one machine."""
    prefetch: int = 2
    """Batches prepared ahead."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot give a clip."""
        check_choices("data", self)
        check("data.fold", self.fold, self.fold >= 1, "at least 1")
        check("data.clip_frames", self.clip_frames, self.clip_frames >= 1, "at least 1")
        check("data.stride_frames", self.stride_frames, self.stride_frames >= 1, "at least 1")
        low, high = self.short_side
        check("data.short_side", self.short_side, self.crop_size <= low <= high, f"low <= high, low >= crop_size={self.crop_size}")
        check("data.eval_short_side", self.eval_short_side, self.eval_short_side >= self.crop_size, f"at least crop_size={self.crop_size}")
        check("data.flip_probability", self.flip_probability, 0 <= self.flip_probability <= 1, "a number in [0, 1]")
        check("data.colour_jitter", self.colour_jitter, 0 <= self.colour_jitter <= 1, "a number in [0, 1]")
        check("data.colour_noise", self.colour_noise, self.colour_noise >= 0, "0 or more")
        check("data.frames_per_second", self.frames_per_second, self.frames_per_second >= 0, "0 (the video's own) or more")
        rate, has_stride = self.frames_per_second, self.sampling == "stride"
        check("data.frames_per_second", rate, has_stride or not rate, f"0 with sampling={self.sampling}")
        check("data.short_videos", self.short_videos, has_stride or self.short_videos == "repeat", f"repeat with sampling={self.sampling}")
        check("data.views", self.views, min(self.views) >= 1, "two numbers of at least 1: clips, crops")
        check("data.val_fraction", self.val_fraction, 0 <= self.val_fraction < 1, "a number in [0, 1)")
        check("data.repeat_epochs", self.repeat_epochs, self.repeat_epochs >= 0, "0 (new clips each epoch) or more")
        check("data.shots", self.shots, self.shots >= 0, "0 (all videos) or more")
        check("data.threads", self.threads, self.threads >= 0, "0 (one per core) or more")
        check("data.prefetch", self.prefetch, self.prefetch >= 1, "at least 1")
