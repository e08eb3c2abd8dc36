"""Reports: what runs learnt and where they look, in one HTML file that needs nothing else."""

from objabn.reporting.assembly import report_page
from objabn.reporting.choice import choose_videos
from objabn.reporting.clips import ShownClip, gallery_clips
from objabn.reporting.document import ReportedRun, report_data
from objabn.reporting.predictions import (
    Predictions,
    ScoreKeeper,
    VideoPrediction,
    read_predictions,
    refuse_different,
    source_of,
    write_predictions,
)

__all__ = [
    "Predictions",
    "ReportedRun",
    "ScoreKeeper",
    "ShownClip",
    "VideoPrediction",
    "choose_videos",
    "gallery_clips",
    "read_predictions",
    "refuse_different",
    "report_data",
    "report_page",
    "source_of",
    "write_predictions",
]
