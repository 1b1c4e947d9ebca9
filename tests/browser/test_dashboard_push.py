"""What the dashboard shows of wakeups, of a relay process that wakes a real client."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from tests import command
from tests.browser.browsing import open_browser, open_tab
from tests.browser.test_dashboard import LINES, open_place
from tests.journeys.test_push_over_http import TOKEN, submit
from tests.push_services import open_push_service
from tests.raw_device import RawDevice

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as browser:
        yield browser


async def test_wakeups_are_shown_by_push_service(tmp_path: Path, browser: Browser) -> None:
    settings = '[push]\nwebhook = true\nallow_hosts = ["127.0.0.1"]\n'
    async with open_push_service() as service, open_place(tmp_path, settings) as place:
        bob = await command.start(tmp_path / "bob", "listen", "--wake", "webhook", "--events", "--json")
        assert b"caught_up" in await bob.stdout.readline()
        async with open_tab(browser, await place.link()) as tab:
            registered = tab.page.locator("data[data-figure='push_registrations']")
            await expect(registered).to_have_attribute("value", "1", timeout=15_000)
            await expect(tab.page.get_by_text("Nobody was woken yet.")).to_be_visible()

            await command.done(tmp_path / "alice", "send", "bob", "wake up")
            shown = tab.page.locator("[data-push='webhook sent']")
            await expect(shown).to_have_text("1", timeout=15_000)
            async with aiohttp.ClientSession() as session:
                carol = RawDevice(place.url, session, clock=lambda: time.time_ns() // 10**6)
                assert (await carol.register(await place.operator("invite", "create"))).status == 201
                assert (await carol.add_token(TOKEN)).status == 204
                asked = {"kind": "webhook", "target": f"{service.url}/carol"}
                assert (await carol.call("PUT", "/v1/push", asked)).status == 200
                service.answer = "failing"
                await submit(carol, carol)
                await service.wait_for(1)
                service.answer = "gone"
                await service.wait_for(2)
            for name, value in (("failed", 2), ("retried", 1), ("removed", 1), ("dropped", 0), ("sent", 1)):
                number = tab.page.locator(f"[data-push='webhook {name}']")
                await expect(number).to_have_text(str(value), timeout=15_000)

            await expect(tab.page.locator(".chart canvas")).to_have_count(12, timeout=15_000)
            spoken = tab.page.get_by_role("img", name="Wakeups a second")
            await expect(spoken).to_have_attribute(
                "aria-label", re.compile("sent now .*, at most 0[.][1-9]"), timeout=15_000
            )
            assert await tab.page.evaluate(LINES) == [True] * 12
            await tab.picture("wakeups")
        bob.terminate()
        await bob.wait()
