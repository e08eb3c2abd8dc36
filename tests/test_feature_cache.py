"""The feature cache: the stem sees each clip once, what is learnt is the same, and nothing that changes is ever kept."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import CLASSES, FRAMES, Recorder, nano, toy_batch, toy_config
from videos import class_folders, packed

from objabn import feature_cache
from objabn.config import Config, LossConfig, ModelConfig, OptimConfig
from objabn.data import features
from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.reader import reader
from objabn.data.sampling import ClipPlan
from objabn.data.shards import shard_path
from objabn.feature_cache import cached_loader, stem_features
from objabn.models.branch_network import BehindStem
from objabn.models.build import build_model, create_model
from objabn.models.network import AttentionNetwork
from objabn.settings import override
from objabn.training.loop import fit
from objabn.training.precision import resolve_precision
from objabn.training.run_folder import consumed_samples
from objabn.types import Batch

pytestmark = pytest.mark.usefixtures("shallow")
VIDEOS = (9, 20, 12, 17, 11, 14, 10)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    return packed(class_folders(folder / "videos", frames=VIDEOS), folder).root


@pytest.fixture
def dataset(root: Path, tmp_path: Path) -> PackedDataset:
    """The packed videos in a folder of their own, where nothing was kept yet."""
    folder = tmp_path / "packed"
    folder.mkdir()
    for path in root.iterdir():
        (folder / path.name).symlink_to(path)
    return open_dataset(folder)


def config_of(cache: str = "float32", **optim: object) -> Config:
    config = toy_config(optim=OptimConfig(**{"epochs": 3, "batch": 2, "lr": 1e-3, "freeze": ("stem",)} | optim), dropout=0.2)
    model = replace(config.model, system="saliency_lstm", cut=5, hidden_channels=8)
    data = replace(config.data, sampling="uniform", augment=False, threads=1)
    run = replace(config.run, cache_features=cache)
    return replace(config, model=model, data=data, run=run, loss=LossConfig(pc=0, unimodal=1.0))


def network(config: Config, seed: int = 0) -> AttentionNetwork:
    torch.manual_seed(seed)
    return build_model(config.model, classes=CLASSES, clip_frames=FRAMES, clip_size=config.data.crop_size)


class Counted:
    """Reads clips, and counts them."""

    def __init__(self, dataset: PackedDataset, config: Config) -> None:
        self.dataset, self.config, self.rows = dataset, config, []

    def __call__(self, clips: ClipPlan) -> Iterable[Batch]:
        self.rows += clips.video.tolist()
        return reader(self.dataset, self.config, clips=clips)


def loader(dataset: PackedDataset, config: Config, net: AttentionNetwork | None = None, **named: object) -> features.FeatureReader:
    return cached_loader(net or network(config), dataset, config, Counted(dataset, config), **named)


def losses_of(config: Config, batches: Iterable[Batch], net: AttentionNetwork, **named: object) -> list[float]:
    recorder = Recorder()
    fit(net, batches, config, loggers=[recorder], **named)
    return recorder.of("step", "loss")


def test_what_is_learnt_is_the_same_bit_for_bit_and_the_stem_sees_each_clip_once(dataset: PackedDataset) -> None:
    config, plain = config_of(), config_of("off")
    net, reference = network(config), network(plain)
    counted, seen = Counted(dataset, config), []
    net.backbone.blocks[0].register_forward_hook(lambda _block, _given, output: seen.append(len(output)))
    batches = cached_loader(net, dataset, config, counted)
    monitor = cached_loader(net, dataset, config, counted)
    ours = losses_of(config, batches, net, monitor=monitor)
    theirs = losses_of(plain, reader(dataset, plain), reference, monitor=reader(dataset, plain))
    assert len(ours) == 9
    assert ours == theirs
    for (name, value), expected in zip(net.state_dict().items(), reference.state_dict().values(), strict=True):
        assert torch.equal(value, expected), name
    assert sorted(counted.rows) == list(range(len(VIDEOS)))
    assert sum(seen) == len(VIDEOS) + 1, "four batches of two, the last of which is padded"


def test_later_runs_and_other_subsets_compute_what_is_missing_only(dataset: PackedDataset) -> None:
    config = override(config_of(), "data.val_fraction=0.4")
    val = dataset.index.rows("val", val_fraction=0.4)
    first, second, third = (Counted(dataset, config) for _ in range(3))
    cached_loader(network(config), dataset, config, first)
    batches = cached_loader(network(config), dataset, config, second, subset="val")
    assert sorted(second.rows) == val.tolist()
    assert sorted(first.rows + second.rows) == list(range(len(VIDEOS)))
    cached_loader(network(config), dataset, override(config, "data.val_fraction=0", "optim.lr=1"), third)
    assert third.rows == []
    found, expected = list(batches), list(reader(dataset, config, subset="val"))
    for ours, theirs in zip(found, expected, strict=True):
        for name in ("mask", "mask_valid", "label", "video", "frames", "view", "present"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    assert len(list((dataset.root / "features").iterdir())) == 1


def test_what_another_process_finished_in_the_meantime_is_taken(dataset: PackedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    config, claimed = config_of(), feature_cache.claimed

    @contextmanager
    def claimed_late(folder: Path) -> Iterator[None]:
        monkeypatch.setattr(feature_cache, "claimed", claimed)
        loader(dataset, config)
        with claimed(folder):
            yield

    monkeypatch.setattr(feature_cache, "claimed", claimed_late)
    late = Counted(dataset, config)
    assert len(list(cached_loader(network(config), dataset, config, late))) == 3
    assert late.rows == []


def test_half_precision_is_close(dataset: PackedDataset) -> None:
    single, half = (next(iter(loader(dataset, config_of(cache)))).clip for cache in ("float32", "float16"))
    assert (single.dtype, half.dtype) == (torch.float32, torch.float16)
    torch.testing.assert_close(half.float(), single, rtol=2**-11, atol=2**-25)
    assert len(list((dataset.root / "features").iterdir())) == 2


def test_features_beyond_half_precision_are_refused(dataset: PackedDataset) -> None:
    config = config_of("float16")
    net = network(config)
    net.backbone.blocks[4].register_forward_hook(lambda _block, _given, output: output + 1e5)
    with pytest.raises(ValueError, match=r"Features of these clips are beyond torch.float16; take run.cache_features=float32"):
        loader(dataset, config, net)


def test_a_kill_leaves_whole_shards_and_the_rest_is_computed(dataset: PackedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "SHARD_BYTES", 1)  # a shard for each batch
    config, calls, write = config_of(batch=3), [], features.write_columns

    def killed_at_second(path: Path, columns: dict) -> None:
        calls.append(path)
        if len(calls) == 2:
            path.with_name(f".{path.name}.123").write_bytes(b"half")
            raise KeyboardInterrupt
        write(path, columns)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(features, "write_columns", killed_at_second)
        loader(dataset, config)
    again = Counted(dataset, config)
    batches = cached_loader(network(config), dataset, config, again)
    assert len(again.rows) == len(VIDEOS) - 3, "the first shard of three clips was there"
    assert sorted(path.name for path in batches.store.folder.iterdir()) == [
        "manifest.json",
        *(f"shard-{number:05d}.safetensors" for number in range(3)),
    ]
    whole = reader(dataset, replace(config, run=replace(config.run, cache_features="off")))
    net = network(config).eval()
    for kept, clips in zip(batches, whole, strict=True):
        with torch.inference_mode():
            assert torch.equal(kept.clip, net.backbone.stem(net.normalize(clips.clip))[0])


def test_a_run_stopped_and_resumed_is_the_straight_one(dataset: PackedDataset, tmp_path: Path) -> None:
    config, short = config_of(), config_of(epochs=1)
    straight = network(config)
    fit(straight, loader(dataset, config, straight), config, loggers=[])
    first = network(config)
    with pytest.MonkeyPatch.context() as patch:
        # The run of three epochs ends after its first one, as if it had been stopped there.
        patch.setattr("objabn.training.loop.is_over", lambda epoch, *_given: epoch >= short.optim.epochs)
        fit(first, loader(dataset, config, first), config, run_folder=tmp_path / "run", loggers=[])
    resumed = network(config)
    batches = loader(dataset, config, resumed, start_sample=consumed_samples(tmp_path / "run"))
    assert batches.state == 6
    fit(resumed, batches, config, run_folder=tmp_path / "run", resume=True, loggers=[])
    for (name, value), expected in zip(resumed.state_dict().items(), straight.state_dict().values(), strict=True):
        assert torch.equal(value, expected), name


def change_weight(net: AttentionNetwork) -> None:
    with torch.no_grad():
        net.backbone.blocks[3].res_blocks[0].branch2.norm_a.running_mean += 1e-3


def change_head(net: AttentionNetwork) -> None:
    with torch.no_grad():
        net.tail.classify.weight += 1


@pytest.mark.parametrize(
    ("change", "setting", "folders"),
    [
        (change_weight, "optim.lr=1", 2),
        (change_head, "optim.batch=3", 1),
        (lambda _net: None, "data.eval_short_side=40", 1),
        (lambda _net: None, "run.amp=bf16", 2),
        (lambda _net: None, "data.short_side=40,48", 1),
    ],
)
def test_other_features_have_another_folder(
    dataset: PackedDataset, change: Callable[[AttentionNetwork], None], setting: str, folders: int
) -> None:
    config = config_of()
    loader(dataset, config)
    net = network(config)
    change(net)
    loader(dataset, override(config, setting), net)
    assert len(list((dataset.root / "features").iterdir())) == folders


def test_a_clip_that_cannot_be_read_is_left_out_as_it_always_is(dataset: PackedDataset) -> None:
    config = config_of()
    video = len(VIDEOS) - 2
    bad = shard_path(dataset.root, int(dataset.index.shard[video]))
    content = bytearray(bad.read_bytes())
    frame = dataset.encoded_frames(video, np.array([0]))[0].tobytes()
    content[content.find(frame) + len(frame) // 2] ^= 255
    bad.unlink()
    bad.write_bytes(content)
    damaged = open_dataset(dataset.root)
    batches = loader(damaged, config)
    assert len(batches.store.places) == len(VIDEOS) - 1
    seen = np.concatenate([batch.video for _ in range(3) for batch in batches])
    assert video not in seen
    assert batches.damage.skipped_clips > 0
    later = Counted(damaged, config)
    cached_loader(network(config), damaged, config, later)
    assert later.rows == [], "a later run does not fail with it alone"


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("optim.freeze=norms", "needs a stem that does not learn; add optim.freeze=stem"),
        (
            "data.augment=true",
            "needs clips that come again, one view of each video in evaluation; set data.views=1,1, and data.repeat_epochs=15, or both",
        ),
        ("data.sampling=segments", "needs clips that come again"),
        ("data.views=2,1", "needs clips that come again"),
    ],
)
def test_what_changes_is_not_kept(dataset: PackedDataset, setting: str, reason: str) -> None:
    config = override(config_of(), setting)
    with pytest.raises(ValueError, match=reason):
        loader(dataset, config)
    assert not (dataset.root / "features").exists()


def test_other_systems_with_a_stem_may_keep_it_too(dataset: PackedDataset) -> None:
    plain = config_of("off", name="sgd")
    plain = replace(plain, model=ModelConfig(backbone="x3d_nano", weights="none", cut=3, attention_init="random", dropout=0.0))
    plain = replace(plain, loss=LossConfig())
    config = override(plain, "run.cache_features=float32")
    ours = losses_of(config, loader(dataset, config), network(config))
    assert ours == pytest.approx(losses_of(plain, reader(dataset, plain), network(plain)), rel=1e-6)


def test_on_larger_grids_what_is_learnt_is_the_same_but_for_rounding(dataset: PackedDataset) -> None:
    # Kept features lie in memory with their channels last, which the stem's own may not; sums in another order round otherwise.
    sizes = ("data.crop_size=96", "data.short_side=96,96", "data.eval_short_side=96")
    plain = override(config_of("off", name="sgd", momentum=0.0), *sizes)
    config = override(plain, "run.cache_features=float32")
    ours = losses_of(config, loader(dataset, config), network(config))
    assert ours == pytest.approx(losses_of(plain, reader(dataset, plain), network(plain)), rel=1e-6)


def test_clips_are_not_taken_for_features() -> None:
    config = config_of()
    with pytest.raises(ValueError, match=r"With run.cache_features the batches hold features of 96 channels, and these hold \(4, 3, 4, 32"):
        fit(network(config), [toy_batch(0)], config, loggers=[])
    plain = replace(toy_config(), loss=LossConfig(mask=0, pc=0))
    with pytest.raises(ValueError, match="cannot be read; it must be"):
        fit(nano(plain), [toy_batch(0)._replace(clip=torch.zeros(4, 96, 4, 1, 1))], plain, loggers=[])


@pytest.mark.usefixtures("narrow")
def test_a_class_token_is_left_out_where_the_tail_does_without() -> None:
    precision, batch, clip = resolve_precision("cpu", "off"), toy_batch(0), {"clip_frames": FRAMES, "clip_size": 32}
    net = create_model("mvit_b", classes=CLASSES, system="saliency_lstm", cut=5, hidden_channels=8, **clip)
    (kept,) = stem_features(net, [batch], precision)
    with torch.inference_mode():
        assert torch.equal(BehindStem(net)(kept.clip).logits, net(batch.clip).logits)
    with pytest.raises(ValueError, match="keeps one tensor of a clip, and the tail of mvit_b needs others too; set off"):
        next(stem_features(create_model("mvit_b", classes=CLASSES, system="abn", **clip), [batch], precision))
