"""Named settings: one function a data set, each returning a complete Config; a variation is a `replace` of another."""

from collections.abc import Callable
from dataclasses import replace

from objabn.config import Config, DataConfig, LossConfig, ModelConfig, OptimConfig
from objabn.settings import override


def ucf101(heads: int) -> Config:
    """UCF101 (Object-ABN section 4.2); three heads go without PC loss, which costs 1.2 points there (Table 1)."""
    return with_heads(Config(recipe="ucf101", data=DataConfig(dataset="ucf101")), heads, pc_with_heads=False)


def hmdb51(heads: int) -> Config:
    """HMDB51, which Object-ABN does not use: the settings of UCF101."""
    return renamed(ucf101(heads), "hmdb51")


def kinetics400(heads: int) -> Config:
    """Kinetics, which Object-ABN does not use: as UCF101, at the stride of X3D-M's own training there, for half the epochs."""
    parent = renamed(ucf101(heads), "kinetics400")
    return replace(parent, data=replace(parent.data, stride_frames=5), optim=replace(parent.optim, epochs=25))


def ssv2(heads: int) -> Config:
    """Something-Something V2 (Object-ABN section 4.2): half the stride and the epochs, and no flip, since sides have a meaning."""
    data = DataConfig(dataset="ssv2", stride_frames=2, flip_probability=0.0)
    return with_heads(Config(recipe="ssv2", data=data, optim=OptimConfig(epochs=25)), heads, pc_with_heads=True)


def folder(heads: int) -> Config:
    """Own videos in class folders: as UCF101, with a fifth of the training groups held out as `val`."""
    parent = renamed(ucf101(heads), "folder")
    return replace(parent, data=replace(parent.data, val_fraction=0.2))


def demo(heads: int) -> Config:
    """The synthetic data set: small clips, maps of 14x14 from an early cut, no flip, which would swap left and right.

    The mask loss weighs 40 instead of 10: the moving thing covers a twelfth of the picture and there are minutes, not days.
    """
    data = DataConfig(
        dataset="demo", clip_frames=8, stride_frames=3, short_side=(64, 72), eval_short_side=64, crop_size=56, flip_probability=0.0
    )
    model = ModelConfig(backbone="x3d_nano", weights="none", cut=2, attention_init="random", dropout=0.0)
    optim = OptimConfig(lr=3e-3, epochs=18, batch=16, schedule="cosine", warmup_epochs=1.0)
    return with_heads(Config(recipe="demo", data=data, model=model, loss=LossConfig(mask=40.0), optim=optim), heads, pc_with_heads=False)


def renamed(config: Config, name: str) -> Config:
    """Return the settings of one data set for another."""
    return replace(config, recipe=name, data=replace(config.data, dataset=name))


def with_heads(config: Config, heads: int, *, pc_with_heads: bool) -> Config:
    """Return the config with this many maps; more than one keeps the PC loss only where it helped."""
    pc = config.loss.pc if heads == 1 or pc_with_heads else 0.0
    return replace(config, model=replace(config.model, heads=heads), loss=replace(config.loss, pc=pc))


def literal(config: Config) -> Config:
    """Return the literal reading of Object-ABN: empty frames are targets of zeros, the merge and the branch start at random."""
    model = replace(config.model, merge_init="random", attention_init="random")
    return replace(config, recipe=f"{config.recipe}, paper", model=model, loss=replace(config.loss, empty_mask="zeros"))


def small(config: Config) -> Config:
    """Return the settings for a first look without a GPU: 160 pixels (maps of 10x10), batches of 5, 20 epochs at three times the rate."""
    data = replace(config.data, crop_size=160, short_side=(183, 229), eval_short_side=183)
    return replace(config, recipe=f"{config.recipe}, small", data=data, optim=replace(config.optim, lr=3e-4, batch=5, epochs=20))


def as_system(config: Config, system: str) -> Config:
    """Return the config with this attention system; plain ABN knows no PC loss, and no mask loss, since it has no M_o."""
    chosen = override(config, f"model.system={system}")
    return replace(chosen, loss=replace(chosen.loss, pc=0.0)) if system == "abn" else chosen


def recipe(dataset: str, style: str = "default", *, heads: int = 1, system: str = "object_abn") -> Config:
    """Return the complete settings for a data set; `style` is `default`, `paper` (the literal reading of the publication) or `small`.

    `system` is `object_abn` or `abn`. A data set without a recipe of its own is taken as a folder of own videos.
    """
    recipes: dict[str, Callable[[int], Config]] = {
        **{"ucf101": ucf101, "hmdb51": hmdb51, "ssv2": ssv2, "demo": demo, "folder": folder},
        **{"kinetics400": kinetics400, "kinetics600": kinetics400, "kinetics700": kinetics400},
    }
    styles: dict[str, Callable[[Config], Config]] = {"default": lambda config: config, "paper": literal, "small": small}
    if style not in styles:
        raise ValueError(f"There is no recipe {style!r}; choose one of {', '.join(styles)}.")
    config = as_system(styles[style](recipes.get(dataset, folder)(heads)), system)
    return replace(config, data=replace(config.data, dataset=dataset))
