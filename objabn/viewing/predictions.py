"""The network's answer on the page: a bar for each class, and what became of it."""

from nicegui import ui

from objabn.viewing.scene import Bar, Scene, class_name

MOST_BARS = 5


class Predictions:
    """The most probable classes, each with a bar, and where an edited map changed it with the change and a mark at its own value."""

    def __init__(self) -> None:
        with ui.element("div").classes("group"):
            ui.label("Answer").classes("name")
            self.verdict = ui.label().classes("verdict").props("aria-live=polite")
            with ui.element("div").classes("bars") as self.bars:
                self.rows = [Row() for _ in range(MOST_BARS)]
            self.speed = ui.label().classes("quiet")

    def show(self, scene: Scene, *, is_waiting: bool) -> None:
        """Show the answer of a scene; while the next one is being computed it stands back."""
        is_edited = scene.editor.is_edited
        found = scene.bars(MOST_BARS)
        for row, bar in zip(self.rows, [*found, *[None] * (MOST_BARS - len(found))], strict=True):
            row.show(bar, is_edited=is_edited)
        before, now = (class_name(scene.net, int(values_K.argmax())) for values_K in (scene.own_K, scene.now_K))
        if not is_edited:
            self.verdict.set_text(before)
        else:
            self.verdict.set_text(f"{before} → {now}" if before != now else f"still {now}")
        self.speed.set_text(f"answered in {scene.seconds:.2f} s" if is_edited else "")
        self.bars.classes(add="waiting" if is_waiting else "", remove="" if is_waiting else "waiting")


class Row:
    """One class."""

    def __init__(self) -> None:
        with ui.element("div").classes("bar") as self.bar:
            self.fill = ui.element("div").classes("fill")
            self.own = ui.element("div").classes("own")
            self.name = ui.label().classes("class")
            self.number = ui.label().classes("number")
            self.change = ui.label().classes("change")

    def show(self, bar: Bar | None, *, is_edited: bool) -> None:
        """Show a class, or nothing."""
        self.bar.set_visibility(bar is not None)
        if bar is None:
            return
        change = 100 * (bar.probability - bar.own)
        self.fill.style(f"width: {100 * bar.probability:.2f}%")
        self.own.style(f"left: {100 * bar.own:.2f}%").set_visibility(is_edited)
        self.name.set_text(bar.name)
        self.number.set_text(f"{100 * bar.probability:.1f} %")
        text = f"{change:+.1f}".replace("-", "\N{MINUS SIGN}") if is_edited and abs(change) >= 0.05 else ""
        self.change.set_text(text).classes(replace="change up" if change > 0 else "change down")
