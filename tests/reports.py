"""Made-up runs for reports, without any network: predictions, a log, clips of coloured frames with maps that move."""

import dataclasses

import numpy as np
import torch
from toys import toy_config

from objabn.reporting import Predictions, ReportedRun, VideoPrediction
from objabn.reporting.clips import ShownClip, encoded_map, sprite

HOSTILE = '</script><script>window.hurt = 1</script><img src=x onerror="window.hurt = 1">'
FRAMES = 4


def prediction(video: int, label: int, probabilities: list[float], entropy: dict[str, float] | None = None) -> VideoPrediction:
    """What a network said of one video, with the probabilities of all classes."""
    order = sorted(range(len(probabilities)), key=lambda number: -probabilities[number])
    return VideoPrediction(
        name=f"class {label}/video {video}.mp4",
        video=video,
        label=label,
        predicted=order[0],
        probability=probabilities[label],
        top=[(number, probabilities[number]) for number in order[:5]],
        entropy=entropy or {},
        mask_iou={},
        pointing={},
    )


def predictions(videos: list[VideoPrediction], classes: tuple[str, ...], **evaluation: object) -> Predictions:
    """These videos as one run saw them."""
    right = [video.predicted == video.label for video in videos]
    values = {
        "dataset": "toys",
        "subset": "test",
        "checkpoint": "last",
        "videos": len(videos),
        "skipped": 0,
        "top1": 100 * sum(right) / len(videos),
        "top5": 100 * sum(video.label in dict(video.top) for video in videos) / len(videos),
        "nll": float(np.mean([-np.log(video.probability) for video in videos])),
        "entropy": {name: float(np.mean([video.entropy[name] for video in videos])) for name in videos[0].entropy},
        "grid": [2, 2],
        "views": 1,
    }
    return Predictions(source={"checkpoint": "last"}, evaluation=values | evaluation, classes=classes, videos=tuple(videos))


def toy_clip(seed: int, maps: tuple[str, ...] = ("M_u", "M_o")) -> ShownClip:
    """Four frames of noise around four colours, and maps whose bright cell goes round."""
    generator = np.random.default_rng(seed)
    frames_TYXC = (generator.integers(0, 60, (FRAMES, 32, 32, 3)) + 45 * np.arange(FRAMES)[:, None, None, None]).astype(np.uint8)
    cells_TYX = np.eye(FRAMES, dtype=np.float32).reshape(FRAMES, 2, 2)
    shown = [encoded_map(name, f"{name} 0.00 to 1.00", np.roll(cells_TYX, place, 0)) for place, name in enumerate(maps)]
    return ShownClip(sprite=sprite(frames_TYXC), frames=FRAMES, frames_per_second=10.0, maps=shown, weights=None)


def log_records(epochs: int = 3, steps: int = 4) -> list[dict]:
    """The log of a short training, as `fit` writes it."""
    records = []
    for epoch in range(1, epochs + 1):
        values = {
            "loss": 2.0 / epoch,
            "perception": 1.5 / epoch,
            "pc": 0.0,
            "top1": 30.0 * epoch,
            "clips_per_second": 8.0,
            "loader_wait": 25.0,
        }
        for step in range(steps * (epoch - 1) + 1, steps * epoch + 1):
            records.append({"event": "step", "epoch": epoch, "step": step, "learning_rate": 0.1, **values})
        records.append(
            {"event": "epoch", "epoch": epoch, "step": steps * epoch, **values, "test_top1": 20.0 * epoch, "test_nll": 1 / epoch}
        )
    return records


def toy_run(name: str = "toy", *, videos: int = 6, classes: tuple[str, ...] = ("a", "b"), seed: int = 0, **changes: object) -> ReportedRun:
    """A run with clips of all its videos."""
    generator = torch.Generator().manual_seed(seed)
    scores_VK = torch.rand(videos, len(classes), generator=generator).mul(3).softmax(1)
    of_videos = [
        prediction(number, number % len(classes), scores_K.tolist(), {"M_u": 3.0 - number / 100, "M_o": 2.0 + number / 50})
        for number, scores_K in enumerate(scores_VK)
    ]
    run = ReportedRun(
        name=name,
        config=toy_config(),
        records=log_records(),
        environment={"versions": {"objabn": "1"}, "hardware": {"cores": 2}},
        predictions=predictions(of_videos, classes),
        clips={number: toy_clip(number) for number in range(videos)},
    )
    return dataclasses.replace(run, **changes)
