"""The element that draws a clip and its map in the browser, and what it is told."""

import base64
import io
from typing import Any

import numpy as np
from nicegui.element import Element
from PIL import Image

from objabn.explainers.overlay import heat_colours
from objabn.viewing.scene import Scene, ShownMap

FASTEST_FRAMES_PER_SECOND = 15.0


class ClipCanvas(Element, component="clip_canvas.js"):
    """A clip with a map over it; its events are described in `clip_canvas.js`."""

    def __init__(self, uploader: int) -> None:
        super().__init__()
        # Files that are dropped anywhere on the page go to this element.
        self.props["uploader"] = uploader
        self.set_brush(0.08, is_painting=False)

    def set_brush(self, radius: float, *, is_painting: bool) -> None:
        """Show a brush of a radius in sides of the picture, or none."""
        self.props["radius"] = radius
        self.props["isPainting"] = is_painting

    def open(self, scene: Scene) -> None:
        """Show the frames of a clip."""
        seconds = scene.window.seconds.tolist()
        gap = (max(seconds) - min(seconds)) / max(len(seconds) - 1, 1)
        rate = min(1 / gap, FASTEST_FRAMES_PER_SECOND) if gap else 1.0
        colours = heat_colours(np.linspace(0, 1, 256, dtype=np.float32)).tolist()
        frames = [picture_address(frame_YXC) for frame_YXC in scene.frames_TYXC]
        self.run_method("open", {"frames": frames, "seconds": seconds, "rate": rate, "colours": colours})

    def show(self, shown: ShownMap) -> None:
        """Show a map over the frames."""
        self.run_method("show", packed_map(shown))


def picture_address(picture_YXC: np.ndarray) -> str:
    """Return a picture as an address that holds it."""
    file = io.BytesIO()
    Image.fromarray(picture_YXC).save(file, "JPEG", quality=92)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def packed_map(shown: ShownMap) -> dict[str, Any]:
    """Return a map as JSON, its values as 16-bit integers of which the largest is 1."""
    values = np.rint(shown.values.clip(0, 1) * 65535).astype("<u2")
    return {
        "values": base64.b64encode(values.tobytes()).decode(),
        "grid": values.shape,
        **{name: value for name, value in shown._asdict().items() if name not in ("values", "is_editable")},
    }
