"""Chromium without a window, driven by selenium, for tests of pages."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")

# It must ask no address for anything of its own accord, or the tests could not tell what a page asks for.
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]


class Browser:
    """A page in Chromium, and the queries that tests need."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(
        self, page: Path | str, ready: str = "return document.readyState === 'complete'", seconds: float = 60
    ) -> None:
        """Open a file or an address, and wait until a script returns true."""
        self.driver.get(page.absolute().as_uri() if isinstance(page, Path) else page)
        self.wait(ready, seconds=seconds)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script and return its result; a promise is awaited."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: str | Callable[[], Any], *arguments: Any, seconds: float = 30) -> None:
        """Wait until a script or a function returns a true value."""
        end = time.monotonic() + seconds
        while not (self.run(condition, *arguments) if isinstance(condition, str) else condition()):
            assert time.monotonic() < end, f"Not so within {seconds} s: {condition}"
            time.sleep(0.03)

    def size(self, width: int, height: int = 900, *, phone: bool = False) -> None:
        """Set the size of the window, in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def media(self, **features: str) -> None:
        """Set a preference of the system, such as ``prefers_color_scheme="dark"``."""
        said = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": said})

    def errors(self) -> list[str]:
        """Return the errors on the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def requested(self) -> list[str]:
        """Return the addresses that pages requested since the last call, without Chromium's own first page."""
        entries = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [entry["params"] for entry in entries if entry["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent if not one["documentURL"].startswith("chrome://")]


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser; a module needs one: ``@pytest.fixture(scope="module")``."""
    if not (CHROMIUM.exists() and DRIVER.exists()):
        pytest.fail(
            f"The tests of pages drive {CHROMIUM} through {DRIVER}, which are not here: install them with "
            "`apt-get install chromium chromium-driver`.",
            pytrace=False,
        )
    profile = tempfile.mkdtemp(prefix="bayesr-browser-")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in (*_FLAGS, f"--user-data-dir={profile}", "about:blank"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))  # named, so that selenium looks nothing up
    try:
        yield Browser(driver)
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)
