"""`tokenim listen --wake webhook`: no connection while nothing comes, woken by the relay, each a process of its own."""

import asyncio
import json
import signal
from pathlib import Path

import aiohttp

from tests.command import done, start
from tests.relay_process import run, serving


async def one_object(process: asyncio.subprocess.Process) -> dict:
    async with asyncio.timeout(60):
        return json.loads(await process.stdout.readline())


async def connections(session: aiohttp.ClientSession, admin_url: str) -> float:
    async with session.get(f"{admin_url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("tokenim_connections{"))


async def nobody_connected(session: aiohttp.ClientSession, admin_url: str) -> None:
    for _ in range(300):
        if not await connections(session, admin_url):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("somebody is connected still")


async def test_recipient_offline_message_wakeup_fetched_acknowledged(tmp_path: Path) -> None:
    data, alice, bob = tmp_path / "data", tmp_path / "alice", tmp_path / "bob"
    options = {"TOKENIM_RELAY_PUSH__WEBHOOK": "true", "TOKENIM_RELAY_PUSH__ALLOW_HOSTS": "127.0.0.1"}
    with serving(data, "--admin-listen", "127.0.0.1:0", **options) as served:
        await done(alice, "register", served.invite, "--handle", "alice")
        invite = json.loads(
            (await asyncio.to_thread(run, "invite", "create", "--data", str(data), "--json")).stdout
        )
        await done(bob, "register", invite["link"], "--handle", "bob")
        (link,) = [one["link"] for one in await done(bob, "whoami", "--link")]
        await done(alice, "send", link, "hello")
        await done(bob, "listen", "--until-caught-up")
        await done(bob, "contact", "accept", "alice")
        await done(alice, "listen", "--until-caught-up")
        listening = await start(bob, "listen", "--wake", "webhook", "--events", "--json")
        try:
            assert (await one_object(listening))["type"] == "caught_up"
            async with aiohttp.ClientSession() as session:
                await nobody_connected(session, served.admin_url)
                for text in ("are you there?", "still?"):
                    await done(alice, "send", "bob", text)
                    shown = []
                    while not shown or shown[-1]["type"] != "caught_up":
                        shown.append(await one_object(listening))
                    assert text in [one.get("text") for one in shown]
                    await nobody_connected(session, served.admin_url)
        finally:
            listening.send_signal(signal.SIGTERM)
            _, errors = await asyncio.wait_for(listening.communicate(), 30)
        assert listening.returncode == 0, errors
        tested = await asyncio.to_thread(run, "push", "test", "bob", "--data", str(data))
        assert (tested.returncode, "not_found" in tested.stderr) == (1, True)  # it took itself off
