"""The rows of the paper's table, what may stand beside them, and the settings that each of them is trained with."""

import dataclasses
from typing import NamedTuple

from objabn.config import Config
from objabn.recipes import STYLES, recipe
from objabn.settings import override

DATASETS = ("ucf101", "ssv2")
"""Those of which the paper has a table."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One way to train, with as many seeds as are asked for."""

    name: str
    what: str
    """In a line."""
    system: str = "object_abn"
    heads: int = 1
    settings: tuple[str, ...] = ()
    """Changes to the recipe, `section.name=value`."""
    small: tuple[str, ...] = ()
    """Further ones with the small budget, where all rows share one backbone."""
    style: str | None = None
    """A recipe of its own; otherwise that of the budget."""
    base: str | None = None
    """Of a variation: the row that it is compared with."""
    methods: tuple[str, ...] = ()
    """Explainers that are measured beside the network's own maps."""

    @property
    def slug(self) -> str:
        """The name as that of a folder."""
        return self.name.replace("~", "--").replace("=", "-").replace(".", "_")


class Budget(NamedTuple):
    """How much of the paper's training there is time for."""

    style: str
    """Recipe."""
    settings: tuple[str, ...]
    seeds: int
    """Unless asked for otherwise."""


BUDGETS = {
    "paper": Budget("default", (), 3),
    # The stem stays as pre-trained, so that it sees each clip once for all rows: training a row then takes minutes on two cores.
    "small": Budget(
        "small",
        (
            "optim.epochs=15",
            "optim.schedule=cosine",
            "data.val_fraction=0.2",
            "data.repeat_epochs=5",
            "optim.freeze=stem",
            "run.cache_features=float16",
        ),
        2,
    ),
}

TABLE = {
    row.name: row
    for row in (
        Row(name="abn", what="plain ABN: nothing pulls M_u", system="abn", settings=("loss.pc=0",)),
        Row(name="abn+pc", what="ABN and the PC loss", system="abn", settings=("loss.pc=1e-4",)),
        Row(name="mask", what="one map, pulled by the mask loss", settings=("loss.pc=0",)),
        Row(name="mask+pc", what="one map, mask and PC loss", settings=("loss.pc=1e-4",)),
        Row(name="mha", what="three maps, multi-head mask loss", heads=3, settings=("loss.pc=0",)),
        Row(name="mha+pc", what="three maps, multi-head mask and PC loss", heads=3, settings=("loss.pc=1e-4",)),
    )
}
"""The rows of tables 1 and 2 by name."""

WITHOUT_CACHE = ("optim.freeze=", "run.cache_features=off")
OTHERS = {
    row.name: row
    for row in (
        Row(name="best", what="our recipe", heads=3, style="best", settings=("loss.pc=0",)),
        Row(name="st_abn", what="ST-ABN: one map and weights of frames", system="st_abn", small=("loss.mask=0", "loss.pc=0")),
        Row(
            name="saliency_lstm",
            what="Meng et al.: saliency and ConvLSTM",
            system="saliency_lstm",
            small=(
                "model.cut=5",
                "loss.branch=0",
                "loss.mask=0",
                "loss.pc=0",
                "loss.total_variation=1e-5",
                "loss.contrast=1e-4",
                "loss.unimodal=1",
            ),
        ),
        Row(
            name="gated",
            what="Yudistira et al.: gates on every stage",
            system="gated",
            small=("model.cut=2", "loss.branch=0", "loss.mask=0", "loss.pc=0", *WITHOUT_CACHE),
        ),
        Row(
            name="plain",
            what="the backbone without attention, and explainers asked afterwards",
            system="plain",
            methods=("gradcam", "gradcam++", "saliency_tubes"),
        ),
    )
}
"""Rows that are trained when they are named."""

WHY = (
    "mha~model.merge_init=random",
    "mha~model.attention_init=random",
    "mha~loss.empty_mask=zeros",
    "abn~model.map_gain=4",
    "mask~model.map_gain=4",
    "mha~model.map_gain=4",
    "abn~optim.map_gain_factor=50",
    "mask~optim.map_gain_factor=50",
    "mask~optim.map_gain_factor=200",
    "mha~optim.map_gain_factor=50",
    "mask~optim.epochs=30",
    "mask~optim.schedule=constant",
    "mask~loss.mask_target=soft",
    "mask~loss.empty_mask=zeros",
    "mask~loss.mask=40",
    "mask~loss.dice=1",
    "mask~loss.mask_warmup_epochs=3",
    "mask~loss.temporal_variation=1",
    "mask~model.apply=residual",
    "mask~model.map_kernel=3",
    "mask~model.attention_blocks=same",
    "mask~model.attention_init=random",
    "mask~optim.ema=0.98",
    "mask+pc~loss.pc_form=squared",
    "mask+pc~loss.pc_form=uncentred",
    "mask+pc~loss.pc_form=official",
    "mask+pc~loss.pc_pool=flatten",
    "mask+pc~loss.pc_pool=flatten~loss.pc_form=squared",
    "mask+pc~loss.pc=1e-2",
    "mask+pc~optim.prototype_factor=100",
)
"""Rows that change one thing each (and one two at once, which do nothing alone), to find out what a row's numbers rest on;
`--rows why` means them all."""

FEW = tuple(
    f"{row}~data.shots=2~optim.epochs=60~run.evaluate_epochs=5" for row in ("abn", "mask", "mha", "mha~model.merge_init=random", "best")
)
"""Two training clips a class: where all others are right nearly always, these can still be told apart. `--rows few` means them."""

FEWER = "data.shots="
"""A change to the clips that are trained on, and not to how."""
GROUPS = {"table": tuple(TABLE), "why": WHY, "few": FEW}


def find_rows(names: tuple[str, ...]) -> tuple[Row, ...]:
    """Return rows by name, groups as their members; ROW~section.name=value is a row with that changed. ValueError for others."""
    each = [member for name in names for member in GROUPS.get(name, (name,))]
    return tuple(find_row(name) for name in dict.fromkeys(each))


def find_row(name: str) -> Row:
    """Return one row."""
    known = TABLE | OTHERS
    base, *changes = name.split("~")
    if base not in known or not all("=" in change for change in changes):
        raise ValueError(
            f"There is no row {name!r}; choose of {', '.join([*known, *GROUPS])}, or change one with ROW~section.name=value, "
            "as in mask~loss.dice=1."
        )
    if not changes:
        return known[base]
    row = known[base]
    what = f"{base} with {', '.join(changes)}"
    return dataclasses.replace(row, name=name, what=what, settings=(*row.settings, *changes), base=beside(base, changes))


def beside(row: str, changes: list[str]) -> str | None:
    """Return the row that a changed one is compared with: itself unchanged; where few clips are trained on, another of as few."""
    places = [place for place, change in enumerate(changes) if change.startswith(FEWER)]
    if not places:
        return row
    others, few = changes[: places[0]], changes[places[0] :]
    return "~".join((row if others else "abn", *few)) if others or row != "abn" else None


def row_config(dataset: str, budget: str, row: Row, *, seed: int, settings: tuple[str, ...] = ()) -> Config:
    """Return the complete settings of one training; `settings` are those of the command line, which hold over all."""
    chosen = BUDGETS[budget]
    is_own = budget == "paper" or row.system in ("abn", "object_abn", "plain")
    begun = recipe(dataset, chosen.style, heads=row.heads, system=row.system if is_own else "object_abn")
    if row.style is not None:
        begun = with_style(begun, row.style)
    system = () if is_own else (f"model.system={row.system}",)
    small = row.small if budget == "small" else ()
    return override(begun, *chosen.settings, *system, *small, *row.settings, *settings, f"run.seed={seed}")


def with_style(config: Config, style: str) -> Config:
    """Return settings with what a style changes, beside those of another one."""
    changes = [f"{path}={text(value)}" for part in STYLES[style] for path, value in part.settings.items()]
    return override(config, *changes)


def text(value: object) -> str:
    """Write a value as `--set` reads it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else str(value)
