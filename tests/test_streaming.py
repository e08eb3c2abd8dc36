"""Means over views, then videos: by hand, and equal to the last bit however clips are batched, ordered and shared among ranks."""

import json
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from objabn.metrics.streaming import VideoMeans

ROOT = Path(__file__).parents[1]
Row = tuple[int, int, dict[str, float]]


def rows(count: int = 40) -> list[Row]:
    """Clips of nine videos, some without a view or a value."""
    numbers = random.Random(0)
    return [(row % 9, row // 9, {"iou": numbers.random(), "gap": float("nan") if row % 5 else numbers.random()}) for row in range(count)]


def added(found: VideoMeans, batches: list[list[Row]]) -> VideoMeans:
    for batch in batches:
        videos, views, values = zip(*batch, strict=True)
        found.update(
            torch.tensor(videos),
            {name: torch.tensor([each[name] for each in values], dtype=torch.float64) for name in values[0]},
            torch.tensor(views),
        )
    return found


def test_means_by_hand() -> None:
    found = VideoMeans()
    nan = float("nan")
    found.update(torch.tensor([7, 7, 3]), {"iou": torch.tensor([1.0, 2.0, nan]), "none": torch.full((3,), nan)}, torch.tensor([0, 1, 0]))
    found.update(torch.tensor([3]), {"iou": torch.tensor([4.0]), "flat": torch.tensor([True])}, torch.tensor([1]))
    # Video 7 has 1.5, video 3 has 4; weighed by views it would be 7/3.
    assert found.compute() == {"iou": 2.75, "flat": 1.0}
    assert found.per_video() == {"iou": {3: 4.0, 7: 1.5}, "flat": {3: 1.0}}
    found.reset()
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        assert found.compute() == {}


def test_no_order_and_no_batch_changes_a_bit() -> None:
    straight = added(VideoMeans(), [rows()])
    expected = straight.compute(), straight.per_video()
    for size in (1, 3, 7):
        shuffled = rows()
        random.Random(size).shuffle(shuffled)
        found = added(VideoMeans(), [shuffled[start : start + size] for start in range(0, 40, size)])
        assert (found.compute(), found.per_video()) == expected


def test_clips_that_came_twice_count_once() -> None:
    expected = added(VideoMeans(), [rows()]).compute()
    assert added(VideoMeans(), [rows(), rows()[:5], rows()[3:4]]).compute() == expected
    found = VideoMeans()
    found.update(torch.tensor([1, 1, 2]), {"iou": torch.tensor([0.5, 0.5, 0.2])})
    assert found.per_video() == {"iou": {1: 0.5, 2: pytest.approx(0.2)}}, "without views a video has one"


def test_parts_merge_and_travel() -> None:
    first, second = added(VideoMeans(), [rows()[:15]]), added(VideoMeans(), [rows()[15:]])
    first.merge_state(pickle.loads(pickle.dumps(second)))
    assert first.compute() == added(VideoMeans(), [rows()]).compute()


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match=r"iou has \(2,\) values for \(3,\) videos"):
        VideoMeans().update(torch.arange(3), {"iou": torch.zeros(2)})
    with pytest.raises(ValueError, match="names have 1 to 64 bytes"):
        VideoMeans().update(torch.arange(1), {"x" * 65: torch.zeros(1)})


RANK = """
import json, sys
import torch
from torch import distributed
from test_streaming import added, rows
from objabn.metrics.streaming import VideoMeans

rank, world, meeting = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
shared = rows()
found = VideoMeans()
# The second rank repeats a clip of the first, as the last batch does; the third sees none, and the names of the first are its own.
added(found, [[shared[:25][::-1], shared[24:], []][rank]] if rank < 2 else [])
if rank == 0:
    found.update(torch.tensor([1]), {"only here": torch.tensor([0.5])})
print(json.dumps([found.compute(), {name: list(means.items()) for name, means in found.per_video().items()}, found.compute()]))
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_ranks_that_saw_parts_or_nothing_have_the_same_numbers(tmp_path: Path) -> None:
    whole = added(VideoMeans(), [rows()])
    whole.update(torch.tensor([1]), {"only here": torch.tensor([0.5])})
    expected = [whole.compute(), {name: [list(pair) for pair in means.items()] for name, means in whole.per_video().items()}]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), "3", str(tmp_path / "meeting")], env=environment, stdout=subprocess.PIPE, text=True
        )
        for rank in range(3)
    ]
    try:
        printed = [process.communicate(timeout=300)[0] for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    assert [json.loads(each.splitlines()[-1]) for each in printed] == [[*expected, expected[0]]] * 3


@pytest.mark.slow  # a process of its own
def test_importing_metrics_does_not_import_torchmetrics() -> None:
    code = "import sys; import objabn.metrics, objabn.faithfulness; print('torchmetrics' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout == "False\n"
