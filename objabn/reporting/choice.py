"""Which videos are worth looking at: the best, the worst, the most confused, the surest mistakes, and some of each class."""

from collections.abc import Sequence
from statistics import fmean

from objabn.reporting.predictions import Predictions, VideoPrediction

Views = tuple[VideoPrediction, ...]
"""One video as each run sees it."""


def choose_videos(runs: Sequence[Predictions], count: int) -> dict[int, list[str]]:
    """Return at most `count` rows of the index, each with the names of the groups it was chosen for, in the order of the groups.

    Groups take turns, so that a small gallery has something of each; with several runs their mean decides. Only videos
    that every run has an answer to are chosen.
    """
    rankings = {group: ranking for group, ranking in ranked(shared_views(runs)).items() if ranking}
    if not rankings:
        return {}
    fair = -(-count // len(rankings))
    chosen: dict[int, list[str]] = {}
    for place in range(max(len(ranking) for ranking in rankings.values())):
        for group, ranking in rankings.items():
            if place >= len(ranking) or (place >= fair and group != "each class"):
                continue
            if ranking[place] in chosen:
                chosen[ranking[place]].append(group)
            elif len(chosen) < count:
                chosen[ranking[place]] = [group]
        if len(chosen) >= count:
            break
    return dict(sorted(chosen.items(), key=lambda item: list(rankings).index(item[1][0])))


def shared_views(runs: Sequence[Predictions]) -> list[Views]:
    """Return the videos that every run has an answer to, by row."""
    by_row = [{video.video: video for video in run.videos} for run in runs]
    shared = sorted(set.intersection(*(set(videos) for videos in by_row)))
    return [tuple(videos[row] for videos in by_row) for row in shared]


def ranked(videos: Sequence[Views]) -> dict[str, list[int]]:
    """Return rows of the index by group, the most telling first."""
    # A mean over runs can be as high where one of them is wrong; the best are right everywhere.
    right = [views for views in videos if not any(is_wrong(view) for view in views)]
    wrong = [views for views in videos if any(is_wrong(view) for view in views)]
    groups = {
        "best": sorted(right, key=lambda views: -mean_probability(views)),
        "worst": sorted(videos, key=mean_probability),
        "most confused": sorted(videos, key=lambda views: fmean(view.margin for view in views)),
        "surest mistake": sorted(wrong, key=lambda views: -max(view.top[0][1] for view in views if is_wrong(view))),
        "runs differ": sorted((views for views in videos if spread(views) > 0), key=lambda views: -spread(views)),
        "each class": in_turn(videos),
    }
    return {name: [views[0].video for views in members] for name, members in groups.items()}


def in_turn(videos: Sequence[Views]) -> list[Views]:
    """Return the videos class by class in turn: the first of each, the second of each, ..."""
    seen: dict[int, int] = {}
    places = []
    for views in videos:
        places.append(seen.get(views[0].label, 0))
        seen[views[0].label] = places[-1] + 1
    return [videos[number] for number in sorted(range(len(videos)), key=lambda number: (places[number], videos[number][0].label))]


def is_wrong(view: VideoPrediction) -> bool:
    """Say whether the most probable class is not the true one."""
    return view.predicted != view.label


def mean_probability(views: Views) -> float:
    """Return the probability of the true class, mean over runs."""
    return fmean(view.probability for view in views)


def spread(views: Views) -> float:
    """Return how far the runs are apart in the probability of the true class."""
    return max(view.probability for view in views) - min(view.probability for view in views)
