"""A phone is woken through the stand-in of Apple or Google while it is away, comes and acknowledges: real relay processes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.journeys.test_push_over_http import TOKEN, poll, submit
from tests.push_stand_ins.apns import open_apple
from tests.push_stand_ins.fcm import open_google
from tests.push_stand_ins.stand_in import StandIn
from tests.raw_device import RawDevice
from tests.relay_process import run, serving

TARGETS = {"apns": "ab" * 32, "fcm": "dQw4:APA91b" + "x" * 130}
OTHERS = {"apns": "cd" * 32, "fcm": "eRx5:APA91b" + "y" * 130}


@asynccontextmanager
async def standing_in_for(
    kind: str, folder: Path
) -> AsyncIterator[tuple[StandIn, Mapping[str, str], list[str]]]:
    """The stand-in, the environment of a relay that takes it for the service, and who came to where it redirects."""
    if kind == "fcm":
        async with open_google(folder) as google:
            names = {
                "ACCOUNT_FILE": str(google.account.file),
                "URL": google.account.url,
                "TOKEN_URL": google.account.token_url,
            }
            told = {f"TOKENIM_RELAY_PUSH__FCM__{name}": value for name, value in names.items()}
            yield google.stand_in, told, google.came_to_trap
        return
    async with open_apple(folder) as apple:
        account = apple.account
        names = {
            "KEY_FILE": str(account.key_file),
            "KEY_ID": account.key_id,
            "TEAM_ID": account.team_id,
            "TOPIC": account.topic,
            "URL": account.url,
        }
        told = {f"TOKENIM_RELAY_PUSH__APNS__{name}": value for name, value in names.items()}
        authority = apple.authority.write(folder / "authority.pem")
        yield apple.stand_in, {**told, "SSL_CERT_FILE": str(authority)}, apple.came_to_trap


def woken_by(push: Mapping[str, str]) -> str:
    """The token that a push carried."""
    body = json.loads(push["body"])
    return str(body["wake"] if "wake" in body else body["message"]["data"]["wake"])


@pytest.mark.parametrize("kind", ["apns", "fcm"])
async def test_f20_a_phone_is_woken_by_a_relay_process_whatever_its_push_service_does(
    kind: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    async with (
        standing_in_for(kind, tmp_path) as (stand_in, told, came_to_trap),
        aiohttp.ClientSession() as session,
    ):
        with serving(data, **told) as served:
            anna, bert = [
                RawDevice(served.url, session, clock=lambda: time.time_ns() // 10**6) for _ in range(2)
            ]
            assert (await anna.register(served.invite, handle="anna")).status == 201
            invite = json.loads(run("invite", "create", "--data", str(data), "--json").stdout)["link"]
            assert (await bert.register(invite)).status == 201
            assert (await anna.add_token(TOKEN)).status == 204
            registered = await anna.call("PUT", "/v1/push", {"kind": kind, "target": TARGETS[kind]})
            assert registered.status == 200, registered.body

            # Failing and busy at first: tried again, and nothing else suffers.
            await stand_in.answer(TARGETS[kind], "failing", "ok")
            await submit(bert, anna, 1, urgent=True)
            pushes = await stand_in.pushed(2)
            assert {woken_by(push) for push in pushes} == {registered.json["token"]}
            assert await poll(anna) == [1]

            # Silence holds up neither the mailbox nor a registration elsewhere.
            await stand_in.answer(TARGETS[kind], "silent")
            await submit(bert, anna, 2)
            await stand_in.pushed(3)
            again = await anna.call("PUT", "/v1/push", {"kind": kind, "target": OTHERS[kind]})
            assert again.json["token"] != registered.json["token"]
            assert await poll(anna) == [2]
            await submit(bert, anna, 3)
            assert woken_by((await stand_in.pushed(4))[3]) == again.json["token"]
            assert await poll(anna) == [3]

            # A redirect to loopback is not followed; who is gone is removed.
            await stand_in.answer(OTHERS[kind], "redirect", "unregistered")
            asked = ("push", "test", "anna", "--data", str(data), "--json")
            for outcome, detail in (("refused", "redirected"), ("gone", "unregistered")):
                tested = await asyncio.to_thread(run, *asked)
                found = json.loads(tested.stdout)
                assert (found["outcome"], found["detail"]) == (outcome, detail)
                assert OTHERS[kind] not in tested.stdout
            assert came_to_trap == []
            await submit(bert, anna, 4)
            assert await poll(anna) == [4]
            assert len(await stand_in.seen()) == 6
            code, errors = served.stop()
            assert code == 0
            for secret in (TARGETS[kind], OTHERS[kind], registered.json["token"]):
                assert secret not in errors


@pytest.mark.parametrize("kind", ["apns", "fcm"])
async def test_the_doctor_asks_the_push_service_and_a_key_that_others_can_read_stops_the_start(
    kind: str, tmp_path: Path
) -> None:
    async with standing_in_for(kind, tmp_path) as (_, told, _):
        asked = ("doctor", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--json")
        found = await asyncio.to_thread(run, *asked, **told)
        lines = {line["check"]: line for line in map(json.loads, found.stdout.splitlines())}
        assert lines[f"push {kind}"]["state"] == "ok", lines
        secret = next(
            Path(value) for name, value in told.items() if name.endswith(("KEY_FILE", "ACCOUNT_FILE"))
        )
        secret.chmod(0o644)
        found = await asyncio.to_thread(run, *asked, **told)
        (line,) = [
            line for line in map(json.loads, found.stdout.splitlines()) if line["check"].startswith("push")
        ]
        assert (line["state"], "chmod 600" in line["found"]) == ("failed", True)
        started = await asyncio.to_thread(
            run, "serve", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", **told
        )
        assert (started.returncode, "chmod 600" in started.stderr) == (2, True), started.stderr
