"""A device registers, is woken while it is away, comes and acknowledges: real relays, a push service of others."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.wire.links import encode_bytes
from relay.wire.manifests import SignedManifest
from tests.push_services import PushService, Subscription, decoded, open_push_service, vapid_claims
from tests.raw_device import JSON, Answered, RawDevice, send, told
from tests.relay_process import run, serving
from tests.running_relay import World, open_world

TOKEN = b"t" * 16


def settings_for(service: PushService, **more: Any) -> dict[str, Any]:
    kinds = {"web": True, "unifiedpush": True, "webhook": True, "contact": "mailto:a@b.example"}
    return {"push": {**kinds, "allow_hosts": (service.host,), **more}}


async def submit(device: RawDevice, to: RawDevice, number: int = 0, *, urgent: bool = False) -> None:
    body = {
        "envelope_id": encode_bytes(number.to_bytes(16, "big")),
        "envelope_class": 1,
        "urgent": urgent,
        "ttl_seconds": 60,
        "ciphertexts": [encode_bytes(b"sealed")],
        "targets": [{"device_id": encode_bytes(to.device_id), "ciphertext": 0, "grant": 0}],
        "grants": [
            {"account_id": encode_bytes(to.account_id), "token": encode_bytes(TOKEN), "manifest_version": 1}
        ],
    }
    answered = await send(
        device.session, "POST", to.url("/v1/envelopes"), data=json.dumps(body).encode(), headers=JSON
    )
    assert answered.json["outcomes"] == [1], answered.body


async def poll(device: RawDevice) -> list[int]:
    """Comes, takes what waits, acknowledges."""
    polled = (await device.call("GET", "/v1/mailbox?after=0&wait_seconds=0")).json
    sequences = [one["sequence"] for one in polled["envelopes"]]
    if sequences:
        assert (await device.call("POST", "/v1/mailbox/ack", {"up_to": sequences[-1]})).status == 204
    return sequences


async def put(device: RawDevice, manifest: SignedManifest) -> Answered:
    return await device.call("POST", "/v1/accounts/self/manifests", {"manifest": told(manifest)})


async def member(world: World) -> RawDevice:
    device = await world.member()
    assert (await device.add_token(TOKEN)).status == 204
    return device


@pytest.mark.parametrize("kind", ["web", "unifiedpush", "webhook"])
async def test_who_is_away_is_woken_comes_and_is_woken_again(kind: str) -> None:
    subscription = Subscription()
    async with open_push_service() as service, open_world(**settings_for(service)) as world:
        anna, bert = await member(world), await member(world)
        asked = subscription.registration(kind, f"{service.url}/anna")
        if kind == "webhook":
            asked = {"kind": kind, "target": f"{service.url}/anna"}
        registered = await anna.call("PUT", "/v1/push", asked)
        assert registered.status == 200
        token = decoded(registered.json["token"])
        for number in range(3):
            await submit(bert, anna, number)
        (received,) = await service.wait_for(1)
        assert (received.body if kind == "webhook" else subscription.open(received.body)) == token
        if kind != "webhook":
            document = (await send(anna.session, "GET", anna.url("/.well-known/tokenim"))).json
            assert document["push"]["kinds"] == ["web", "unifiedpush", "webhook"]
            assert vapid_claims(received, document["push"]["vapid_key"])["aud"] == service.url
        assert await poll(anna) == [1, 2, 3]
        await asyncio.sleep(0.3)
        assert len(service.received) == 1
        await submit(bert, anna, 9)
        await service.wait_for(2)
        # Registered anew: another token. Unregistered: none.
        again = await anna.call("PUT", "/v1/push", asked)
        assert again.json["token"] != registered.json["token"]
        assert (await anna.call("DELETE", "/v1/push")).status == 204
        await submit(bert, anna, 10)
        await asyncio.sleep(0.3)
        assert len(service.received) == 2


async def test_what_does_not_fit_is_refused() -> None:
    keys = Subscription()
    async with open_push_service() as service, open_world(**settings_for(service)) as world:
        anna = await member(world)
        url = "https://push.example/x"
        good = keys.registration("web", url)
        for wrong in (
            {**good, "kind": "pigeon"},
            {**good, "kind": "fcm"},
            {"kind": "fcm", "target": "token"},  # not switched on here
            {**good, "auth": ""},
            {**good, "p256dh": encode_bytes(bytes(64))},
            {**good, "kind": "webhook"},
            {**good, "target": "ftp://push.example/"},
            {**good, "target": "https://push.example/ x"},
            {**good, "target": "https://push.example/" + "x" * 2_048},
            {**good, "more": 1},
            {"kind": "webhook", "target": "http://127.0.0.1:1/"},  # not the host that is allowed
            {"kind": "webhook", "target": "https://192.168.1.1/"},
            {"kind": "web"},
        ):
            assert (await anna.call("PUT", "/v1/push", wrong)).status == 400, wrong
        assert (await anna.call("PUT", "/v1/push", good)).status == 200
        for _ in range(16):
            assert (await anna.call("PUT", "/v1/push", good)).status == 200
        limited = await anna.call("PUT", "/v1/push", good)
        assert (limited.status, limited.code) == (429, "rate_limited")


@pytest.mark.parametrize("kind", ["web", "webhook"])
async def test_a_relay_process_wakes_survives_a_kill_and_forgets_who_is_gone(
    kind: str, tmp_path: Path
) -> None:
    subscription = Subscription()
    data = tmp_path / "data"
    async with open_push_service() as service, aiohttp.ClientSession() as session:
        options = {
            "TOKENIM_RELAY_PUSH__WEB": "true",
            "TOKENIM_RELAY_PUSH__WEBHOOK": "true",
            "TOKENIM_RELAY_PUSH__CONTACT": "mailto:a@b.example",
            "TOKENIM_RELAY_PUSH__ALLOW_HOSTS": service.host,
            "TOKENIM_RELAY_ORIGIN": "http://127.0.0.1:1",
        }
        service.answer = "failing"
        with serving(data, **options) as served:
            anna, bert = [
                RawDevice(
                    "http://127.0.0.1:1", session, clock=lambda: time.time_ns() // 10**6, base=served.url
                )
                for _ in range(2)
            ]
            assert (await anna.register(served.invite)).status == 201
            invite = json.loads(run("invite", "create", "--data", str(data), "--json").stdout)["link"]
            assert (await bert.register(invite)).status == 201
            assert (await anna.add_token(TOKEN)).status == 204
            asked = subscription.registration(kind, f"{service.url}/anna")
            if kind == "webhook":
                asked = {"kind": kind, "target": f"{service.url}/anna"}
            assert (await anna.call("PUT", "/v1/push", asked)).status == 200
            await submit(bert, anna)
            await service.wait_for(2)
            served.process.kill()
        service.answer, service.received[:] = "taken", []
        with serving(data, **options) as served:
            await service.wait_for(1, 20)  # from the outbox, without another message
            anna.base = bert.base = served.url
            assert await poll(anna) == [1]
            service.answer = "gone"
            await submit(bert, anna, 2)
            await service.wait_for(2)
            await asyncio.sleep(0.3)
            assert await poll(anna) == [2]
            await submit(bert, anna, 3)
            await asyncio.sleep(0.5)
            assert len(service.received) == 2
            assert served.stop()[0] == 0


async def test_d6_who_is_revoked_or_deleted_leaves_nothing_to_wake() -> None:
    async with open_push_service() as service, open_world(store="sqlite", **settings_for(service)) as world:
        anna = await member(world)
        laptop = world.device(of=anna)
        manifest = anna.manifest(
            2, previous=anna.made[-1].body, devices=[anna.listed(), laptop.listed()], signer=anna
        )
        assert (await put(anna, manifest)).status == 200
        for device in (anna, laptop):
            asked = {"kind": "webhook", "target": f"{service.url}/{device.device_id.hex()}"}
            assert (await device.call("PUT", "/v1/push", asked)).status == 200
        pushes = world.relay.services.store.pushes
        assert len(await pushes.registrations(limit=9)) == 2
        last = anna.manifest(3, previous=manifest.body, devices=[anna.listed()], signer=anna)
        assert (await put(anna, last)).status == 200
        assert [one.device_id for one in await pushes.registrations(limit=9)] == [anna.device_id]
        assert (await anna.call("DELETE", "/v1/accounts/self")).status == 204
        assert await pushes.registrations(limit=9) == ()


async def test_an_operator_wakes_the_devices_of_an_account_and_sees_what_came_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with open_push_service() as service, aiohttp.ClientSession() as session:
        options = {"TOKENIM_RELAY_PUSH__WEBHOOK": "true", "TOKENIM_RELAY_PUSH__ALLOW_HOSTS": service.host}
        with serving(data, **options) as served:
            anna = RawDevice(served.url, session, clock=lambda: time.time_ns() // 10**6)
            assert (await anna.register(served.invite, handle="anna")).status == 201
            asked = ("push", "test", "anna", "--data", str(data), "--json")
            nobody = await asyncio.to_thread(run, *asked)
            assert (nobody.returncode, "not_found" in nobody.stderr) == (1, True)
            target = {"kind": "webhook", "target": f"{service.url}/secret-part"}
            token = decoded((await anna.call("PUT", "/v1/push", target)).json["token"])
            for answer, code, expected in (
                ("taken", 0, ("sent", "accepted")),
                ("busy", 1, ("retry", "busy")),
                ("redirect", 1, ("refused", "redirected")),
            ):
                service.answer = answer
                tested = await asyncio.to_thread(run, *asked)
                assert tested.returncode == code, tested.stderr
                told_of = json.loads(tested.stdout)
                assert (told_of["outcome"], told_of["detail"]) == expected
                assert told_of["kind"] == "webhook"
                assert "secret-part" not in tested.stdout
            assert [one.body for one in service.received] == [token] * 3
            shown = await asyncio.to_thread(run, "audit", "show", "--data", str(data), "--json")
            actions = [json.loads(line)["action"] for line in shown.stdout.splitlines()]
            assert actions.count("push.test") == 4
