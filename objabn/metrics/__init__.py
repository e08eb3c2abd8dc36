"""How sharp maps are, how well they meet objects and how much they are alike: batched, on any device.

Nothing here waits for a GPU. Maps and coverages are (..., y, x), whatever comes before; where frames are averaged they
are (..., T, y, x), of which a picture is one with T = 1. Means over views, videos and ranks are those of
`objabn.metrics.streaming.VideoMeans`, which is imported by itself because torchmetrics takes seconds to import.
"""

from objabn.metrics.agreement import pearson, spearman, structural_similarity, temporal_consistency
from objabn.metrics.entropy import attention_entropy
from objabn.metrics.frames import THRESHOLD, flat_frames, normalize_frames, valid_mean
from objabn.metrics.overlap import mask_iou, mask_mae, mask_mse, soft_iou
from objabn.metrics.pointing import energy_pointing, pointing

__all__ = [
    "THRESHOLD",
    "attention_entropy",
    "energy_pointing",
    "flat_frames",
    "mask_iou",
    "mask_mae",
    "mask_mse",
    "normalize_frames",
    "pearson",
    "pointing",
    "soft_iou",
    "spearman",
    "structural_similarity",
    "temporal_consistency",
    "valid_mean",
]
