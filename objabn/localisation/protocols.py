"""How a map becomes a box and a box a hit: protocols by name, ours and those of two papers."""

from dataclasses import dataclass
from typing import Literal

IOU_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """Settings of one way to compare maps with boxes; numbers of two protocols do not compare."""

    note: str
    """What this protocol does that others do not, to stand beside its numbers."""
    canvas_size: tuple[int, int] | None = None
    """Rows and columns that the map of a crop is enlarged to before anything is found in it; None is the crop's own size."""
    is_grey: bool = False
    """The stretched map becomes whole grey levels of 0 to 255, before it is enlarged and after; else it is stretched when enlarged."""
    threshold_from: Literal["lowest", "mean"] = "lowest"
    """Where in the values of a frame the threshold starts."""
    threshold: float = 0.5
    """Share of the way from there to the highest value."""
    is_strict: bool = False
    """Only what is above the threshold is found, not what is at it."""
    regions: Literal["largest", "all"] = "largest"
    """The box is around the region whose own box has the largest area, or around all of them."""
    tubes: Literal["all", "first"] = "all"
    """The box is compared with those of all actors of which the best counts, or with the first actor's alone."""
    added_pixels: int = 0
    """Added to the sides of boxes and overlaps: 1 where right and bottom edges are taken for pixels of the box."""
    needs_right_class: bool = False
    """Frames of a clip whose class is not recognised are misses."""
    weight_factor: float = 1.15
    """A frame is chosen in time where its weight is more than so many times the mean of its clip (Meng et al.: 0.023 of 50 frames)."""
    recall_to_hit: float | None = None
    """A clip is a hit in time where more than this share of its annotated frames is chosen and its class is right."""


PROTOCOLS: dict[str, Protocol] = {
    "objabn": Protocol(
        note="Frames are stretched one by one; the largest region at half height or above, the best of all actors, whatever class is "
        "recognised.",
    ),
    "meng": Protocol(
        note="Meng et al. 2019: grey levels above 200 of 255 at 320 x 240, the largest region, the first actor alone, edges counted as "
        "pixels; their score is the hits at IoU 0.3. In time a clip is a hit by recall alone, however many frames are chosen. Here maps "
        "and boxes are those of the crop, theirs of whole frames; and three slips of their code are not repeated: one video's boxes for "
        "all, sums that overflow, and an overlap of boxes that lie apart in both directions.",
        canvas_size=(240, 320),
        is_grey=True,
        threshold=200 / 255,
        is_strict=True,
        tubes="first",
        added_pixels=1,
        recall_to_hit=0.5,
    ),
    "yudistira": Protocol(
        note="Yudistira et al. 2020: above the middle between mean and highest value, one box around all regions; clips of a wrong class "
        "are misses, so that this is localisation and accuracy in one number. Here frames have any number of actors, of which the best "
        "counts, and boxes are cut as the frames are; theirs have one, and are not.",
        threshold_from="mean",
        is_strict=True,
        regions="all",
        needs_right_class=True,
    ),
}


def find_protocol(name: str) -> Protocol:
    """Return the protocol of this name; an unknown name raises ValueError with those there are."""
    if name not in PROTOCOLS:
        raise ValueError(f"There is no protocol {name!r}; choose one of {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]
