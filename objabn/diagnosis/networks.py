"""Networks: whether they can be built here, and which weights are at hand."""

from collections.abc import Iterator
from pathlib import Path

import torch

from objabn.diagnosis.findings import Finding, note, ok, problem
from objabn.models.build import create_model
from objabn.models.sizes import BACKBONES
from objabn.models.weights import read


def findings() -> Iterator[Finding]:
    """Yield what is found of networks and weights."""
    yield check_network()
    yield from check_weights(Path(torch.hub.get_dir()) / "checkpoints")
    yield check_segmenters(Path.home() / ".cache" / "objabn")


def check_network() -> Finding:
    """Run the smallest network, forward and backward."""
    net = create_model("x3d_nano", classes=2, clip_frames=4, clip_size=32)
    output = net(torch.zeros(2, 3, 4, 32, 32, dtype=torch.uint8))
    output.logits.sum().backward()
    return ok("network", f"built and differentiated with torch {torch.__version__}")


def check_weights(folder: Path) -> Iterator[Finding]:
    """Read the weights that were downloaded, and say which were not; a download that was cut off can be read no more."""
    absent = []
    for name, size in BACKBONES.items():
        if size.kinetics400 is None:
            continue
        path = folder / size.kinetics400.rpartition("/")[2]
        if path.is_file():
            yield check_file(name, path)
        else:
            absent.append(path.name)
    if absent:
        remedy = f"They are downloaded when first needed; without a network, put the files into {folder}, or give --weights FILE."
        yield note("Kinetics-400 weights", f"not downloaded yet: {', '.join(absent)}", remedy)


def check_file(name: str, path: Path) -> Finding:
    """Read one file of weights."""
    try:
        read(path)
    except (OSError, ValueError) as error:
        return problem(name, str(error), f"Delete {path}; it is downloaded again when first needed.")
    return ok(name, f"{path} ({path.stat().st_size / 1e6:.0f} MB)")


def check_segmenters(folder: Path) -> Finding:
    """Name the segmentation networks that objabn masks has downloaded."""
    found = [path.name for path in sorted(folder.glob("*.pt"))]
    if found:
        return ok("segmenters", f"{', '.join(found)} in {folder}")
    remedy = "objabn masks downloads one when first needed; without a network, give --segmenter FILE."
    return note("segmenters", f"none in {folder}", remedy)
