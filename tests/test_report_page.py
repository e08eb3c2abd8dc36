"""Reports in a browser: nothing is asked for, clips play, every control changes what is drawn, nothing of the data is obeyed."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from reports import FRAMES, HOSTILE, toy_run

from objabn.reporting import report_data, report_page

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

pytestmark = pytest.mark.browser

CHOSEN = {0: ["best", "each class"], 1: ["worst"], 2: ["each class"]}


class Page:
    """A report that is open in a browser."""

    def __init__(self, driver: "WebDriver", path: Path, html: str) -> None:
        self.driver, self.address = driver, path.as_uri()
        path.write_text(html)

    def open(self, *, scheme: str = "light", motion: str = "no-preference") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": motion}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(self.address)

    def find(self, selector: str) -> "WebElement":
        return self.driver.find_element("css selector", selector)

    def run(self, script: str, *given: object) -> Any:
        return self.driver.execute_script(script, *given)

    def pixels(self, selector: str = ".card canvas") -> str:
        return self.run("return document.querySelector(arguments[0]).toDataURL()", selector)

    def wait(self, condition: Callable[[], bool]) -> None:
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, 5, poll_frequency=0.03).until(lambda _: condition())

    def drawn_after(self, act: Callable[[], object], selector: str = ".card canvas") -> str:
        """Return the pixels of a canvas once something changed them."""
        before = self.pixels(selector)
        act()
        self.wait(lambda: self.pixels(selector) != before)
        return self.pixels(selector)

    def move(self, selector: str, value: float) -> None:
        """Move a slider as a pointer does."""
        script = "const [name, value] = arguments; const slider = document.querySelector(name); slider.value = value;"
        self.run(script + "slider.dispatchEvent(new Event('input', {bubbles: true}))", selector, value)

    def press(self, *keys: str, on: str = ".card") -> None:
        self.find(on).send_keys(*keys)

    def frame(self) -> str:
        return self.find(".card output").text

    def complaints(self) -> list[str]:
        """Return what the console says, and every address but the page's own that was asked for."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        assert self.address in asked, "requests are seen"
        outside = [url for url in asked if url != self.address and not url.startswith("data:")]
        return [entry["message"] for entry in self.driver.get_log("browser")] + outside

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click()", selector)


@pytest.fixture
def page(browser: "WebDriver", tmp_path: Path) -> Page:
    """Two runs on classes with names that are programs."""
    classes = (HOSTILE, "b & \"c\" 'd' {{data}} äß漢")
    runs = [toy_run("one", classes=classes), toy_run(HOSTILE, classes=classes, seed=1)]
    data = report_data(runs, chosen=CHOSEN, made=HOSTILE)
    return Page(browser, tmp_path / "report 'ü'.html", report_page(data))


def test_clips_play_and_every_control_changes_what_is_drawn(page: Page) -> None:
    page.open()
    page.find("#clips").location_once_scrolled_into_view  # noqa: B018
    page.wait(lambda: page.frame() == f"2/{FRAMES}")
    page.drawn_after(lambda: None)
    page.click("#all-play")
    page.move(".card .transport input", 0)
    page.wait(lambda: page.frame() == f"1/{FRAMES}")
    first = page.pixels()
    second = page.drawn_after(lambda: page.move(".card .transport input", 1))
    assert page.drawn_after(lambda: page.press("\ue012")) == first, "the arrow goes back"
    assert page.drawn_after(lambda: page.press("\ue014")) == second, "and on"
    page.press("\ue012")
    page.drawn_after(lambda: page.move("#all-opacity", 0))
    plain = page.drawn_after(lambda: page.move("#all-threshold", 0))
    assert page.drawn_after(lambda: page.move("#all-opacity", 0.6)) != plain
    assert page.drawn_after(lambda: page.move("#all-threshold", 0.5)) == first
    free = page.drawn_after(lambda: page.press("2"))
    assert page.find(".card select").get_attribute("value") == "M_u"
    assert page.drawn_after(lambda: page.click("[name=all-map][value=none]")) == plain
    assert page.drawn_after(lambda: page.click("[name=all-map][value=M_u]")) == free
    page.click("[name=all-map][value=all]")
    assert len(page.driver.find_elements("css selector", ".card:first-child canvas")) == 2 * 3, "two runs, frames and two maps"
    page.press(" ")
    assert page.find(".card .play").get_attribute("aria-label") == "Pause"
    page.drawn_after(lambda: None)
    page.click("[name=all-videos][value=worst]")
    assert [card.is_displayed() for card in page.driver.find_elements("css selector", ".card")] == [False, True, False]
    assert page.complaints() == []


def test_the_page_stands_on_its_own_and_obeys_no_data(page: Page) -> None:
    page.open()
    assert page.driver.title.startswith("one · </script>")
    assert page.find(".card h3").text == " ".join(HOSTILE.split())
    assert page.run("return [window.hurt, document.images.length, document.querySelectorAll('script').length]") == [None, 0, 2]
    names = page.run("return [...document.querySelectorAll('h2, h3')].filter((each) => !each.textContent).length")
    unnamed = "[...document.querySelectorAll('input, select, button')].filter((each) => !each.closest('label') && !each.ariaLabel"
    assert (names, page.run(f"return {unnamed} && !each.textContent).length")) == (0, 0), "everything has a name"
    # A program that got in all the same would be refused.
    page.run("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hurt = 1'}))")
    assert page.run("return window.hurt") is None
    refused = page.complaints()
    assert len(refused) == 1
    assert "Content Security Policy" in refused[0]


def test_colours_follow_the_system_and_the_button_and_narrow_screens_have_all_they_need(page: Page) -> None:
    colour = "return getComputedStyle(document.body).backgroundColor"
    page.open(scheme="light")
    light = page.run(colour)
    page.click("#theme")
    dark = page.run(colour)
    assert light != dark
    page.open(scheme="dark", motion="reduce")
    assert page.run(colour) == dark
    assert page.find("#all-play").text == "Play all", "who wants less motion starts it"
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True})
    page.open()
    page.wait(lambda: page.run("return document.querySelectorAll('svg').length") > 5)
    assert page.run("return document.documentElement.scrollWidth") <= 390
    assert page.run("return document.querySelector('.card').getBoundingClientRect().width") > 300
    assert page.complaints() == []


def test_curves_and_a_large_confusion_matrix_are_read_by_keys(browser: "WebDriver", tmp_path: Path) -> None:
    classes = tuple(f"class {number}" for number in range(400))
    run = toy_run(videos=400, classes=classes, clips={})
    page = Page(browser, tmp_path / "report.html", report_page(report_data([dataclasses.replace(run)], chosen={})))
    page.open()
    page.wait(lambda: len(page.driver.find_elements("css selector", ".chart .readout")) > 3)
    assert "epochs 0.667" in page.find(".chart .readout").text
    page.press("\ue012", "\ue012", "\ue012", "\ue012", on="#training svg")
    assert "epoch 2" in page.find(".chart .readout").text
    assert "epochs 1.00" in page.find(".chart .readout").text
    page.press("\ue015", on=".picture canvas")
    assert page.find(".picture .readout").text.startswith("class 1 taken for class ")
    assert page.complaints() == []
