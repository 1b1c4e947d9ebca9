"""A thousand wakeups of all causes through all push services, captured there: one length each, and no id of anybody."""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.wire.links import encode_bytes
from tests.journeys.test_push_apns_fcm import standing_in_for, woken_by
from tests.journeys.test_push_over_http import TOKEN, poll
from tests.push_services import PushService, Subscription, decoded, open_push_service
from tests.push_stand_ins.stand_in import StandIn
from tests.raw_device import JSON, RawDevice, send
from tests.relay_process import run, serving

KINDS = ("web", "unifiedpush", "webhook", "apns", "fcm")
CAUSES = ("one to one", "group", "urgent", "notice", "several senders")
ROUNDS = 40  # of a wakeup for each kind and cause
LENGTHS = {"web": {119}, "unifiedpush": {119}, "webhook": {16}, "fcm": {2_304}}
MANY = "\n".join(
    f"[rates.{name}]\nburst = 100000\nper_second = 100000"
    for name in ("device", "address", "registration", "push", "submit", "token")
)
BODY = b"what nobody but the two may read"
SENDERS = 3


@dataclass
class Wakeup:
    """One request at a push service, in the same words for all five: `head` without the priority, which stands alone."""

    kind: str
    plain: bytes
    body: bytes
    head: Mapping[str, str]
    priority: str
    target: str

    @property
    def shape(self) -> tuple[tuple[str, int], ...]:
        """What a service sees at a glance: names and lengths of all headers, and the length of the body."""
        return (*sorted((name, len(value)) for name, value in self.head.items()), ("", len(self.body)))


@dataclass
class Device:
    """Somebody who is away, and the kind of service that wakes it."""

    raw: RawDevice
    kind: str
    target: dict[str, str]
    token: bytes = b""


@dataclass
class Scene:
    """A relay process with 25 devices that are away, five at each service, and some who write to them."""

    web: PushService
    phones: Mapping[str, StandIn]
    devices: list[Device]
    senders: list[RawDevice]
    subscription: Subscription
    begun: dict[bytes, int] = field(default_factory=dict)

    async def register(self) -> None:
        """All anew, each with another token."""
        answers = await asyncio.gather(
            *(device.raw.call("PUT", "/v1/push", device.target) for device in self.devices)
        )
        for device, answered in zip(self.devices, answers, strict=True):
            device.token = decoded(answered.json["token"])

    async def submit(self, sender: RawDevice, *to: Device, urgent: bool = False) -> None:
        """One envelope; to several as a group's, one ciphertext for all."""
        body = {
            "envelope_id": encode_bytes(id_of(len(self.begun))),
            "envelope_class": 1,
            "urgent": urgent,
            "ttl_seconds": 600,
            "ciphertexts": [encode_bytes(BODY * (1 + len(self.begun) % 50))],
            "targets": [
                {"device_id": encode_bytes(one.raw.device_id), "ciphertext": 0, "grant": number}
                for number, one in enumerate(to)
            ],
            "grants": [
                {
                    "account_id": encode_bytes(one.raw.account_id),
                    "token": encode_bytes(TOKEN),
                    "manifest_version": 1,
                }
                for one in to
            ],
        }
        self.begun[id_of(len(self.begun))] = len(to)
        answered = await send(
            sender.session, "POST", sender.url("/v1/envelopes"), data=json.dumps(body).encode(), headers=JSON
        )
        assert answered.json["outcomes"] == [1] * len(to), answered.body

    async def notice(self, asker: RawDevice, to: Device) -> None:
        """The last one-time keys of its device go, by which the relay tells it."""
        assert (await to.raw.call("POST", "/v1/prekeys", {"keys": to.raw.stock(1)})).status == 200
        target = f"/v1/accounts/{to.raw.account}/bundles"
        claimed = await asker.call("POST", target, {"token": encode_bytes(TOKEN)})
        assert claimed.json["bundles"][0]["one_time_prekey"] is not None

    async def cause(self, cause: str, to: Sequence[Device], sender: int) -> None:
        """So that each of them is woken once."""
        first = self.senders[sender % SENDERS]
        match cause:
            case "group":
                await self.submit(first, *to)
            case "notice":
                await asyncio.gather(*(self.notice(first, one) for one in to))
            case "several senders":
                for one in to:
                    await asyncio.gather(*(self.submit(each, one) for each in self.senders))
            case _:
                await asyncio.gather(*(self.submit(first, one, urgent=cause == "urgent") for one in to))

    async def captured(self, rounds: int) -> list[Wakeup]:
        """All wakeups that came until now, when there are five a kind and round."""
        await self.web.wait_for(3 * 5 * rounds, 60)
        for phones in self.phones.values():
            async with asyncio.timeout(60):
                await phones.pushed(5 * rounds)
        return [*self._at_urls(), *self._at_phones()]

    def _at_urls(self) -> Iterator[Wakeup]:
        for came in self.web.received:
            kind = came.path.split("/")[1]
            plain = came.body if kind == "webhook" else self.subscription.open(came.body)
            head = {name: value for name, value in came.headers.items() if name != "Urgency"}
            yield Wakeup(kind, plain, came.body, head, came.headers.get("Urgency", ""), came.path)

    def _at_phones(self) -> Iterator[Wakeup]:
        for kind, phones in self.phones.items():
            for push in phones.pushes:
                assert push["what"] == "ok", push
                head, target = dict(push["headers"]), push["device"]
                # An app's own token is the name of the device at its service; the service hands it out.
                priority = head.pop("apns-priority", "")
                head.pop(":path", None)
                message = json.loads(push["body"]).get("message")
                priority = message["android"]["priority"] if message else priority
                yield Wakeup(kind, decoded(woken_by(push)), push["body"].encode(), head, priority, target)


def id_of(number: int) -> bytes:
    return b"envelope" + number.to_bytes(8, "big")


def spellings(secret: bytes) -> Iterator[bytes]:
    """How an id could stand in a request."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for encoded in (base64.b64encode(secret), base64.urlsafe_b64encode(secret)):
        yield encoded.rstrip(b"=")


@asynccontextmanager
async def open_scene(folder: Path) -> AsyncIterator[Scene]:
    async with (
        open_push_service() as web,
        standing_in_for("apns", folder) as (apns, told_apns, _),
        standing_in_for("fcm", folder) as (fcm, told_fcm, _),
        aiohttp.ClientSession() as session,
    ):
        on = "\n".join(f"{kind} = true" for kind in ("web", "unifiedpush", "webhook"))
        config = folder / "relay.toml"
        config.write_text(
            f'[push]\n{on}\nconcurrency = 100\ncontact = "mailto:a@b.example"\nallow_hosts = ["{web.host}"]\n{MANY}\n'
        )
        data = folder / "data"
        with serving(data, "--config", str(config), **told_apns, **told_fcm) as served:

            def raw() -> RawDevice:
                return RawDevice(served.url, session, clock=lambda: time.time_ns() // 10**6)

            assert (await raw().register(served.invite)).status == 201
            made = await asyncio.to_thread(
                run, "invite", "create", "--data", str(data), "--uses", "99", "--json"
            )
            invite = json.loads(made.stdout)["link"]
            subscription = Subscription()
            devices = [
                Device(raw(), kind, target_of(kind, number, web, subscription))
                for number in range(5)
                for kind in KINDS
            ]
            senders = [raw() for _ in range(SENDERS)]
            for one in (*senders, *(device.raw for device in devices)):
                assert (await one.register(invite)).status == 201
                assert (await one.add_token(TOKEN)).status == 204
            yield Scene(web, {"apns": apns, "fcm": fcm}, devices, senders, subscription)
            assert served.stop()[0] == 0


def target_of(kind: str, number: int, web: PushService, subscription: Subscription) -> dict[str, str]:
    match kind:
        case "apns":
            return {"kind": kind, "target": f"{number + 1:064x}"}
        case "fcm":
            return {"kind": kind, "target": f"app{number}:" + "x" * (140 + 7 * number)}  # of no one length
        case "webhook":
            return {"kind": kind, "target": f"{web.url}/{kind}/{number}"}
        case _:
            return subscription.registration(kind, f"{web.url}/{kind}/{number}")


@pytest.mark.proves("M-PUSH-01")
@pytest.mark.timeout(300)
async def test_c4_a_thousand_wakeups_of_all_causes_through_all_services_look_the_same(tmp_path: Path) -> None:
    async with open_scene(tmp_path) as scene:
        woken: dict[tuple[bytes, int], tuple[str, str]] = {}
        seen: Counter[bytes] = Counter()
        for number in range(ROUNDS):
            if number % 5 == 0:
                await scene.register()
            groups: dict[str, list[Device]] = {cause: [] for cause in CAUSES}
            for place, device in enumerate(scene.devices):
                cause = CAUSES[(place // 5 + number) % 5]
                groups[cause].append(device)
                seen[device.token] += 1
                woken[device.token, seen[device.token]] = (device.kind, cause)
            await asyncio.gather(*(scene.cause(cause, to, number) for cause, to in groups.items()))
            wakeups = await scene.captured(number + 1)
            await asyncio.gather(*(poll(device.raw) for device in scene.devices))
        assert len(wakeups) == len(woken) == 1_000

        # Which wakeup had which cause: they came one after the other for each token.
        nth: Counter[bytes] = Counter()
        by_cause: dict[tuple[str, str], list[Wakeup]] = {}
        for wakeup in wakeups:
            nth[wakeup.plain] += 1
            by_cause.setdefault(woken[wakeup.plain, nth[wakeup.plain]], []).append(wakeup)
        assert {key: len(found) for key, found in by_cause.items()} == {
            (kind, cause): ROUNDS for kind in KINDS for cause in CAUSES
        }

        # One plaintext; one ciphertext and one shape for each service; the priority says urgent or not, and no more.
        assert {len(wakeup.plain) for wakeup in wakeups} == {16}
        for kind in KINDS:
            of_kind = [wakeup for wakeup in wakeups if wakeup.kind == kind]
            lengths = {len(wakeup.body) for wakeup in of_kind}
            assert lengths == LENGTHS.get(kind, lengths)
            assert len({wakeup.shape for wakeup in of_kind}) == 1, kind
            calm = {
                wakeup.priority for cause in CAUSES if cause != "urgent" for wakeup in by_cause[kind, cause]
            }
            hurried = {wakeup.priority for wakeup in by_cause[kind, "urgent"]}
            assert len(calm) == len(hurried) == 1
            assert (calm == hurried) is (kind == "webhook")
        no_id_in(wakeups, scene)


def no_id_in(wakeups: Sequence[Wakeup], scene: Scene) -> None:
    """Of an account, a device, an envelope, nor the token by which one may write; nor anything of what was written."""
    people = (*scene.senders, *(device.raw for device in scene.devices))
    secrets = [secret for one in people for secret in (one.account_id, one.device_id)]
    secrets += [TOKEN, BODY, *scene.begun]
    everything: list[Any] = []
    for wakeup in wakeups:
        everything += [wakeup.plain, wakeup.body, json.dumps(dict(wakeup.head)).encode()]
    haystack = b"\n".join(everything)
    for secret in secrets:
        for spelling in spellings(secret):
            assert spelling not in haystack
    for device in scene.devices:  # the search finds what is there
        assert any(spelling in haystack for spelling in spellings(device.token))
