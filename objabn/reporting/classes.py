"""Which classes a network knows and which it takes for which."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from objabn.reporting.predictions import VideoPrediction


class ClassCount(NamedTuple):
    """The videos of one class."""

    label: int
    right: int
    videos: int


class Confusion(NamedTuple):
    """A cell of the confusion matrix that is not empty."""

    label: int
    predicted: int
    videos: int


def class_counts(videos: Sequence[VideoPrediction]) -> list[ClassCount]:
    """Return how many videos of each class are right, for the classes that occur, by number."""
    total = Counter(video.label for video in videos)
    right = Counter(video.label for video in videos if video.predicted == video.label)
    return [ClassCount(label, right[label], total[label]) for label in sorted(total)]


def confusion(videos: Sequence[VideoPrediction]) -> list[Confusion]:
    """Return the cells of the confusion matrix that are not empty, by class and predicted class."""
    counts = Counter((video.label, video.predicted) for video in videos)
    return [Confusion(label, predicted, count) for (label, predicted), count in sorted(counts.items())]
