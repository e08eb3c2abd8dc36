"""Fixtures of all tests: real data where it is at hand, GPU tests that cannot be skipped silently."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver


def pytest_configure(config: pytest.Config) -> None:
    # Test processes share two cores; more threads than that only slow each other down.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") is not None and not (shutil.which("chromium") and shutil.which("chromedriver")):
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail("REQUIRE_BROWSER=1, but there is no chromium with a chromedriver.")
        pytest.skip("needs chromium and chromedriver")
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        if os.environ.get("REQUIRE_GPU") == "1":
            pytest.fail("REQUIRE_GPU=1, but torch sees no GPU.")
        pytest.skip("needs a GPU")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real clips beside the checkout."""
    folder = Path(__file__).parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real clips of ../shared/data are not here")
    return folder


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `x3d_nano` a network of one block a stage, for tests whose time goes with the number of layers."""
    from objabn.models.sizes import BACKBONES, X3D_SIZES, X3DSize

    size = X3DSize(width_factor=1.0, depth_factor=0.2, head_channels=32, clip_frames=4, clip_size=32, kinetics400=None)
    monkeypatch.setitem(X3D_SIZES, "x3d_nano", size)
    monkeypatch.setitem(BACKBONES, "x3d_nano", size)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pytorchvideo's networks narrow, and as shallow as they can be built."""
    from objabn.models import sizes

    setting = {"clip_frames": 8, "clip_size": 64}
    networks = [
        ("slow_r50", sizes.SLOW_SIZES, sizes.VideoResNetSize(channels=8, **setting)),
        ("r2plus1d_50", sizes.R2PLUS1D_SIZES, sizes.VideoResNetSize(channels=8, **setting)),
        ("csn_101", sizes.CSN_SIZES, sizes.VideoResNetSize(channels=8, depth=50, **setting)),
        ("slowfast_r50", sizes.SLOWFAST_SIZES, sizes.VideoResNetSize(channels=16, **setting)),
        ("mvit_b", sizes.MVIT_SIZES, sizes.MViTSize(channels=8, scales=(1, 2, 4), depth=5, **setting)),
    ]
    for name, of_family, size in networks:
        monkeypatch.setitem(of_family, name, size)
        monkeypatch.setitem(sizes.BACKBONES, name, size)


@pytest.fixture
def browser() -> Iterator["WebDriver"]:
    """Chromium without a window, that keeps what pages log to the console and which addresses they ask for."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.binary_location = str(shutil.which("chromium"))
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()
