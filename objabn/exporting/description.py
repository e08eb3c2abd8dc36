"""What whoever uses a network elsewhere has to know about it, by name and ready for JSON."""

from typing import Any

import objabn
from objabn.models.network import AttentionNetwork
from objabn.models.storage import clip_settings, model_settings


def describe(net: AttentionNetwork) -> dict[str, Any]:
    """Return the network's settings, its classes and maps, and how clips are cut for it where that is known; sizes in frames and pixels."""
    data = {} if net.clip_config is None else clip_settings(net.clip_config)
    return {
        "library_name": "objabn",
        "library_version": objabn.__version__,
        **model_settings(net.config),
        "map_names": net.map_names,
        "grid_size": net.grid_size,
        "classes": net.classes,
        "class_names": net.class_names,
        "clip_frames": net.clip_frames,
        "clip_size": net.clip_size,
        **{name: value for name, value in data.items() if name not in ("clip_frames", "crop_size")},
        "pixel_mean": net.backbone.mean,
        "pixel_std": net.backbone.std,
    }
