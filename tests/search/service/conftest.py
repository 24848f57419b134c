"""A real browser for the tests of pages."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE = 60_000  # ms; what takes one second alone takes many when every core is busy


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Chromium, without a window; for one file, because Playwright keeps an event loop running meanwhile."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright (extra dev) is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}: install Debian's package chromium")
    with api.sync_playwright() as playwright:
        # Chromium's own sandbox refuses to run as root, which containers usually do.
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


OpenPage = Callable[..., Any]


@pytest.fixture
def open_page(chromium: Any) -> Iterator[OpenPage]:
    """Open an address in a browser of its own; nothing but its host may be asked, and no script of ours may fail."""
    contexts, wrong = [], []

    def open_(
        address: str, width: int = 1280, height: int = 900, scheme: str = "light", ours: bool = True, **given: Any
    ) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **given)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        host = address.split("/")[2]
        if ours:
            page.on("console", lambda said: wrong.append(said.text) if _complains(said) else None)
            page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: wrong.append(f"asked {asked.url}") if _leaves(asked.url, host) else None)
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., None]:
    """Keep what a page looks like: in the folder EMPHASIS_SCREENSHOTS names, else with the test's other files."""
    folder = Path(os.environ.get("EMPHASIS_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def keep(page: Any, name: str, whole: bool = True) -> None:
        file = folder / f"{name}.png"
        page.screenshot(path=file, full_page=whole)
        assert file.stat().st_size > 5_000

    return keep


def _complains(said: Any) -> bool:
    # What the service refuses is Chromium's own note, and the page's business.
    refused = said.text.startswith("Failed to load resource: the server responded with a status of 4")
    return said.type in ("error", "warning") and not refused


def _leaves(url: str, host: str) -> bool:
    return not url.startswith(("data:", "blob:")) and url.split("/")[2] != host
