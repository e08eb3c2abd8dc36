"""The feature cache: where a stem stays as it is and clips come again, it sees each clip once, for all epochs and later runs."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from objabn.config import Config
from objabn.data.dataset import PackedDataset
from objabn.data.features import FeatureReader, FeatureStore, clip_keys
from objabn.data.sampling import ClipPlan
from objabn.data.schedule import Schedule
from objabn.files import claimed, discard_unfinished, write_json
from objabn.models.branch_network import BranchNetwork
from objabn.models.network import AttentionNetwork
from objabn.training.parts import frozen_modules
from objabn.training.precision import Precision, resolve_precision
from objabn.types import Batch

DTYPES = {"float16": torch.float16, "float32": torch.float32}


def cached_loader(
    net: AttentionNetwork,
    dataset: PackedDataset,
    config: Config,
    read: Callable[[ClipPlan], Iterable[Batch]],
    *,
    subset: str = "train",
    start_sample: int = 0,
) -> FeatureReader:
    """Return a loader of features instead of clips, for `fit` with `run.cache_features` on, once those that are missing are computed.

    `read` loads these clips once, as `objabn.reader(dataset, config, clips=...)` does. The features are kept in the
    folder of the dataset. ValueError where clips or features change during the training.
    """
    stemmed = refuse_changing_features(net, config)
    precision = resolve_precision(config.run.device, config.run.amp)
    origin = origin_of_features(stemmed, dataset, config, precision)
    folder = dataset.root / "features" / hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:16]
    plan = all_clips(Schedule(dataset, config, subset=subset))
    if len(FeatureStore(folder).missing(plan).video):
        with claimed(folder):
            discard_unfinished(folder, "*.safetensors")
            write_json(folder / "manifest.json", origin)
            store = FeatureStore(folder)
            missing = store.missing(plan)  # another process may have finished in the meantime
            if len(missing.video):
                store.write(stem_features(stemmed, read(missing), precision), missing, DTYPES[config.run.cache_features])
                store.note_unreadable(missing)
    return FeatureReader(dataset, config, FeatureStore(folder), subset=subset, start_sample=start_sample)


def all_clips(schedule: Schedule) -> ClipPlan:
    """Return every clip that a subset can ever give, once."""
    epochs = max(1, schedule.config.data.repeat_epochs) if schedule.is_training else 1
    plans = [schedule.plan_epoch(epoch) for epoch in range(epochs)]
    plan = ClipPlan._make(np.concatenate(columns) for columns in zip(*plans, strict=True))
    plan = plan.take(np.flatnonzero(plan.present))
    first = {key: place for place, key in reversed(list(enumerate(clip_keys(plan))))}
    return plan.take(np.array(sorted(first.values()), np.int64))


def refuse_changing_features(net: AttentionNetwork, config: Config) -> BranchNetwork:
    """Return the network where its stem makes the same of a video in each epoch; ValueError saying what changes where it does not."""
    if not isinstance(net, BranchNetwork):
        raise ValueError(f"run.cache_features keeps what is before the attention, and {net.config.system} attends from the start; set off.")
    still = set(frozen_modules(net, config.optim.freeze))
    stem = (module for name in net.backbone.stem_names for module in net.backbone.get_submodule(name).modules())
    if not still.issuperset(stem):
        raise ValueError(f"run.cache_features={config.run.cache_features} needs a stem that does not learn; add optim.freeze=stem.")
    data = config.data
    is_random = data.sampling != "uniform" or data.augment
    if (is_random and not data.repeat_epochs) or data.views != (1, 1):
        raise ValueError(
            f"run.cache_features={config.run.cache_features} needs clips that come again, one view of each video in evaluation; set "
            "data.views=1,1, and data.repeat_epochs=15, or both data.sampling=uniform and data.augment=false."
        )
    return net


def origin_of_features(net: BranchNetwork, dataset: PackedDataset, config: Config, precision: Precision) -> dict[str, Any]:
    """Return all that features depend on: their folder is named after it."""
    frames, masks = dataset.fingerprints
    clip = {"crop_size": config.data.crop_size}  # all else of a clip is in its key
    stem = {"backbone": net.config.backbone, "cut": net.config.cut, "weights": weights_hash(net)}
    formats = {"autocast": str(precision.dtype), "storage": config.run.cache_features}
    return {"frames": frames, "masks": masks, **clip, **stem, **formats}


def weights_hash(net: BranchNetwork) -> str:
    """Return what changes with any weight or statistic of the stem."""
    digest = hashlib.sha256()
    for name in net.backbone.stem_names:
        for path, value in net.backbone.get_submodule(name).state_dict().items():
            digest.update(f"{name}.{path}".encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def stem_features(net: BranchNetwork, batches: Iterable[Batch], precision: Precision) -> Iterator[Batch]:
    """Yield each batch with what the stem makes of its clips in their place; ValueError where the tail needs more of it."""
    net.to(precision.device).eval()
    for batch in batches:
        with torch.inference_mode(), precision.autocast():
            features, *others = net.backbone.stem(net.normalize(batch.clip.to(precision.device)))
        if others and net.tail is None:
            raise ValueError(
                f"run.cache_features keeps one tensor of a clip, and the tail of {net.config.backbone} needs others too; set off."
            )
        yield batch._replace(clip=features)
