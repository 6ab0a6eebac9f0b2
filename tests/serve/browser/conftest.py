"""The page in a real Chromium, and what must be true of it wherever a test has been."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.serve.conftest import TOKEN, Server

ARTEFACTS = Path(__file__).parents[3] / ".artefacts"
"""Screenshots, for whoever wants to look; not committed."""
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
PROGRAMS = ("/usr/lib/chromium/chromium", "chromium", "chromium-browser", "google-chrome")
"""The first is what Debian's ``chromium``, a shell script, starts."""
PATIENCE = 30_000
"""Milliseconds until what is waited for counts as missing."""

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """Of one module: playwright keeps an event loop running, which other tests want for theirs."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        if os.environ.get("AGENTKIT_REQUIRE_BROWSER") == "1":
            pytest.fail("a browser is required; run scripts/ensure-test-tools", pytrace=False)
        pytest.skip("there is no Chromium; scripts/ensure-test-tools installs it on Debian")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


class Eye:
    """A page, and all that went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", self._said)

    def _said(self, message: object) -> None:
        text = str(getattr(message, "text", ""))
        # An answer of 400 and above is the test's own doing; the browser notes each.
        if getattr(message, "type", "") == "error" and "Failed to load resource" not in text:
            self.faults.append(text)


@pytest.fixture
def eye(browser: Browser) -> Generator[Eye]:
    """A new tab; fails the test where the page erred, or asked anything of another host."""
    context = browser.new_context(viewport=DESKTOP, color_scheme="light")
    eye = Eye(context.new_page())
    yield eye
    context.close()
    assert not eye.faults
    assert {url.split("/")[2] for url in eye.asked if url.startswith("http")} <= {
        url.split("/")[2] for url in eye.asked[:1]
    }


@pytest.fixture
def page(eye: Eye) -> Page:
    return eye.page


def enter(page: Page, server: Server, session: str = "") -> None:
    """Come by the link that is printed, and go to a session."""
    page.goto(f"{server.address}/#token={TOKEN}")
    expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
    if session:
        page.goto(f"{server.address}/#/s/{session}")


def shoot(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png")
