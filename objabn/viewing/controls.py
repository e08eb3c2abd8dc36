"""What one chooses on the page: the clip, the map, the brush, and what is to happen to the map."""

from typing import TYPE_CHECKING

from nicegui import ui

from objabn.viewing.opening import OpenVideo
from objabn.viewing.painting import Brush, Change

if TYPE_CHECKING:
    from objabn.viewing.page import Page

LOOK, ADD, ERASE = "Look", "Add", "Erase"
CHANGES: dict[Change, tuple[str, str]] = {
    "keep": ("Keep only", "Set the map to 0 outside the contour"),
    "remove": ("Remove", "Set the map to 0 inside the contour"),
    "invert": ("Invert", "Turn each value v into 1 - v"),
    "open": ("Map off", "Give every cell the value at which the map hides nothing"),
}
RADII = (0.02, 0.3)


class Controls:
    """The column of choices; what they lead to is the page's business."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.build_clip()
        self.build_map()
        self.build_brush()
        self.build_exports()

    def build_clip(self) -> None:
        """Put the slider over the video's time."""
        with ui.element("div").classes("group"):
            self.video_name = ui.label().classes("name video-name")
            with ui.element("div").classes("line") as self.position:
                ui.label("Clip from")
                self.start = ui.slider(min=0, max=1, step=1).classes("start-slider").props("aria-label=Start")
                self.start.on("update:model-value", self.write_start)
                self.start.on("change", lambda: self.page.move_to(int(self.start.value)), args=[])
                self.start_text = ui.label()

    def build_map(self) -> None:
        """Put the choice of a map."""
        viewer = self.page.viewer
        with ui.element("div").classes("group"):
            ui.label("Map").classes("name")
            # The map of objects is the one that people have a view on.
            self.first_map = "M_o" if "M_o" in viewer.net.map_names else viewer.net.map_names[0]
            names = {name: f"{name} (the network's own)" for name in viewer.net.map_names} | {name: name for name in viewer.methods}
            self.chosen = ui.select(names, value=self.first_map, on_change=self.choose).props("outlined dense options-dense")
            self.chosen.classes("map-select").style("width: 100%")
            self.note = ui.label(
                "This map explains the network's own answer and does not act on it, so there is nothing to paint."
            ).classes("quiet")

    def build_brush(self) -> None:
        """Put the brush, and the buttons that change a map."""
        with ui.element("div").classes("group tools") as self.tools:
            ui.label("Edit the map").classes("name")
            with ui.element("div").classes("line"):
                self.mode = ui.toggle([LOOK, ADD, ERASE], value=LOOK, on_change=self.show_brush).props("no-caps unelevated")
                self.scope = ui.toggle(["All frames", "This frame"], value="All frames").props("no-caps unelevated")
            with ui.element("div").classes("line"):
                ui.label("Size")
                self.size = ui.slider(min=RADII[0], max=RADII[1], step=0.01, value=0.08, on_change=self.show_brush)
                ui.label("Strength")
                self.strength = ui.slider(min=0.1, max=1, step=0.1, value=1)
            with ui.element("div").classes("line"):
                for change, (text, hint) in CHANGES.items():
                    self.button(text, hint, lambda change=change: self.page.change(change))
            with ui.element("div").classes("line"):
                self.undo = self.button("Undo", "z", self.page.undo, icon="undo")
                self.reset = self.button("Reset", "Give the network its own maps back", self.page.reset, icon="restart_alt")

    def build_exports(self) -> None:
        """Put the downloads and the keys."""
        with ui.element("div").classes("group"):
            with ui.element("div").classes("line"):
                self.button("Maps", "All maps, edited and own, as safetensors", self.page.save_maps, icon="download")
                self.button("Picture", "The map over all frames, edited and own, as PNG", self.page.save_picture, icon="image")
            ui.label("Keys: ← → frames, space plays, [ ] brush size, z undoes").classes("quiet")

    def button(self, text: str, hint: str, act: object, *, icon: str | None = None) -> ui.button:
        """Put a button."""
        return ui.button(text, on_click=act, icon=icon).props("outline no-caps dense padding='4px 10px'").tooltip(hint)  # type: ignore[arg-type]

    @property
    def map_name(self) -> str:
        """The map that is shown."""
        return str(self.chosen.value)

    @property
    def is_own_map(self) -> bool:
        """Whether the network acts on the map that is shown."""
        return self.map_name in self.page.viewer.net.map_names

    @property
    def is_painting(self) -> bool:
        """Whether strokes paint."""
        return self.mode.value != LOOK and self.is_own_map

    @property
    def brush(self) -> Brush:
        """The brush as chosen."""
        return Brush(radius=self.size.value, strength=self.strength.value, is_eraser=self.mode.value == ERASE)

    def frame(self, shown: int) -> int | None:
        """The frame that is to be changed when one is shown, or None for all."""
        return shown if self.scope.value == "This frame" else None

    def offer_video(self, video: OpenVideo) -> None:
        """Show the name of a video and the slider over its time, where there is a choice."""
        self.video_name.set_text(video.name)
        self.rate = float(video.extent.fps)
        self.position.set_visibility(video.last_start > 0)
        self.start.props(f"max={max(video.last_start, 1)}")
        self.start.set_value(video.last_start // 2)
        self.write_start()

    def write_start(self) -> None:
        """Show the second at which the clip begins."""
        self.start_text.set_text(f"{self.start.value / self.rate:.1f} s")

    def select_own_map(self) -> None:
        """Show one of the network's maps where another than its own is shown."""
        if not self.is_own_map:
            self.chosen.set_value(self.first_map)

    async def choose(self) -> None:
        """Show the map that was chosen, and what one can do with it."""
        self.tools.set_visibility(self.is_own_map)
        self.note.set_visibility(not self.is_own_map)
        self.show_brush()
        await self.page.select(self.map_name)

    def show_brush(self) -> None:
        """Show the brush, where it paints."""
        self.page.canvas.set_brush(self.size.value, is_painting=self.is_painting)

    def refresh(self, *, is_edited: bool, can_undo: bool) -> None:
        """Offer what is possible."""
        self.undo.set_enabled(can_undo)
        self.reset.set_enabled(is_edited)

    async def press(self, key: str) -> None:
        """Do what a key means."""
        if key == "z":
            await self.page.undo()
        else:
            change = 0.02 if key == "]" else -0.02
            self.size.set_value(round(min(max(self.size.value + change, RADII[0]), RADII[1]), 2))
