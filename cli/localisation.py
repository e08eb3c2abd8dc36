"""What `objabn evaluate --boxes` adds: maps compared with boxes, and a table of it."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objabn.config import Config

if TYPE_CHECKING:
    from objabn.data.dataset import PackedDataset
    from objabn.localisation import Localisation, Localiser
    from objabn.models.network import AttentionNetwork
    from objabn.types import Batch, Output

SHOWN = ("0.3", "0.5")
"""Overlaps on the screen; the JSON has all."""


class ProtocolName(StrEnum):
    """The keys of `objabn.localisation.PROTOCOLS`, known without torch."""

    objabn = "objabn"
    meng = "meng"
    yudistira = "yudistira"


class BoxComparison:
    """A file of boxes, and the localiser that compares a network's maps with them once there is a network."""

    def __init__(
        self, path: Path, dataset: "PackedDataset", config: Config, *, subset: str, protocol: ProtocolName | None, maps: Sequence[str]
    ) -> None:
        from objabn.localisation import read_boxes

        self.boxes, self.dataset, self.config, self.subset = read_boxes(path), dataset, config, subset
        self.protocol, self.maps = protocol or ProtocolName.objabn, maps
        self.localiser: Localiser | None = None

    def watch(self, net: "AttentionNetwork") -> "Callable[[Batch, Output], None]":
        """Return what is to see each batch of an evaluation of this network."""
        from objabn.localisation import Localiser

        self.localiser = Localiser(
            net, self.dataset, self.config, self.boxes, subset=self.subset, protocol=self.protocol.value, maps=self.maps
        )
        return self.localiser.add

    def show(self) -> dict[str, Any]:
        """Print the numbers, and return them under the name that they have in the JSON."""
        assert self.localiser is not None
        found = self.localiser.result()
        print_localisation(found)
        return {"localisation": found.to_dict()}


def refuse_without_boxes(boxes: Path | None, protocol: ProtocolName | None, maps: Sequence[str]) -> None:
    """Raise ValueError where a flag says how to compare with boxes, and there are none."""
    if boxes is None and (protocol or maps):
        raise ValueError("--protocol and --map say how maps are compared with boxes; give these too: --boxes FILE.")


def print_localisation(found: "Localisation") -> None:
    """Show the counts, a row for each map, and what is peculiar to the protocol."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"Boxes, protocol {found.protocol}: {found.frames} frames of {found.clips} clips of {found.videos} videos; left out: "
        f"{found.videos_without_boxes} videos without boxes, {found.frames_without_box} frames without, "
        f"{found.frames_outside_crop} with all of theirs outside the crop.",
        highlight=False,
        soft_wrap=True,
    )
    table = Table("map", "mean IoU", *(f"IoU ≥ {threshold}" for threshold in SHOWN), "pointing", "recall in time", "precision")
    for name, of_map in found.maps.items():
        hits = (f"{of_map.hits[threshold]:.3f}" for threshold in SHOWN)
        precision = "" if of_map.temporal_precision is None else f"{of_map.temporal_precision:.3f}"
        table.add_row(name, f"{of_map.mean_iou:.3f}", *hits, f"{of_map.pointing:.3f}", f"{of_map.temporal_recall:.3f}", precision)
    console.print(table)
    console.print(found.note, highlight=False, soft_wrap=True)
