"""The page in a browser: a video is opened and looked at, maps are painted on, and nothing comes from elsewhere."""

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from torch import nn
from toys import nano, toy_config
from videos import numbered_frames, write_video

pytest.importorskip("nicegui")
pytest.importorskip("selenium")

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

pytestmark = pytest.mark.browser
NAMES = ("running", "<img src=x onerror=alert(1)>", "sitting")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps videos."""
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Of a server; NiceGUI has but one application in a process."""
    import uvicorn

    from objabn.viewing.page import Viewer
    from objabn.viewing.server import PageServer, build_app, reserve_port

    net = nano(toy_config()).eval()
    net.class_names = NAMES
    # The blocks of a new network do nothing yet, so that its answer hardly hangs on its map.
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.constant_(module.weight, 1.5)
    nn.init.normal_(net.get_submodule(net.classifier).weight, 0, 0.3)
    viewer = Viewer(net=net, data=toy_config().data, title="<b>a run</b>", methods=("gradcam",), folder=folder)
    ready = threading.Event()
    with reserve_port(0) as holder:
        config = uvicorn.Config(build_app(viewer), log_level="warning", timeout_graceful_shutdown=1)
        server = PageServer(config, on_ready=ready.set, on_end=viewer.is_ending.set)
        thread = threading.Thread(target=server.run, args=([holder],))
        thread.start()
        assert ready.wait(30)
        yield f"http://127.0.0.1:{holder.getsockname()[1]}/"
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


class Visitor:
    """What one does on the page."""

    def __init__(self, browser: "WebDriver") -> None:
        self.browser = browser

    def one(self, selector: str) -> "WebElement":
        return self.browser.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def wait(self, condition: Callable[[], Any]) -> Any:
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.browser, 20, 0.05, [StaleElementReferenceException]).until(lambda _: condition())

    def open(self, video: Path) -> None:
        """Open a video made for it, and wait until it is shown."""
        write_video(video, numbered_frames(30))
        self.one("input[type=file]").send_keys(str(video))
        self.wait(lambda: self.text(".video-name") == video.name and self.text(".verdict") and self.text(".facts"))

    def press(self, text: str) -> None:
        self.browser.find_element("xpath", f"//button[normalize-space()='{text}' or .//span[normalize-space()='{text}']]").click()

    def picture(self) -> str:
        return self.browser.execute_script("return document.querySelector('.stage canvas').toDataURL()")

    def until_drawn(self, before: str) -> str:
        return self.wait(lambda: (now := self.picture()) != before and now)

    def drop(self, name: str, content: bytes) -> None:
        """Drop a file on the page, as from a folder."""
        script = """
            const bytes = Uint8Array.from(atob(arguments[1]), (letter) => letter.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], arguments[0], { type: "video/mp4" }));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));"""
        self.browser.execute_script(script, name, base64.b64encode(content).decode())

    def numbers(self) -> list[str]:
        return [each.text for each in self.browser.find_elements("css selector", ".bar .number")]

    def settled(self) -> bool:
        """Whether the newest maps are answered."""
        return "waiting" not in self.one(".bars").get_attribute("class")


def test_a_video_is_looked_at_and_its_map_is_painted_on(browser: "WebDriver", address: str, folder: Path, tmp_path: Path) -> None:
    visitor = Visitor(browser)
    browser.get(address)
    visitor.wait(lambda: visitor.one(".welcome").is_displayed())
    assert "<b>a run</b>" in visitor.text(".about")
    refuses_what_is_no_video(visitor)
    visitor.open(tmp_path / "clip & co.mp4")
    assert not visitor.one(".message").is_displayed()
    assert len(list(folder.glob("*/*"))) == 1, "what was no video is not kept"
    assert set(NAMES) == {each.text for each in browser.find_elements("css selector", ".bar .class") if each.is_displayed()}
    draws_as_torch_enlarges(visitor)
    threshold_and_keys_change_the_picture(visitor)
    strokes_change_the_answer(visitor)
    methods_draw_maps_that_nobody_paints_on(visitor)
    logs_nothing_and_asks_nobody_else(visitor)


@pytest.mark.slow
def test_videos_are_deleted_with_the_next_one_and_with_the_page(browser: "WebDriver", address: str, folder: Path, tmp_path: Path) -> None:
    visitor = Visitor(browser)
    before = {*folder.glob("*/*")}
    browser.get(address)
    visitor.open(tmp_path / "one.mp4")
    first = {*folder.glob("*/*")} - before
    visitor.open(tmp_path / "two.mp4")
    second = {*folder.glob("*/*")} - before
    assert (len(first), len(second), first & second) == (1, 1, set())
    browser.get("about:blank")
    visitor.wait(lambda: not any(path.exists() for path in second))


def refuses_what_is_no_video(visitor: Visitor) -> None:
    visitor.drop("<i>broken<i>.mp4", b"no video at all")
    visitor.wait(lambda: visitor.text(".message").startswith("<i>broken<i>.mp4 cannot be read: not a video"))
    assert visitor.one(".welcome").is_displayed()


def draws_as_torch_enlarges(visitor: Visitor) -> None:
    script = "const { map } = getElement(document.querySelector('.clip-canvas').id.slice(1)); return [Array.from(map.values), map.grid]"
    values, grid = visitor.browser.execute_script(script)
    first = torch.tensor(np.reshape(values, grid)[0])
    enlarged = torch.nn.functional.interpolate(first[None, None], (480, 480), mode="bilinear")
    level = np.min(values) + 0.5 * np.ptp(values)
    expected = 100 * float((enlarged >= level).double().mean())
    assert 1 < expected < 99
    assert float(re.match(r"[\d.]+", visitor.text(".facts"))[0]) == pytest.approx(expected, abs=0.1)


def threshold_and_keys_change_the_picture(visitor: Visitor) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    before = visitor.picture()
    visitor.one(".threshold-slider [tabindex]").send_keys(Keys.ARROW_RIGHT * 20)
    higher = visitor.until_drawn(before)
    assert float(visitor.text("output")) == pytest.approx(0.7)
    visitor.browser.execute_script("document.activeElement.blur()")
    ActionChains(visitor.browser).send_keys(Keys.ARROW_RIGHT).perform()
    visitor.until_drawn(higher)
    assert visitor.text(".time").startswith("2 / 4")


def strokes_change_the_answer(visitor: Visitor) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    own, before = visitor.numbers(), visitor.picture()
    visitor.press("Erase")
    canvas = visitor.wait(lambda: visitor.one(".stage canvas.painting"))
    stroke = ActionChains(visitor.browser, duration=20).move_to_element_with_offset(canvas, -150, -100).click_and_hold()
    stroke.move_by_offset(150, 50).move_by_offset(150, 150).release().perform()
    visitor.until_drawn(before)
    visitor.wait(lambda: visitor.numbers() != own and visitor.settled())
    assert "→" in visitor.text(".verdict") or visitor.text(".verdict").startswith("still ")
    painted = visitor.numbers()
    visitor.press("Invert")
    visitor.wait(lambda: visitor.numbers() != painted and visitor.settled())
    ActionChains(visitor.browser).send_keys("z").perform()
    visitor.wait(lambda: visitor.numbers() == painted)
    visitor.press("Reset")
    visitor.wait(lambda: visitor.numbers() == own)
    assert visitor.text(".verdict") in NAMES


def methods_draw_maps_that_nobody_paints_on(visitor: Visitor) -> None:
    before = visitor.picture()
    visitor.one(".map-select").click()
    visitor.wait(lambda: visitor.browser.find_elements("xpath", "//*[@role='option'][contains(., 'gradcam')]"))[0].click()
    visitor.until_drawn(before)
    visitor.wait(lambda: not visitor.one(".tools").is_displayed())


def logs_nothing_and_asks_nobody_else(visitor: Visitor) -> None:
    assert [entry for entry in visitor.browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    asked = [json.loads(entry["message"])["message"] for entry in visitor.browser.get_log("performance")]
    addresses = [entry["params"]["request"]["url"] for entry in asked if entry["method"] == "Network.requestWillBeSent"]
    addresses += [entry["params"]["url"] for entry in asked if entry["method"] == "Network.webSocketCreated"]
    assert len(addresses) > 10
    assert {urlsplit(each).hostname for each in addresses if not each.startswith(("data:", "blob:"))} == {"127.0.0.1"}
