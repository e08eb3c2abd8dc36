"""The page itself: what stands where, and which of a scene's methods each part of it calls."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TypeVar
from uuid import uuid4

from nicegui import run, ui
from nicegui.events import GenericEventArguments, UploadEventArguments

from objabn.config import DataConfig
from objabn.models.network import AttentionNetwork
from objabn.viewing import exports
from objabn.viewing.clip_canvas import ClipCanvas
from objabn.viewing.controls import Controls
from objabn.viewing.local_only import LARGEST_UPLOAD
from objabn.viewing.opening import OpenVideo, open_video, read_clip, safe_name
from objabn.viewing.painting import Change
from objabn.viewing.predictions import Predictions
from objabn.viewing.scene import Scene, View

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Viewer:
    """What all pages of a server show."""

    net: AttentionNetwork
    data: DataConfig
    title: str
    methods: tuple[str, ...]
    """Post-hoc methods that are offered beside the network's own maps."""
    folder: Path
    """Where videos lie as long as they are looked at."""
    is_ending: Event = field(default_factory=Event)
    """Whether the server is about to end, so that nobody waits for a map any more."""


class Page:
    """One tab of a browser, its video and its edits; everything that takes a while runs in a thread beside it."""

    controls: Controls

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.video: OpenVideo | None = None
        self.scene: Scene | None = None
        self.view = View()
        self.is_stale = self.is_answering = False
        self.working: list[str | None] = []
        ui.add_css(Path(__file__).with_name("page.css"))
        self.folder = TemporaryDirectory(dir=viewer.folder, ignore_cleanup_errors=True)
        self.client = ui.context.client
        self.client.on_delete(self.folder.cleanup)
        self.build_head()
        self.columns = ui.element("div").classes("columns")
        with self.columns:
            with ui.element("div").classes("column"):
                self.canvas = ClipCanvas(self.uploader.id)
                self.canvas.on("view", self.look, throttle=0.05)
                self.canvas.on("stroke", self.stroke)
                self.canvas.on("key", lambda event: self.controls.press(event.args))
            with ui.element("div").classes("column"):
                self.predictions = Predictions()
                self.controls = Controls(self)
        self.columns.set_visibility(False)

    def build_head(self) -> None:
        """Put the title, the button that opens a video, and places for what is said on top."""
        net = self.viewer.net
        self.uploader = ui.upload(auto_upload=True, max_file_size=LARGEST_UPLOAD, on_upload=self.take, on_rejected=self.refuse)
        self.uploader.classes("uploader").props('accept="video/*,.avi,.mkv,.mpg,.gif" aria-hidden=true')
        self.uploader.on("failed", self.refuse, args=[])
        pick = f"() => {{ const it = getElement({self.uploader.id}).$refs.qRef; it.reset(); it.pickFiles(); }}"
        with ui.element("div").classes("head"):
            ui.label("objabn view").classes("title")
            about = (
                f"{self.viewer.title} · {net.config.backbone} · {net.config.system} · {', '.join(net.map_names)} · {net.classes} classes"
            )
            ui.label(about).classes("about")
            ui.button("Open a video", icon="movie").props("unelevated no-caps").on("click", js_handler=pick)
        self.message = ui.label().classes("message").props("role=alert")
        self.message.set_visibility(False)
        with ui.element("div").classes("progress") as self.progress:
            ui.spinner(size="1.4em", color="white")
            self.progress_text = ui.label()
        self.progress.set_visibility(False)
        with ui.element("div").classes("welcome") as self.welcome, ui.element("div").classes("frame"):
            ui.icon("movie", size="3em").classes("quiet")
            ui.label("Drop a video here").classes("title")
            ui.label("You see what the network answers and where it looks; paint on its maps, and it answers again.")
            ui.label("The video stays on this machine and is deleted when you close the page.").classes("quiet")

    async def take(self, event: UploadEventArguments) -> None:
        """Open what was handed in."""
        await self.client.connected()
        name = event.file.name
        path = Path(self.folder.name) / uuid4().hex
        await event.file.save(path)

        def read() -> tuple[OpenVideo, Scene]:
            video = open_video(path, name, self.viewer.data)
            return video, self.scene_of(video, None)

        found = await self.work(f"Reading {name}", read)
        if found is None:
            path.unlink(missing_ok=True)
            return
        old, (self.video, scene) = self.video, found
        if old is not None:
            old.path.unlink(missing_ok=True)
        self.controls.offer_video(self.video)
        self.show_scene(scene)

    def scene_of(self, video: OpenVideo, start_frame: int | None) -> Scene:
        """Read a clip and have it answered; this takes a while."""
        viewer = self.viewer
        return Scene(viewer.net, read_clip(video, viewer.data, start_frame), viewer.data.crop_size)

    def refuse(self) -> None:
        """Say why a file was not taken."""
        self.say(f"This file was not taken; a video of at most {LARGEST_UPLOAD // 2**20} MiB is, as MP4, AVI, MKV, WebM or the like.")

    async def move_to(self, start_frame: int) -> None:
        """Look at the clip that begins with a frame."""
        video = self.video
        if video is None:
            return
        scene = await self.work("Reading the clip", lambda: self.scene_of(video, start_frame))
        # Of several places that were asked for, the last one counts, whichever is read first.
        if scene is not None and video is self.video and start_frame == self.controls.start.value:
            self.show_scene(scene)

    def show_scene(self, scene: Scene) -> None:
        """Show a clip that was read."""
        self.scene = scene
        self.welcome.set_visibility(False)
        self.columns.set_visibility(True)
        self.canvas.open(scene)
        self.controls.select_own_map()
        self.refresh()

    async def select(self, name: str) -> None:
        """Show a map, which is drawn first where a post-hoc method draws it."""
        scene = self.scene
        if scene is not None and name in self.viewer.methods:
            await self.work(f"{name} is drawing its map", lambda: scene.explain(name, lambda: self.is_left(scene, name)))
            if name not in scene.explained and not self.is_left(scene, name):
                self.controls.select_own_map()
        self.refresh()

    def is_left(self, scene: Scene, name: str) -> bool:
        """Tell whether nobody waits for a map of a scene any more."""
        is_elsewhere = scene is not self.scene or name != self.controls.map_name
        return is_elsewhere or self.client.is_deleted or self.viewer.is_ending.is_set()

    def look(self, event: GenericEventArguments) -> None:
        """Note what is looked at."""
        self.view = View(**event.args)

    async def stroke(self, event: GenericEventArguments) -> None:
        """Paint on the map that is shown, and have it answered."""
        controls = self.controls
        if self.scene is not None and controls.is_painting:
            points, frame, is_new = (event.args[name] for name in ("points", "frame", "is_new"))
            self.scene.stroke(controls.map_name, points, controls.brush, frame=controls.frame(frame), is_new=is_new)
            await self.answer()

    async def change(self, change: Change) -> None:
        """Change the map that is shown by a button, and have it answered."""
        if self.scene is not None and self.controls.is_own_map:
            self.scene.change(self.controls.map_name, change, self.view, frame=self.controls.frame(self.view.frame))
            await self.answer()

    async def undo(self) -> None:
        """Take back the last change."""
        if self.scene is not None:
            self.scene.editor.undo()
            await self.answer()

    async def reset(self) -> None:
        """Give the network its own maps back."""
        if self.scene is not None:
            self.scene.editor.reset()
            await self.answer()

    async def answer(self) -> None:
        """Show the maps, and have them answered; what changes meanwhile is answered together, afterwards."""
        self.is_stale = True
        self.refresh()
        if self.is_answering:
            return
        self.is_answering = True
        try:
            while self.is_stale and (scene := self.scene) is not None:
                self.is_stale = False
                await self.work(None, scene.answer)
                self.refresh_answer()
        finally:
            self.is_answering = False
            self.refresh_answer()

    def refresh(self) -> None:
        """Show the map as it is."""
        if self.scene is not None:
            if self.scene.has(self.controls.map_name):
                self.canvas.show(self.scene.shown(self.controls.map_name))
            self.controls.refresh(is_edited=self.scene.editor.is_edited, can_undo=bool(self.scene.editor.steps))
            self.refresh_answer()

    def refresh_answer(self) -> None:
        """Show the answer as it is."""
        if self.scene is not None:
            self.predictions.show(self.scene, is_waiting=self.is_stale or self.is_answering)

    def save_maps(self) -> None:
        """Hand out the maps as they are."""
        if self.scene is not None and self.video is not None:
            ui.download.content(exports.maps_file(self.scene, self.video.name), f"{safe_name(self.video.name)}-maps.safetensors")

    def save_picture(self) -> None:
        """Hand out a picture of the map that is shown."""
        name = self.controls.map_name
        if self.scene is not None and self.video is not None and self.scene.has(name):
            ui.download.content(exports.picture_file(self.scene, name), f"{safe_name(self.video.name)}-{safe_name(name)}.png")

    async def work(self, text: str | None, function: Callable[[], Result]) -> Result | None:
        """Run what takes a while beside the page, which says so meanwhile; what goes wrong becomes a sentence on it, and None."""
        self.message.set_visibility(False)
        self.working.append(text)
        self.show_progress()
        try:
            return await run.io_bound(function)
        except Exception as error:  # whatever it is, the page stays
            self.say(str(error) if isinstance(error, RuntimeError | ValueError | OSError) else f"This went wrong: {error!r}.")
            return None
        finally:
            self.working.remove(text)
            self.show_progress()

    def show_progress(self) -> None:
        """Say what is being worked at, where it takes long enough to be said."""
        texts = [text for text in self.working if text is not None]
        self.progress.set_visibility(bool(texts))
        self.progress_text.set_text(f"{' · '.join(texts)} …")

    def say(self, sentence: str) -> None:
        """Show a sentence on top."""
        self.message.set_text(sentence)
        self.message.set_visibility(True)
