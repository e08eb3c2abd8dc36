"""Settings: JSON both ways, overrides by name, and sentences that help."""

import dataclasses
import json
from typing import get_args, get_type_hints

import pytest

from objabn.config import Config, DataConfig, LossConfig, ModelConfig, OptimConfig, RunConfig
from objabn.config.model import SETTINGS_OF_SYSTEMS
from objabn.recipes import chosen_parts, recipe, sources
from objabn.settings import config_hash, from_dict, override, to_dict


@pytest.mark.parametrize("dataset", ["ucf101", "demo", "my_videos"])
@pytest.mark.parametrize("style", ["default", "paper", "small"])
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


def test_small_is_the_same_at_160_pixels() -> None:
    small, plain = recipe("ucf101", "small", heads=3), recipe("ucf101", heads=3)
    assert (small.grid_size, small.optim.batch, small.optim.epochs, small.optim.lr) == (10, 5, 20, 3e-4)
    # The same part of the picture as at 224 pixels from 256 to 320.
    assert [round(224 / 160 * side) for side in small.data.short_side] == [256, 321]
    assert (small.model, small.loss) == (plain.model, plain.loss)


def test_ssv2_holds_the_numbers_of_the_paper() -> None:
    one, three = recipe("ssv2"), recipe("ssv2", heads=3)
    assert (one.recipe, one.data.dataset, one.data.clip_frames, one.data.stride_frames, one.data.flip_probability) == (
        "ssv2",
        "ssv2",
        16,
        2,
        0,
    )
    assert (one.data.short_side, one.data.eval_short_side, one.data.crop_size) == ((256, 320), 256, 224)
    assert (one.optim.name, one.optim.lr, one.optim.epochs, one.optim.schedule) == ("adam", 1e-4, 25, "constant")
    assert three.loss == one.loss
    assert three.loss.pc == 1e-4, "three heads keep the PC loss on SSv2"


def test_st_abn_holds_the_numbers_of_its_code() -> None:
    config = recipe("ssv2", system="st_abn")
    assert (config.data.clip_frames, config.data.sampling, config.data.crop_size) == (32, "segments", 224)
    assert config.data.flip_probability == 0, "left and right are classes"
    assert recipe("ucf101", system="st_abn").data.flip_probability == 0.5
    assert (config.model.backbone, config.model.weights, config.model.cut) == ("resnet3d_50", "imagenet", 4)
    optim = config.optim
    assert (optim.name, optim.lr, optim.momentum, optim.nesterov, optim.weight_decay) == ("sgd", 0.01, 0.9, True, 5e-4)
    assert (optim.batch, optim.clip_norm, optim.epochs, optim.step_epochs, optim.step_factor) == (64, 20, 150, (75, 125), 0.1)
    assert (config.loss.branch, config.loss.mask, config.loss.pc) == (1, 0, 0)


def test_saliency_lstm_holds_the_numbers_of_its_code() -> None:
    config = recipe("ucf101", system="saliency_lstm")
    assert (config.data.augment, config.model.dropout) == (False, 0.2)
    assert (config.data.clip_frames, config.data.sampling, config.model.backbone, config.model.cut) == (20, "uniform", "resnet50", 5)
    assert (config.loss.total_variation, config.loss.contrast, config.loss.unimodal) == (1e-5, 1e-4, 1)
    assert (config.optim.name, config.optim.lr, config.optim.weight_decay, config.optim.batch) == ("adam", 1e-4, 1e-4, 30)
    assert (config.optim.schedule, config.optim.plateau_epochs, config.optim.freeze) == ("plateau", 5, ("stem",))
    assert config.grid_size == 7


def test_gated_gates_every_stage_of_small_clips() -> None:
    config = recipe("ucf101", system="gated")
    assert (config.data.clip_frames, config.data.crop_size, config.model.backbone, config.grid_size) == (16, 112, "resnext3d_101", 28)
    assert (config.loss.branch, config.loss.mask, config.loss.pc) == (0, 0, 0)


@pytest.mark.parametrize("system", ["abn", "object_abn", "st_abn", "saliency_lstm", "gated", "plain"])
@pytest.mark.parametrize("dataset", ["ucf101", "ssv2", "demo", "my_videos"])
def test_the_last_part_that_sets_something_is_its_source(dataset: str, system: str) -> None:
    config, origin = to_dict(recipe(dataset, system=system)), sources(dataset, system=system)
    last = {path: (value, part.source) for part in chosen_parts(dataset, "default", 1, system) for path, value in part.settings.items()}
    assert origin == {path: source for path, (_, source) in last.items()}
    for path, (value, _) in last.items():
        section, name = path.split(".")
        assert config[section][name] == value, path


def test_plain_abn_has_no_pc_loss() -> None:
    plain = recipe("ucf101", system="abn")
    assert (plain.model.system, plain.model.heads, plain.loss.pc, plain.loss.branch) == ("abn", 1, 0.0, 1.0)
    assert recipe("ucf101").loss.pc == 1e-4
    with pytest.raises(ValueError, match="1 with system abn"):
        recipe("ucf101", heads=3, system="abn")
    with pytest.raises(ValueError, match="must be abn or object_abn"):
        recipe("ucf101", system="magic")


def test_settings_that_need_each_other_are_taken_in_any_order() -> None:
    assignments = ["data.crop_size=312", "data.short_side=312,356", "data.eval_short_side=356"]
    for order in (assignments, assignments[::-1]):
        data = override(Config(), *order).data
        assert (data.crop_size, data.short_side, data.eval_short_side) == (312, (312, 356), 356)
    assert override(Config(), "optim.lr=1", "model.heads=3", "optim.lr=2").optim.lr == 2, "the last one holds"


@pytest.mark.parametrize(
    ("assignment", "section", "name", "value"),
    [
        ("optim.lr=1e-3", "optim", "lr", 1e-3),
        ("data.short_side=160,200", "data", "short_side", (160, 200)),
        ("model.map_kernel=3", "model", "map_kernel", 3),
        ("run.device = cpu", "run", "device", "cpu"),
        ("optim.freeze=stem, norms", "optim", "freeze", ("stem", "norms")),
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
        ("optim.lr=fast", "it must be a number"),
        ("optim.lr=0", "above 0"),
        ("optim.epochs=1.5", "it must be a whole number"),
        ("run.deterministic=1", "it must be true or false"),
        ("optim.clip_norm=-1", "0 or more"),
        ("optim.momentum=1", "a number in [0, 1)"),
        ("optim.schedule=step", "optim.step_epochs=() is not possible; it must be one epoch or more with schedule=step"),
        ("optim.step_epochs=10,20", "it must be empty with schedule=constant"),
        ("run.seed=-1", "from 0 to 4294967295"),
        ("data.fold=0", "at least 1"),
        ("model.map_kernel=2", "it must be 1 or 3"),
        ("model.heads=0", "at least 1"),
        ("model.heads=2", "1, or 3 and more"),
        ("data.crop_size=300", "low >= crop_size=300"),
        ("optim.accumulate=3", "divisor of batch=16"),
        ("data.short_side=256", "data.short_side=256 is not possible; it must be 2 whole numbers with commas between them."),
        ("data.short_side=256,a", "it must be 2 whole numbers"),
        ("optim.step_epochs=x", "it must be whole numbers with commas"),
        ("data.prefetch=0", "at least 1"),
        ("data.threads=-1", "0 (one per core) or more"),
    ],
)
def test_wrong_settings_are_answered_with_what_is_allowed(assignment: str, part_of_message: str) -> None:
    with pytest.raises(ValueError) as error:
        override(Config(), assignment)
    assert part_of_message in str(error.value)


def test_steps_of_the_learning_rate_are_named_together_with_their_schedule() -> None:
    assert override(Config(), "optim.schedule=step", "optim.step_epochs=10,20").optim.step_epochs == (10, 20)


@pytest.mark.parametrize(
    ("kind", "setting", "allowed"),
    [
        (DataConfig, {"sampling": "strides"}, "stride or segments or uniform"),
        (ModelConfig, {"map_kernel": 2}, "1 or 3"),
        (LossConfig, {"class_weights": "balance"}, "none or balanced"),
        (OptimConfig, {"schedule": "cos"}, "constant or cosine or step"),
        (RunConfig, {"amp": "half"}, "auto or off or bf16 or fp16"),
    ],
)
def test_what_python_is_given_is_one_of_the_choices(kind: type, setting: dict[str, object], allowed: str) -> None:
    with pytest.raises(ValueError, match=f"is not possible; it must be {allowed}"):
        kind(**setting)


def test_hash_ignores_where_a_run_happens_but_not_what_it_learns() -> None:
    config = Config()
    assert config_hash(override(config, "run.device=cpu")) == config_hash(config)
    assert config_hash(override(config, "run.seed=1")) != config_hash(config)
    assert config_hash(override(config, "optim.lr=1")) != config_hash(config)
    assert config_hash(override(config, "data.loader=reader", "data.threads=3")) == config_hash(config)
    assert config_hash(dataclasses.replace(config, recipe="other")) == config_hash(config)


def test_several_maps_are_merged_and_not_added() -> None:
    assert override(Config(), "model.apply=residual").model.apply == "residual"
    with pytest.raises(ValueError, match=r"model\.apply=residual is not possible"):
        override(Config(), "model.heads=3", "model.apply=residual")


@pytest.mark.parametrize(
    ("system", "setting", "value"),
    [
        ("abn", "temporal", "fast"),
        ("object_abn", "merge_activation", "none"),
        ("st_abn", "map_kernel", 3),
        ("st_abn", "apply", "residual"),
        ("saliency_lstm", "apply", "residual"),
        ("gated", "attention_blocks", "same"),
        ("gated", "class_head", "gap"),
        ("gated", "hidden_channels", 8),
    ],
)
def test_a_setting_that_a_system_has_not_is_refused(system: str, setting: str, value: object) -> None:
    owners = " and ".join(SETTINGS_OF_SYSTEMS[setting])
    with pytest.raises(ValueError) as error:
        ModelConfig(system=system, cut=5, **{setting: value})
    assert str(error.value).startswith(f"model.{setting}={value} is not possible; it must be ")
    assert str(error.value).endswith(f" with system {system}, as it belongs to {owners} alone.")
    default = getattr(ModelConfig(), setting)
    assert getattr(ModelConfig(system=system, cut=5, **{setting: default}), setting) == default
    assert getattr(ModelConfig(system=SETTINGS_OF_SYSTEMS[setting][0], cut=5, **{setting: value}), setting) == value


def test_the_settings_of_systems_are_settings() -> None:
    systems = get_args(get_type_hints(ModelConfig)["system"])
    assert set(SETTINGS_OF_SYSTEMS) < {setting.name for setting in dataclasses.fields(ModelConfig)}
    assert {owner for owners in SETTINGS_OF_SYSTEMS.values() for owner in owners} == set(systems) - {"plain"}


def test_grid_rounds_up_as_strided_convolutions_do() -> None:
    data = DataConfig(short_side=(244, 256), crop_size=244, eval_short_side=256)
    assert Config(data=data).grid_size == 16, "244 -> 122 -> 61 -> 31 -> 16"
    assert Config(data=data, model=dataclasses.replace(ModelConfig(), cut=3)).grid_size == 31
