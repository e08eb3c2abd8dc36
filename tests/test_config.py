"""Settings: JSON both ways, overrides by name, and sentences that help."""

import dataclasses
import json

import pytest

from objabn.config import Config, DataConfig, ModelConfig, config_hash, from_dict, override, to_dict
from objabn.recipes import recipe


@pytest.mark.parametrize("dataset", ["ucf101", "demo", "my_videos"])
@pytest.mark.parametrize("style", ["default", "paper"])
def test_json_round_trip(dataset: str, style: str) -> None:
    config = recipe(dataset, style, heads=3)
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


def test_ucf101_holds_the_numbers_of_the_paper() -> None:
    one, three = recipe("ucf101"), recipe("ucf101", heads=3)
    assert (one.data.clip_frames, one.data.stride_frames, one.data.short_side, one.data.crop_size) == (16, 4, (256, 320), 224)
    assert (one.optim.name, one.optim.lr, one.optim.epochs) == ("adam", 1e-4, 50)
    assert (one.loss.branch, one.loss.mask, one.loss.pc, one.loss.pc_push) == (1.0, 10.0, 1e-4, 1e-3)
    assert one.grid_size == 14
    assert three.loss.pc == 0.0, "three heads go without PC loss on UCF101"


@pytest.mark.parametrize(
    ("assignment", "section", "name", "value"),
    [
        ("optim.lr=1e-3", "optim", "lr", 1e-3),
        ("data.short_side=160,200", "data", "short_side", (160, 200)),
        ("model.map_kernel=3", "model", "map_kernel", 3),
        ("run.device = cpu", "run", "device", "cpu"),
        ("optim.step_epochs=10,20", "optim", "step_epochs", (10, 20)),
    ],
)
def test_override_reads_values_by_type(assignment: str, section: str, name: str, value: object) -> None:
    config = Config(data=DataConfig(crop_size=160))
    assert getattr(getattr(override(config, assignment), section), name) == value


@pytest.mark.parametrize(
    ("assignment", "part_of_message"),
    [
        ("optim.learn_rate=1", "it has name, lr"),
        ("model.head=3", "Did you mean 'heads'?"),
        ("modle.heads=3", "Did you mean 'model'?"),
        ("lr=1", "section.name=value"),
        ("optim.lr=fast", "it must be float"),
        ("model.map_kernel=2", "it must be 1 or 3"),
        ("model.heads=0", "at least 1"),
        ("model.heads=2", "1, or 3 and more"),
        ("data.crop_size=300", "low >= crop_size=300"),
        ("optim.accumulate=3", "divisor of batch=16"),
    ],
)
def test_wrong_settings_are_answered_with_what_is_allowed(assignment: str, part_of_message: str) -> None:
    with pytest.raises(ValueError) as error:
        override(Config(), assignment)
    assert part_of_message in str(error.value)


def test_hash_ignores_where_a_run_happens_but_not_what_it_learns() -> None:
    config = Config()
    assert config_hash(override(config, "run.device=cpu")) == config_hash(config)
    assert config_hash(override(config, "run.seed=1")) != config_hash(config)
    assert config_hash(override(config, "optim.lr=1")) != config_hash(config)


def test_grid_rounds_up_as_strided_convolutions_do() -> None:
    data = DataConfig(short_side=(244, 256), crop_size=244, eval_short_side=256)
    assert Config(data=data).grid_size == 16, "244 -> 122 -> 61 -> 31 -> 16"
    assert Config(data=data, model=dataclasses.replace(ModelConfig(), cut=3)).grid_size == 31
