"""The dashboard in Chromium, of a relay process with real clients: what it shows is so, and what it changes is changed."""

import asyncio
import json
import os
import re
import sqlite3
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect
from prometheus_client.parser import text_string_to_metric_families

from tests import command
from tests.browser.browsing import Tab, open_browser, open_tab
from tests.relay_process import environment, run
from tests.warm.commands import program

pytestmark = pytest.mark.timeout(180)
LINES = """[...document.querySelectorAll(".chart canvas")].map((canvas) => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    for (let at = 0; at < pixels.length; at += 4)
        if (pixels[at + 3] > 200 && pixels[at + 2] - pixels[at] > 100) return true;
    return false;
})"""
"""Of each chart: whether its blue line is there."""
VIEWS = ("overview", "accounts", "invites", "limits", "audit", "storage")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as browser:
        yield browser


@dataclass
class Place:
    """A relay process with alice, its owner, and bob."""

    folder: Path
    url: str
    admin_url: str
    spent: str = ""  # the invite that made bob

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    async def operator(self, *arguments: str) -> str:
        """What `tokenim-relay` prints."""
        done = await asyncio.to_thread(run, *arguments, "--data", self.data)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    async def link(self, *more: str) -> str:
        """A link that logs in."""
        return await self.operator("dashboard", "link", *more)

    async def metrics(self) -> dict[str, float]:
        """Name without its prefix → sum over its labels; with label: `name label`."""

        def get() -> str:
            with urllib.request.urlopen(f"{self.admin_url}/metrics", timeout=20) as answer:
                return answer.read().decode()

        found: dict[str, float] = {}
        for family in text_string_to_metric_families(await asyncio.to_thread(get)):
            for sample in family.samples:
                name = sample.name.removeprefix("tokenim_")
                found[name] = found.get(name, 0) + sample.value
                for label in sample.labels.values():
                    found[f"{name} {label}"] = sample.value
        return found


@asynccontextmanager
async def open_place(tmp_path: Path, settings: str) -> AsyncIterator[Place]:
    """With these settings (TOML)."""
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data/config.toml").write_text(settings)
    relay = await asyncio.create_subprocess_exec(
        *program("tokenim-relay"),
        *(
            "serve",
            "--data",
            str(tmp_path / "data"),
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ),
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
    )
    assert relay.stdout is not None
    try:
        said = dict([(await relay.stdout.readline()).decode().strip().split(" ", 1) for _ in range(3)])
        place = Place(tmp_path, said["ready"], said["admin"])
        await command.done(tmp_path / "alice", "register", said["invite"], "--handle", "alice")
        place.spent = await place.operator("invite", "create")
        await command.done(tmp_path / "bob", "register", place.spent, "--handle", "bob")
        yield place
    finally:
        relay.terminate()
        assert await relay.wait() == 0


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with open_place(tmp_path, '[roles]\nhelpdesk = ["list_accounts", "suspend_accounts"]\n') as place:
        yield place


async def listen(home: Path) -> asyncio.subprocess.Process:
    """A client that has its mailbox, and all that waited there."""
    listening = await command.start(home, "listen", "--json", "--events")
    assert listening.stdout is not None
    async with asyncio.timeout(30):
        while b"caught_up" not in await listening.stdout.readline():
            pass
    return listening


async def number(tab: Tab, figure: str) -> float:
    """What the page shows of a figure."""
    shown = await tab.page.locator(f"data[data-figure='{figure}']").get_attribute("value")
    return float(shown or "nan")


COUNTED = ("accepted_total", "acknowledged_total", "accounts", "waiting_envelopes", "connections")


async def shows(tab: Tab, place: Place, **expected: float) -> None:
    """Until the page shows what /metrics says, and both this: a look at the store is good for some seconds."""
    async with asyncio.timeout(30):
        while True:
            found = {figure: await number(tab, figure) for figure in COUNTED}
            said = await place.metrics()
            if found == {figure: said[figure] for figure in COUNTED} and expected.items() <= found.items():
                return
            await asyncio.sleep(0.5)


async def test_real_traffic_changes_the_page_to_what_metrics_says(place: Place, browser: Browser) -> None:
    alice, bob = place.folder / "alice", place.folder / "bob"
    async with open_tab(browser, await place.link()) as tab:
        await expect(tab.page.locator("h1")).to_have_text("Overview")
        await tab.page.wait_for_selector("data[data-figure=accounts]")
        assert (await number(tab, "accepted_total"), await number(tab, "acknowledged_total")) == (0, 0)
        assert await tab.page.locator("[data-refused]").count() == 0

        await command.done(alice, "send", "bob", "one")
        (place.folder / "picture").write_bytes(os.urandom(20_000))
        await command.done(alice, "send", "bob", "--file", str(place.folder / "picture"))
        await shows(tab, place, accepted_total=2, acknowledged_total=0, waiting_envelopes=2, accounts=2)

        carol = place.folder / "carol"
        status, _, _ = await command.call(carol, "register", place.spent, "--handle", "carol")
        assert status == command.REFUSED
        listening = await listen(bob)
        await shows(tab, place, acknowledged_total=2, waiting_envelopes=0)
        assert await number(tab, "connections") >= 1
        said = await place.metrics()
        refused = {name: value for name, value in said.items() if name.startswith("refused_total ")}
        assert refused["refused_total invite_invalid"] == 1
        for name, value in refused.items():
            await expect(tab.page.locator(f"[data-refused='{name.split(' ')[1]}']")).to_have_text(
                str(round(value))
            )
        # The charts have come to show it, too, and say so to who does not see them.
        spoken = tab.page.get_by_role("img", name="Envelopes a second")
        await expect(spoken).to_have_attribute(
            "aria-label", re.compile("accepted now .*, at most 0[.]4"), timeout=15_000
        )
        await expect(tab.page.locator(".chart canvas")).to_have_count(10, timeout=15_000)
        assert await tab.page.evaluate(LINES) == [True] * 10
        assert await tab.page.get_by_text(re.compile("push|wakeup", re.IGNORECASE)).count() == 0  # none is on
        await tab.picture("traffic")
        listening.terminate()
        await listening.wait()


async def test_each_view_reads_well_in_light_dark_and_small(place: Place, browser: Browser) -> None:
    looks = (
        ("light", {"color_scheme": "light"}),
        ("dark", {"color_scheme": "dark"}),
        ("small", {"color_scheme": "light", "viewport": {"width": 360, "height": 740}}),
    )
    for name, options in looks:
        async with open_tab(browser, await place.link(), **options) as tab:
            for view in VIEWS:
                await tab.open_view(view)
                await tab.picture(f"{name}-{view}")
                assert await tab.faults_for_a_screen_reader() == [], (name, view)
                assert await tab.sideways() == 0, (name, view)
    async with open_tab(browser, place.admin_url) as tab:  # nobody is logged in
        await tab.page.wait_for_selector("text=Nobody is logged in")
        await tab.picture("nobody")
        assert await tab.faults_for_a_screen_reader() == []


async def test_days_that_are_over_are_told_rounded(place: Place, browser: Browser) -> None:
    today = time.time_ns() // 86_400_000_000_000
    rows = [
        *((today - 2, counted, 1_289) for counted in ("active_devices", "512 B")),
        (today - 2, "8 KiB", 99),
        (today - 1, "active_devices", 9),
        (today, "active_devices", 2),
    ]
    with closing(sqlite3.connect(place.folder / "data/relay.sqlite3", isolation_level=None)) as database:
        database.executemany("INSERT OR REPLACE INTO usage VALUES (?, ?, ?)", rows)
    small = {"width": 360, "height": 740}
    async with open_tab(browser, await place.link(), viewport=small) as tab:
        lines = tab.page.get_by_role("region", name="Use by day").locator("tbody tr")
        await expect(lines).to_have_count(2)
        told = [re.split(r"\s*\t\s*", text) for text in await lines.all_inner_texts()]
        assert [line[1:] for line in told] == [
            ["fewer than 10", "–", "–", "–", "–"],
            ["1,200", "1,200", "under 100", "under 100", "under 100"],
        ]
        assert [line[0] for line in told] == [
            f"{datetime.fromtimestamp((today - ago) * 86_400, UTC):%Y-%m-%d}" for ago in (1, 2)
        ]
        assert await tab.faults_for_a_screen_reader() == []
        assert await tab.sideways() == 0
        await tab.picture("small-usage")


async def test_a_theme_is_chosen_and_stays(place: Place, browser: Browser) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    async with open_tab(browser, await place.link(), color_scheme="light") as tab:
        light = await tab.page.evaluate(ground)
        await tab.page.select_option("header select", "dark")
        dark = await tab.page.evaluate(ground)
        assert dark != light
        await tab.page.reload()
        await tab.page.wait_for_selector("h1")
        assert await tab.page.evaluate(ground) == dark


async def test_somebody_is_shut_out_by_the_keyboard_alone(place: Place, browser: Browser) -> None:
    bob = place.folder / "bob"
    listening = await listen(bob)
    assert (await place.metrics())["connections mailbox"] == 1
    async with open_tab(browser, await place.link()) as tab:
        await tab.page.wait_for_selector("nav")

        async def walk_to(name: str) -> None:
            """By Tab, until what has the focus is called so."""
            for _ in range(60):
                await tab.page.keyboard.press("Tab")
                focused = await tab.page.evaluate("document.activeElement.innerText || ''")
                if " ".join(focused.split()) == name:
                    return
            raise AssertionError(f"Tab never came to {name}")

        await walk_to("To the content")
        await walk_to("Accounts")
        await tab.page.keyboard.press("Enter")
        await tab.page.wait_for_selector("text=2 accounts shown")
        assert await tab.page.evaluate("document.activeElement.innerText") == "Accounts"  # its heading
        await walk_to("Suspend bob")
        await tab.page.keyboard.press("Enter")
        await expect(tab.page.locator("tr.shut th .handle")).to_have_text("bob")
        await expect(tab.page.locator(".said")).to_have_text("bob: suspended.")
        listed = json.loads(await place.operator("account", "list", "--suspended", "--json"))
        assert listed["handle"] == "bob"
        async with asyncio.timeout(10):
            assert await listening.wait() == command.REFUSED  # it was cut off, and told why
        assert (await place.metrics())["connections mailbox"] == 0

        await tab.open_view("audit")
        row = tab.page.locator("tbody tr", has_text="account.suspend")
        await expect(row).to_contain_text(f"operator:{os.getuid()}")
        await expect(row).to_contain_text("done")


async def test_an_account_is_deleted_once_its_name_was_typed(place: Place, browser: Browser) -> None:
    async with open_tab(browser, await place.link()) as tab:
        await tab.open_view("accounts")
        await tab.page.fill("input[type=search]", "bo")
        await tab.page.wait_for_selector("text=1 account shown")
        await tab.page.click("text=Delete bob")
        question = tab.page.get_by_role("dialog")
        await expect(question).to_be_visible()
        assert await tab.faults_for_a_screen_reader() == []
        delete = question.get_by_role("button", name="Delete")
        await expect(delete).to_be_disabled()
        await tab.page.keyboard.press("Escape")
        await expect(question).not_to_be_visible()
        await tab.page.click("text=Delete bob")
        await question.get_by_role("textbox").fill("bob")
        await delete.click()
        await expect(tab.page.locator(".said")).to_have_text("bob is deleted.")
        assert "bob" not in await place.operator("account", "list")


async def test_the_last_owner_stays_and_the_page_says_why(place: Place, browser: Browser) -> None:
    async with open_tab(browser, await place.link()) as tab:
        await tab.open_view("accounts")
        await tab.page.get_by_label("Role of alice").select_option("member")
        await expect(tab.page.locator("main [role=alert]")).to_contain_text("owner")
        await expect(tab.page.get_by_label("Role of alice")).to_have_value("owner")
        await tab.page.get_by_label("Role of bob").select_option("moderator")
        await expect(tab.page.locator(".said")).to_have_text("bob: moderator from now on.")
        assert '"moderator"' in await place.operator("role", "list", "--json")
        await tab.page.get_by_label("Role of bob").select_option("helpdesk")  # of the configuration
        await expect(tab.page.locator(".said")).to_have_text("bob: helpdesk from now on.")
        assert '"helpdesk"' in await place.operator("role", "list", "--json")
        tab.wrong = [
            line for line in tab.wrong if "409" not in line
        ]  # Chromium tells each refusal on its console


async def test_an_account_is_held_and_what_it_had_goes_once_the_hold_is_released(
    place: Place, browser: Browser
) -> None:
    async with open_tab(browser, await place.link()) as tab:
        await tab.open_view("storage")
        await expect(tab.page.get_by_role("region", name="What is kept how long")).to_contain_text(
            "envelopes"
        )
        await tab.page.get_by_label("Account").fill("bob")
        await tab.page.get_by_label("Reason").fill("case-17")
        await tab.page.get_by_label("Days").fill("90")
        await tab.page.get_by_role("button", name="Hold").click()
        table = tab.page.get_by_role("region", name="Holds")
        await expect(table).to_contain_text("case-17")
        assert "case-17" in await place.operator("retention", "show")
        assert await tab.faults_for_a_screen_reader() == []
        await tab.picture("holds")

        await tab.open_view("accounts")
        await tab.page.click("text=Delete bob")
        question = tab.page.get_by_role("dialog")
        await question.get_by_role("textbox").fill("bob")
        await question.get_by_role("button", name="Delete").click()
        await expect(tab.page.locator(".said")).to_contain_text("a hold keeps")

        await tab.open_view("storage")
        await expect(table).to_contain_text("deleted, and kept")
        await tab.page.get_by_role("button", name="Release").click()
        await question.get_by_role("button", name="Release").click()
        await expect(tab.page.locator(".said")).to_have_text("The hold is released.")
        await expect(table).not_to_be_visible()


async def test_an_invite_made_on_the_page_makes_an_account(place: Place, browser: Browser) -> None:
    async with open_tab(browser, await place.link()) as tab:
        await tab.open_view("invites")
        await tab.page.get_by_label("Role").select_option("auditor")
        await tab.page.get_by_role("button", name="Make").click()
        link = await tab.page.locator("[data-invite]").inner_text()
        await command.done(place.folder / "carol", "register", link, "--handle", "carol")
        await tab.open_view("accounts")
        await expect(tab.page.get_by_label("Role of carol")).to_have_value("auditor")
        await tab.open_view("invites")
        assert await tab.page.locator("[data-invite]").count() == 0  # shown once

        # Carol sees what an auditor sees, and nothing more; the link that let her in lets nobody else in.
        own = await place.link("--account", "carol")
        async with open_tab(browser, own) as other:
            await other.page.wait_for_selector("nav")
            names = await other.page.locator("nav a").all_inner_texts()
            assert names == ["Overview", "Accounts", "Audit"]
            await other.open_view("accounts")
            assert await other.page.locator("td button, td select").count() == 0
            assert "login" not in other.page.url
            await other.page.click("text=Log out")
            await other.page.wait_for_selector("text=Nobody is logged in")
        async with open_tab(browser, own) as third:
            await expect(third.page.locator("[role=alert]")).to_contain_text("used already")
            third.wrong = [line for line in third.wrong if "401" not in line]


async def test_a_relay_that_went_is_said_and_come_back_to(place: Place, browser: Browser) -> None:
    async with open_tab(browser, await place.link()) as tab:
        await tab.page.wait_for_selector("data[data-figure=accounts]")
        await tab.page.context.set_offline(True)
        await expect(tab.page.locator("main [role=alert]")).to_have_text(
            "The relay does not answer.", timeout=15_000
        )
        await tab.page.context.set_offline(False)
        await expect(tab.page.locator("main [role=alert]")).to_have_count(0, timeout=15_000)
        tab.wrong = [line for line in tab.wrong if "ERR_INTERNET_DISCONNECTED" not in line]
