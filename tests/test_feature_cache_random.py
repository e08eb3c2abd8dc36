"""Features of random clips that come again: what is learnt is the same, and only clips that are new are computed."""

from pathlib import Path

import pytest
from test_feature_cache import VIDEOS, Counted, config_of, losses_of, network
from videos import class_folders, packed

from objabn.data.reader import reader
from objabn.feature_cache import cached_loader
from objabn.settings import override

pytestmark = pytest.mark.usefixtures("shallow")


def test_random_clips_that_come_again_are_learnt_from_as_without_the_cache(tmp_path: Path) -> None:
    dataset = packed(class_folders(tmp_path / "videos", frames=VIDEOS), tmp_path)
    plain = override(config_of("off"), "data.sampling=stride", "data.augment=true", "data.repeat_epochs=2", "data.short_side=32,40")
    plain = override(plain, "data.colour_jitter=0.3", "data.stride_frames=2")
    config = override(plain, "run.cache_features=float32")
    net, reference, counted = network(config), network(plain), Counted(dataset, config)
    ours = losses_of(config, cached_loader(net, dataset, config, counted), net)
    assert ours == losses_of(plain, reader(dataset, plain), reference)
    assert len(counted.rows) == 2 * len(VIDEOS)
    more = Counted(dataset, override(config, "data.repeat_epochs=3"))
    cached_loader(network(config), dataset, more.config, more)
    assert len(more.rows) == len(VIDEOS), "the clips of two epochs are there"
