"""Named settings: one function a data set, each returning a complete Config; a variation is a `replace` of another."""

from collections.abc import Callable
from dataclasses import replace

from objabn.config import Config, DataConfig, LossConfig, ModelConfig, OptimConfig
from objabn.settings import override


def ucf101(heads: int) -> Config:
    """UCF101 (Object-ABN section 4.2); three heads go without PC loss, which costs 1.2 points there (Table 1)."""
    return with_heads(Config(recipe="ucf101", data=DataConfig(dataset="ucf101")), heads, pc_with_heads=False)


def ssv2(heads: int) -> Config:
    """Something-Something V2 (Object-ABN section 4.2): half the stride and the epochs, and no flip, since sides have a meaning."""
    data = DataConfig(dataset="ssv2", stride_frames=2, flip_probability=0.0)
    return with_heads(Config(recipe="ssv2", data=data, optim=OptimConfig(epochs=25)), heads, pc_with_heads=True)


def folder(heads: int) -> Config:
    """Own videos in class folders: as UCF101, with a fifth of the training groups held out as `val`."""
    parent = ucf101(heads)
    return replace(parent, recipe="folder", data=replace(parent.data, dataset="folder", val_fraction=0.2))


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


def with_heads(config: Config, heads: int, *, pc_with_heads: bool) -> Config:
    """Return the config with this many maps; more than one keeps the PC loss only where it helped."""
    pc = config.loss.pc if heads == 1 or pc_with_heads else 0.0
    return replace(config, model=replace(config.model, heads=heads), loss=replace(config.loss, pc=pc))


def literal(config: Config) -> Config:
    """Return the literal reading of Object-ABN: empty frames are targets of zeros, the merge and the branch start at random."""
    model = replace(config.model, merge_init="random", attention_init="random")
    return replace(config, recipe=f"{config.recipe}, paper", model=model, loss=replace(config.loss, empty_mask="zeros"))


def as_system(config: Config, system: str) -> Config:
    """Return the config with this attention system; plain ABN knows no PC loss, and no mask loss, since it has no M_o."""
    chosen = override(config, f"model.system={system}")
    return replace(chosen, loss=replace(chosen.loss, pc=0.0)) if system == "abn" else chosen


def recipe(dataset: str, style: str = "default", *, heads: int = 1, system: str = "object_abn") -> Config:
    """Return the complete settings for a data set; `style` is `default` or `paper`, the literal reading of the publication.

    `system` is `object_abn` or `abn`. A data set without a recipe of its own is taken as a folder of own videos.
    """
    recipes: dict[str, Callable[[int], Config]] = {"ucf101": ucf101, "ssv2": ssv2, "demo": demo, "folder": folder}
    styles: dict[str, Callable[[Config], Config]] = {"default": lambda config: config, "paper": literal}
    if style not in styles:
        raise ValueError(f"There is no recipe {style!r}; choose one of {', '.join(styles)}.")
    config = as_system(styles[style](recipes.get(dataset, folder)(heads)), system)
    return replace(config, data=replace(config.data, dataset=dataset))
