"""A newcomer with docs/operations.md alone: from the release's files to a relay that was lost and is back, and users who talk."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests import command
from tests.architecture.source import ROOT
from tests.browser.browsing import open_browser, open_tab
from tests.browser.manual import SETTINGS, Manual
from tests.certificates import Authority
from tests.servers.ports import free_port

pytestmark = pytest.mark.timeout(600)
WHEEL = "tokenim-0.1.0-py3-none-any.whl"


async def install(manual: Manual) -> None:
    """The section "Install", but for the user and the service of the machine."""
    release = manual.folder / "release"
    built = await asyncio.to_thread(
        subprocess.run,
        [ROOT / ".ci/dist", Path(sys.executable).parent, release],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    await manual.run("sha256sum --check SHA256SUMS", cwd=release)
    await manual.run(
        "tar -xzf tokenim-0.1.0.tar.gz --strip-components=1 tokenim-0.1.0/requirements.lock tokenim-0.1.0/deploy",
        cwd=release,
    )
    assert (release / "deploy/systemd/tokenim-relay.service").exists()
    await manual.run("python3 -m venv /opt/tokenim")
    await manual.run("/opt/tokenim/bin/pip install --require-hashes -r requirements.lock", cwd=release)
    await manual.run(f"/opt/tokenim/bin/pip install --no-deps {WHEEL}", cwd=release)


def configure_tls(manual: Manual, port: int, admin_port: int) -> None:
    """The section "TLS": its own example, with this machine's name, ports and certificate."""
    (example,) = [block for block in SETTINGS if "[tls]" in block]
    data = Path(manual.on_this_machine("/var/lib/tokenim"))
    live = Path(manual.on_this_machine("/etc/letsencrypt/live/chat.example"))
    live.mkdir(parents=True)
    authority = Authority()
    authority.pair().write(live)
    authority.write(manual.folder / "authority.pem")
    text = manual.on_this_machine(example)
    for written, meant in (
        ("0.0.0.0:443", f"127.0.0.1:{port}"),
        ("https://chat.example", f"https://localhost:{port}"),
    ):
        assert text.count(f'"{written}"') == 1, written
        text = text.replace(f'"{written}"', f'"{meant}"')
    config = data / "config.toml"
    config.write_text(text + f'\n[admin]\nlisten = "127.0.0.1:{admin_port}"\n')


async def hears(home: Path) -> list[str]:
    """The texts that wait for somebody."""
    shown = await command.done(home, "listen", "--until-caught-up")
    return [one["text"] for one in shown if one.get("text")]


async def test_a_newcomer_runs_a_relay_loses_it_and_has_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual = Manual(tmp_path / "machine")
    people = {name: tmp_path / name for name in ("owner", "alice", "bob", "carol")}
    await install(manual)

    # Configuration and TLS.
    await manual.run("tokenim-relay config init --data /var/lib/tokenim")
    configure_tls(manual, free_port(), free_port())
    await manual.run("tokenim-relay config check --data /var/lib/tokenim")
    await manual.run("tokenim-relay doctor --data /var/lib/tokenim")  # ends with 0: nothing fails
    monkeypatch.setenv("SSL_CERT_FILE", str(manual.folder / "authority.pem"))

    # The first start, an owner and three whom it invites.
    await manual.start()
    assert manual.said["ready"].startswith("https://")
    await command.done(people["owner"], "register", manual.said["invite"], "--handle", "owner")
    for name in ("alice", "bob", "carol"):
        link = await manual.run("tokenim-relay invite create --days 7")
        await command.done(people[name], "register", link, "--handle", name)
    await command.done(people["alice"], "send", "bob", "hello bob")
    assert await hears(people["bob"]) == ["hello bob"]

    # The dashboard, and one is suspended.
    async with open_browser() as browser:
        link = await manual.run("tokenim-relay dashboard link")
        async with open_tab(browser, link, ignore_https_errors=True) as tab:
            await expect(tab.page.locator("data[data-figure=accounts]")).to_have_text("4", timeout=15_000)
            await tab.picture("journey-1-overview")
            await manual.run("tokenim-relay account suspend bob")
            await tab.open_view("accounts")
            await expect(tab.page.locator("tr.shut .handle")).to_have_text("bob")
            await tab.picture("journey-2-suspended")
            await tab.open_view("audit")
            await expect(tab.page.locator("tbody tr", has_text="account.suspend")).to_have_count(1)
            await tab.picture("journey-3-audit")
    status, _, told = await command.call(people["bob"], "listen", "--until-caught-up")
    assert status != 0, told
    await manual.run("tokenim-relay account resume bob")

    # Keys, the audit log, a backup; then something that is in no backup.
    assert "forgotten: 1" in await manual.run("tokenim-relay keys rotate")
    await manual.run("tokenim-relay audit head --json >> heads.jsonl")
    await manual.run("tokenim-relay audit verify --heads heads.jsonl")
    await command.done(people["carol"], "send", "alice", "waits in the backup")
    await manual.run("tokenim-relay backup /backups/relay-$(date +%F).tar --data /var/lib/tokenim")
    await command.done(people["alice"], "send", "carol", "accepted after the backup")

    # The machine is lost: what the document does with the old folder, and from the backup.
    await manual.stop()
    await manual.run("mv /var/lib/tokenim /var/lib/tokenim.lost")
    shutil.rmtree(manual.on_this_machine("/var/lib/tokenim.lost"))
    (backup,) = (manual.folder / "backups").iterdir()
    restore = "tokenim-relay restore /backups/relay-2026-11-26.tar --data /var/lib/tokenim"
    await manual.run(restore, **{"/backups/relay-2026-11-26.tar": str(backup)})
    await manual.start()
    assert "invite" not in manual.said  # it has its owner

    # Everybody goes on talking, and gets what waited.
    assert await hears(people["alice"]) == ["waits in the backup"]
    await command.done(people["alice"], "send", "bob", "we are back")
    assert "we are back" in await hears(people["bob"])
    await command.done(people["bob"], "send", "alice", "so we are")
    assert "so we are" in await hears(people["alice"])
    await manual.run("tokenim-relay audit verify")
    listed = (await manual.run("tokenim-relay account list")).splitlines()
    assert sorted(line.split()[0] for line in listed) == ["alice", "bob", "carol", "owner"]
    async with open_browser() as browser:
        link = await manual.run("tokenim-relay dashboard link")
        async with open_tab(browser, link, ignore_https_errors=True) as tab:
            await tab.open_view("audit")
            await expect(tab.page.locator("tbody tr", has_text="restore")).to_have_count(1)
            await expect(tab.page.locator("[data-verdict=fits]")).to_be_visible()
            await tab.picture("journey-4-restored")
    shown = [json.loads(line) for line in (manual.folder / "heads.jsonl").read_text().splitlines()]
    assert len(shown) == 1
    await manual.stop()
