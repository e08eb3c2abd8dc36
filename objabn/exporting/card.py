"""The model card of an exported network: all about its training and its worth is read from the run, and what is not known is left out."""

import html
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

import objabn
from objabn.config import Config
from objabn.exporting.run import RunFacts
from objabn.models.network import AttentionNetwork, count_parameters
from objabn.settings import learning_settings

FRONT_MATTER = """---
library_name: objabn
pipeline_tag: video-classification
tags:
- video-classification
- action-recognition
- attention
# license: fill in before you publish
---
"""
SETTINGS = (
    *("data.dataset", "data.fold", "data.clip_frames", "data.stride_frames", "data.crop_size", "data.short_side"),
    *("model.backbone", "model.system", "model.heads", "model.weights", "loss.branch", "loss.mask", "loss.pc"),
    *("optim.name", "optim.lr", "optim.batch", "optim.epochs", "run.seed"),
)
"""Settings that a card names in any case; others where they differ from the library's defaults."""

CLASSES_SHOWN = 20


def model_card(net: AttentionNetwork, run: RunFacts | None) -> str:
    """Return the card of a network as Markdown; without a run it says what the network itself knows."""
    sections = [introduction(net), usage(net)]
    if run is not None:
        sections.append(training(net, run))
    if run is not None and run.evaluation is not None:
        sections.append(evaluation(run.evaluation))
    return FRONT_MATTER + "\n" + "\n\n".join([*sections, limits(net, run)]) + "\n"


def introduction(net: AttentionNetwork) -> str:
    """Say what the network is, and name its maps and classes."""
    config = net.config
    lines = [
        f"# {config.backbone} " + (f"with {config.system}, {number(net.map_names, 'map')}" if net.map_names else "without attention"),
        f"A network of objabn {objabn.__version__} with {count_parameters(net):,} parameters. It tells {net.classes} actions in videos "
        f"apart{sight(net)}.",
    ]
    if net.class_names is not None:
        names = "config.json lists them" if net.classes > CLASSES_SHOWN else ", ".join(map(plain, net.class_names))
        lines.append(f"Classes: {names}.")
    return "\n\n".join(lines)


def sight(net: AttentionNetwork) -> str:
    """Say which maps it draws, if it does."""
    if not net.map_names:
        return ""
    return (
        f" and shows where it looks: for each frame of a clip {number(net.map_names, 'attention map')} ({', '.join(net.map_names)}) "
        f"of {net.grid_size} x {net.grid_size} cells in [0, 1], which also decide what the rest of the network sees"
    )


def usage(net: AttentionNetwork) -> str:
    """Show how to load and run it."""
    shape = f"(1, 3, {net.clip_frames}, {net.clip_size}, {net.clip_size})"
    known = net.clip_config is not None
    imports = ["from pathlib import Path", "", "import objabn", "from objabn.explainers.video import read_centre_clip"]
    read = 'read_centre_clip(Path("VIDEO.mp4"), net.clip_config).clip[None]' if known else "..."
    lines = [
        *(imports if known else ["import objabn"]),
        "",
        'net = objabn.load_model("PATH/OF/THIS/FOLDER")',
        f"clip = {read}  # {shape} uint8 RGB",
        "output = net(clip)",
        "output.logits.softmax(1), output.maps  # probabilities (1, K), maps (1, N, T, y, x)",
    ]
    return "\n".join(["## Use", "", "```python", *lines, "```"])


def training(net: AttentionNetwork, run: RunFacts) -> str:
    """Say what it learnt from, how long, and with which settings."""
    config = run.config
    epochs = "At most" if run.epochs is None else f"{run.epochs} of"
    told = (
        f"{epochs} {config.optim.epochs} epochs on {plain(PurePath(config.data.dataset).name)} (checkpoint {run.checkpoint}), "
        f"recipe {plain(config.recipe)}. {map_aims(net, config)}"
    )
    rows = [(f"`{name}`", plain(shown(value))) for name, value in chosen_settings(config).items()]
    versions = ", ".join(f"{name} {version}" for name, version in run.environment["versions"].items())
    return "\n\n".join(["## Training", told, table(("setting", "value"), rows), f"Versions: {plain(versions)}."])


def map_aims(net: AttentionNetwork, config: Config) -> str:
    """Say which maps were pulled where."""
    if not net.map_names:
        return "It draws no map."
    if config.model.system != "object_abn" or config.loss.mask == 0:
        return "No map was pulled to anything."
    aims = {"M_o": "to the objects' masks"} | ({"M_b": "to what is no object"} if config.loss.background > 0 else {})
    told = [f"{name} was pulled {aims[name]}" for name in net.map_names if name in aims]
    free = [name for name in net.map_names if name not in aims]
    return "; ".join(told + ([f"{', '.join(free)} stayed free"] if free else [])) + "."


def chosen_settings(config: Config) -> dict[str, Any]:
    """Return the settings that every card names, and all that change what is learnt and are not the library's defaults."""
    own, defaults = learning_settings(config), learning_settings(Config())
    return {
        f"{section}.{name}": value
        for section, values in own.items()
        for name, value in values.items()
        if f"{section}.{name}" in SETTINGS or value != defaults[section][name]
    }


def shown(value: Any) -> str:
    """Return a setting as --set takes it; of a path the last part only."""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return PurePath(value).name if isinstance(value, str) else str(value)


def evaluation(values: dict[str, Any]) -> str:
    """Return the numbers of evaluation.json with their units."""
    told = (
        f"Subset {values['subset']} of {plain(values['dataset'])}, {values['videos']} videos, "
        f"views of each: {values['views']}; could not be read: {values['skipped']}."
    )
    scores = {"top-1": "top1", "top-5": "top5", "top-1 of the attention branch": "branch_top1", "top-1 of single views": "clip_top1"}
    rows = [(name, f"{values[key]:.2f} %") for name, key in scores.items() if key in values]
    rows.append(("mean of -ln of the true class's probability", f"{values['nll']:.4f}"))
    columns = ("entropy", "mask_iou", "pointing")
    names = values.get("entropy", {})
    maps = [(name, *(f"{values[key][name]:.3f}" if name in values.get(key, {}) else "" for key in columns)) for name in names]
    grid = " x ".join(map(str, values["grid"]))
    titles = ("map", f"entropy (bits, on {grid} cells; lower is sharper)", "overlap (IoU) with the masks", "points at an object (share)")
    tables = [table(("measure", "value"), rows), *([table(titles, maps)] if maps else [])]
    return "\n\n".join(["## Evaluation", told, *tables])


def limits(net: AttentionNetwork, run: RunFacts | None) -> str:
    """Say what follows from all this for whoever uses it."""
    cut = "" if net.clip_config is None else ", cut out of videos as config.json says"
    told = [
        f"It answers with one of its {net.classes} classes, whatever it is shown.",
        f"It is made for clips of {net.clip_frames} frames of {net.clip_size} x {net.clip_size} pixels{cut}.",
    ]
    if run is not None:
        told.append(f"One run with one seed ({run.config.run.seed}): how much its numbers vary from run to run is not known.")
        if run.checkpoint == "last" and run.epochs != run.config.optim.epochs:
            told.append(f"It has had {run.epochs} of {run.config.optim.epochs} epochs only.")
    if run is not None and run.evaluation is not None:
        told.append(f"In the evaluation one video is {100 / run.evaluation['videos']:.2f} points of accuracy.")
        if run.checkpoint == "best" and run.evaluation["subset"] == "val":
            told.append("The checkpoint was chosen by its accuracy on the very videos it is evaluated on, which flatters it.")
    return "## Limits\n\n" + "\n".join(f"- {sentence}" for sentence in told)


def table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (titles, ("---",) * len(titles), *rows))


def number(things: tuple[str, ...], name: str) -> str:
    """Return how many things there are, in words."""
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def plain(text: str) -> str:
    """Return text that came with the data so that neither HTML nor Markdown reads anything into it."""
    return html.escape(text).replace("|", "&#124;").replace("`", "&#96;").replace("\n", " ")
