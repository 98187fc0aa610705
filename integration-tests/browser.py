"""A real browser: headless Chromium logs in and runs a notebook, and leaves a screenshot.

Debian's ``chromium`` and ``chromium-driver``, driven by selenium. The browser starts in the network of the caller
(``Machine.inside``), so that ``127.0.0.1`` is the machine that is tested.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

OUTPUT = Path(__file__).parent / "output"
FLAGS = (
    "--headless",
    "--no-sandbox",  # Chromium's own sandbox refuses to run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    # nothing but the hub is asked: no updates, no synchronisation, no look-ups
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser with a new, empty profile, closed at the end."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        try:
            yield driver
        finally:
            driver.quit()


class Person:
    """Somebody in front of the browser."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url

    def log_in(self, name: str, password: str) -> None:
        """Fill in the hub's login form and wait until it is gone."""
        self.driver.get(f"{self.url}/hub/login")
        self._see("#username_input").send_keys(name)
        self._see("#password_input").send_keys(password + Keys.ENTER)
        self._until(lambda: "/hub/login" not in self.driver.current_url, 60, "the login form is still there")

    def open_lab(self, name: str, timeout: float = 120.0) -> None:
        """Open JupyterLab, which starts the server, and wait until its launcher or a notebook shows."""
        self.driver.get(f"{self.url}/user/{name}/lab")
        # a server that isn't running answers with the hub's page that offers to start it
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and not self._find("#jp-main-dock-panel"):
            for button in self._find("#start, a.btn[href*='/hub/spawn']"):
                if button.is_displayed():
                    button.click()
            time.sleep(0.5)
        self._see(".jp-Launcher, .jp-Notebook", timeout)

    def new_notebook(self) -> None:
        """Click the launcher's Python notebook and wait until its kernel is idle."""
        self._see(".jp-LauncherCard[data-category='Notebook']").click()
        self._see(".jp-Notebook .jp-Cell .cm-content")
        self._see(".jp-Toolbar-kernelStatus[title*='Idle'], .jp-NotebookPanel [data-status='idle']", 60)

    def run_cell(self, code: str, expected: str) -> None:
        """Type a cell, run it with Shift-Enter and wait until its output is ``expected``."""
        cell = self._see(".jp-Notebook .jp-Cell .cm-content")
        cell.click()
        cell.send_keys(code)
        cell.send_keys(Keys.SHIFT + Keys.ENTER)
        self._until(
            lambda: any(out.text.strip() == expected for out in self._find(".jp-OutputArea-output")),
            60,
            f"the cell's output is not {expected}",
        )

    def screenshot(self, name: str) -> Path:
        """What is seen now, as ``output/NAME.png``."""
        OUTPUT.mkdir(exist_ok=True)
        path = OUTPUT / f"{name}.png"
        self.driver.save_screenshot(str(path))
        return path

    # ---- looking

    def _find(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def _see(self, selector: str, timeout: float = 30.0) -> WebElement:
        seen: list[WebElement] = []  # of one look: at the next it may be gone again

        def look() -> bool:
            seen[:] = [element for element in self._find(selector) if element.is_displayed()]
            return bool(seen)

        self._until(look, timeout, f"no {selector}")
        return seen[0]

    def _until(self, condition: object, timeout: float, otherwise: str) -> None:
        assert callable(condition)
        wait = WebDriverWait(self.driver, timeout, 0.2, ignored_exceptions=[WebDriverException])
        try:
            wait.until(lambda driver: condition())
        except WebDriverException as error:
            path = self.screenshot("failure")
            raise AssertionError(f"{otherwise} after {timeout:.0f} s, see {path}: {self.driver.title}") from error
