"""`tokenim listen --wake`: no connection while nothing comes, woken by the relay, each a process of its own."""

import asyncio
import base64
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.command import call, done, start
from tests.push_stand_ins.stand_in import standing_in
from tests.relay_process import Served, run, serving


@dataclass
class Woken:
    """Bob, who listens and is asleep, and alice who writes to him."""

    served: Served
    session: aiohttp.ClientSession
    alice: Path
    listening: asyncio.subprocess.Process

    async def one_object(self) -> dict:
        async with asyncio.timeout(60):
            return json.loads(await self.listening.stdout.readline())

    async def caught_up(self) -> list[str | None]:
        """The texts that came until there is no more."""
        shown = [await self.one_object()]
        while shown[-1]["type"] != "caught_up":
            shown.append(await self.one_object())
        return [one.get("text") for one in shown]

    async def connections(self) -> float:
        async with self.session.get(f"{self.served.admin_url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("tokenim_connections{"))

    async def nobody_connected(self) -> None:
        for _ in range(300):
            if not await self.connections():
                return
            await asyncio.sleep(0.05)
        raise AssertionError("somebody is connected still")

    async def writes(self, text: str) -> None:
        await done(self.alice, "send", "bob", text)

    async def ends(self) -> str:
        """What it told."""
        self.listening.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(self.listening.communicate(), 30)
        assert self.listening.returncode == 0, errors
        return errors.decode()


@asynccontextmanager
async def asleep(folder: Path, *options: str, is_on: str) -> AsyncIterator[Woken]:
    data, alice, bob = folder / "data", folder / "alice", folder / "bob"
    settings = {f"TOKENIM_RELAY_PUSH__{is_on}": "true", "TOKENIM_RELAY_PUSH__ALLOW_HOSTS": "127.0.0.1"}
    with serving(data, "--admin-listen", "127.0.0.1:0", **settings) as served:
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
        listening = await start(bob, "listen", "--events", "--json", *options)
        try:
            async with aiohttp.ClientSession() as session:
                woken = Woken(served, session, alice, listening)
                assert await woken.caught_up() == [None]
                await woken.nobody_connected()
                yield woken
        finally:
            if listening.returncode is None:
                listening.kill()
                await listening.communicate()
        tested = await asyncio.to_thread(run, "push", "test", "bob", "--data", str(data))
        assert (tested.returncode, "not_found" in tested.stderr) == (1, True)  # it took itself off


async def test_recipient_offline_message_wakeup_fetched_acknowledged(tmp_path: Path) -> None:
    async with asleep(tmp_path, "--wake", "webhook", is_on="WEBHOOK") as woken:
        for text in ("are you there?", "still?"):
            await woken.writes(text)
            assert text in await woken.caught_up()
            await woken.nobody_connected()
        assert await woken.ends() == ""


async def test_woken_by_a_push_server_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("tk_secret\n")
    token.chmod(0o600)
    async with asyncio.timeout(120), standing_in("ntfy_fake.js", {"readers": "tk_secret"}) as ntfy:
        url = f"http://127.0.0.1:{ntfy.port}"
        options = ("--wake", "unifiedpush", "--wake-server", url, "--wake-token-file", str(token))
        async with asleep(tmp_path, *options, is_on="UNIFIEDPUSH") as woken:
            (topic,) = await ntfy.listened(1)
            for number, text in enumerate(("are you there?", "still?"), 1):
                await woken.writes(text)
                assert text in await woken.caught_up()
                await woken.nobody_connected()
                pushes = await ntfy.pushed(number)
                assert len(pushes) == number
                assert (pushes[-1]["topic"], pushes[-1]["listeners"]) == (topic, 1)
                assert len(base64.b64decode(pushes[-1]["body"])) == 119

            # Away: the relay's try and the stream fail, the message waits; back: it is looked for, whoever is first.
            await ntfy.tell(away=True)
            await woken.writes("and now?")
            await ntfy.tell(away=False)
            assert "and now?" in await woken.caught_up()
            assert await ntfy.listened(2) == [topic, topic]
            await woken.nobody_connected()

            # A try that it does not take is followed by another.
            await ntfy.tell(answer=500)
            await woken.writes("once more")
            seen = len(await ntfy.pushed(len(await ntfy.seen()) + 1))
            await ntfy.tell(answer=0)
            assert len(await ntfy.pushed(seen + 1)) > seen
            while "once more" not in await woken.caught_up():
                pass
            told = await woken.ends()
            assert told.count("distributor_unreachable") == 1
            assert "tk_secret" not in told


async def test_who_cannot_be_woken_is_told_at_once(tmp_path: Path) -> None:
    home = tmp_path / "bob"
    with serving(tmp_path / "data") as served:
        await done(home, "register", served.invite)
        async with standing_in("ntfy_fake.js", {}) as ntfy:
            listen = ("listen", "--wake", "unifiedpush", "--wake-server")
            status, _, told = await call(home, *listen, f"http://127.0.0.1:{ntfy.port}")
            assert (status, "malformed_request" in told) == (1, True), told  # this relay wakes nobody
            status, _, told = await call(home, *listen, "http://127.0.0.1:1")
            assert (status, "distributor_unreachable" in told) == (3, True), told
