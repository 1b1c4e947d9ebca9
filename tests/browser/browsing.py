"""Debian's Chromium, headless, on the dashboard of a relay. What its console says is kept: an error there fails the test."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = os.environ.get("TOKENIM_CHROMIUM", "/usr/bin/chromium")
PICTURES = Path(__file__).parents[2] / "build/browser"
# What a machine without a way out, and without a user of its own for it, needs.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SERIOUS = ("serious", "critical")


@dataclass
class Tab:
    """One page, and what went wrong on it."""

    page: Page
    wrong: list[str] = field(default_factory=list)

    async def picture(self, name: str) -> None:
        """Keep how it looks, for somebody to look at it."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    async def open_view(self, name: str) -> None:
        """By its link, until it has its heading and has asked what it needs."""
        await self.page.click(f"nav a[href='#/{name}']")
        await self.page.wait_for_selector(f"nav a[href='#/{name}'][aria-current=page]")
        await self.page.wait_for_function("!document.querySelector('.waiting')")

    async def faults_for_a_screen_reader(self) -> list[str]:
        """What axe finds that is serious or critical, one line each."""
        found = (await Axe().run(self.page)).response
        assert found["passes"], "axe looked at nothing"
        return [
            f"{rule['id']}: {node['html'][:120]}"
            for rule in found["violations"]
            if rule["impact"] in SERIOUS
            for node in rule["nodes"]
        ]

    async def sideways(self) -> int:
        """By how many pixels the page is wider than its window."""
        width: int = await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Chromium, with nothing that it kept."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_tab(browser: Browser, url: str, **options: Any) -> AsyncIterator[Tab]:
    """A tab of its own, cookies and all; at the end nothing may have gone wrong on it."""
    context = await browser.new_context(**{"viewport": {"width": 1_280, "height": 900}, **options})
    tab = Tab(await context.new_page())
    tab.page.on(
        "console",
        lambda message: tab.wrong.append(message.text) if message.type in ("error", "warning") else None,
    )
    tab.page.on("pageerror", lambda error: tab.wrong.append(str(error)))
    try:
        await tab.page.goto(url)
        yield tab
        assert tab.wrong == []
    finally:
        await context.close()
