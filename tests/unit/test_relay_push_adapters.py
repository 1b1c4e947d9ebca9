"""Web Push, UnifiedPush and webhook over the network, against a service that is not their own code (RFC 8030, 8291, 8292)."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.signing import VerifyKey

from relay.adapters.memory_clock import ManualClock
from relay.adapters.push.http_answers import retry_after_of
from relay.adapters.push.outward import Outward
from relay.adapters.push.web_push import encrypt, public_bytes, vapid_key
from relay.adapters.system_clock import system_randomness
from relay.config import PushSettings
from relay.ports.pusher import Outcome, PushAddress, PushAnswer
from relay.pushers import open_pushers
from relay.session.proof import RelayKey
from relay.wire.transcripts import webhook_transcript
from tests.contract.people import NOW_MS
from tests.push_services import PushService, Subscription, decoded, encoded, open_push_service, vapid_claims

SEED = bytes(range(32))
TOKEN = bytes(range(16))
ORIGIN = "https://chat.example"


def opened(service: PushService, **more: object):
    settings = PushSettings.model_validate(
        {
            "web": True,
            "unifiedpush": True,
            "webhook": True,
            "contact": "mailto:a@b.example",
            "allow_hosts": (service.host,),
            **more,
        }
    )
    return open_pushers(
        settings, seed=SEED, origin=ORIGIN, clock=ManualClock(NOW_MS), randomness=system_randomness
    )


def test_encryption_is_that_of_the_example_in_rfc_8291_section_5() -> None:
    private = int.from_bytes(decoded("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big")
    body = encrypt(
        b"When I grow up, I want to be a watermelon",
        decoded("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
        decoded("BTBZMqHH6r4Tts7J_aSIgg"),
        salt=decoded("DGv6ra1nlYgDCS1FRnbzlw"),
        key=ec.derive_private_key(private, ec.SECP256R1()),
    )
    assert encoded(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@pytest.mark.parametrize("kind", ["web", "unifiedpush"])
async def test_c4_a_subscription_opens_a_wakeup_to_the_token_alone(kind: str) -> None:
    subscription = Subscription()
    async with open_push_service() as service, opened(service) as services:
        pusher = next(one for one in services.pushers if one.kind == kind)
        address = PushAddress(pusher.kind, f"{service.url}/sub", subscription.p256dh, subscription.auth)
        for urgent in (False, True):
            assert await pusher.push(address, TOKEN, urgent) == PushAnswer(Outcome.SENT, "accepted")
        calm, hurried = service.received
        assert subscription.open(calm.body) == subscription.open(hurried.body) == TOKEN
        assert calm.body != hurried.body
        assert len(calm.body) == len(hurried.body) == 119
        assert (calm.headers.pop("Urgency"), hurried.headers.pop("Urgency")) == ("normal", "high")
        claims = vapid_claims(calm, encoded(services.vapid_key))
        assert claims == {"aud": service.url, "exp": NOW_MS // 1_000 + 43_200, "sub": "mailto:a@b.example"}
        for received in (calm, hurried):
            assert len(received.headers.pop("Authorization")) > 200
        assert calm.headers == hurried.headers
        assert calm.headers["Content-Encoding"] == "aes128gcm"
        assert int(calm.headers["TTL"]) == 86_400
        assert (await pusher.check()).state == "ok"


async def test_c4_a_webhook_gets_the_token_signed_by_the_relay() -> None:
    async with open_push_service() as service, opened(service) as services:
        (pusher,) = [one for one in services.pushers if one.kind == "webhook"]
        target = f"{service.url}/hook?user=1"
        for urgent in (False, True):
            answer = await pusher.push(PushAddress("webhook", target), TOKEN, urgent)
            assert answer.outcome is Outcome.SENT
        calm, hurried = service.received
        assert (calm.body, calm.headers) == (hurried.body, hurried.headers)
        assert calm.body == TOKEN
        time_ms = int(calm.headers["TokenIM-Time"])
        signed = webhook_transcript(origin=ORIGIN, target=target, time_ms=time_ms, token=TOKEN)
        VerifyKey(RelayKey(SEED).public).verify(signed, decoded(calm.headers["TokenIM-Signature"]))
        assert time_ms == NOW_MS


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("taken", PushAnswer(Outcome.SENT, "accepted")),
        ("gone", PushAnswer(Outcome.GONE, "unregistered")),
        ("not found", PushAnswer(Outcome.GONE, "unregistered")),
        ("busy", PushAnswer(Outcome.RETRY, "busy", 7.0)),
        ("failing", PushAnswer(Outcome.RETRY, "failing")),
        ("too slow", PushAnswer(Outcome.RETRY, "silent")),
        ("refusing", PushAnswer(Outcome.REFUSED, "not_allowed")),
        ("no such form", PushAnswer(Outcome.REFUSED, "bad_request")),
        ("redirect", PushAnswer(Outcome.REFUSED, "redirected")),
        ("nothing", PushAnswer(Outcome.RETRY, "silent")),
    ],
)
@pytest.mark.parametrize("kind", ["web", "unifiedpush", "webhook"])
async def test_f20_what_a_service_answers(
    kind: str, answer: str, expected: PushAnswer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.adapters.push.outward.TOTAL_SECONDS", 0.5)
    subscription = Subscription()
    async with open_push_service() as service, opened(service) as services:
        service.answer = answer
        (pusher,) = [one for one in services.pushers if one.kind == kind]
        keys = () if kind == "webhook" else (subscription.p256dh, subscription.auth)
        assert (
            await pusher.push(PushAddress(pusher.kind, f"{service.url}/sub", *keys), TOKEN, False) == expected
        )
        assert len(service.received) == 1
        assert service.trapped == []


async def test_f20_a_service_that_is_down_is_tried_again() -> None:
    async with open_push_service() as service, opened(service) as services:
        url = service.url
        await_nobody = PushAddress("webhook", url)
        (pusher,) = [one for one in services.pushers if one.kind == "webhook"]
        assert (await pusher.push(await_nobody, TOKEN, False)).outcome is Outcome.SENT
    async with opened(service) as services:
        (pusher,) = [one for one in services.pushers if one.kind == "webhook"]
        assert await pusher.push(await_nobody, TOKEN, False) == PushAnswer(Outcome.RETRY, "unreachable")


async def test_keys_that_are_none_are_no_reason_to_try_again() -> None:
    async with open_push_service() as service, opened(service) as services:
        (pusher,) = [one for one in services.pushers if one.kind == "web"]
        off_the_curve = b"\x04" + bytes(64)
        for p256dh, target in ((off_the_curve, service.url), (Subscription().p256dh, "nowhere")):
            answer = await pusher.push(PushAddress("web", target, p256dh, bytes(16)), TOKEN, False)
            assert answer == PushAnswer(Outcome.REFUSED, "bad_request")
        assert service.received == []


def test_the_vapid_key_stays_as_long_as_the_relays_own() -> None:
    assert public_bytes(vapid_key(SEED)) == public_bytes(vapid_key(SEED))
    assert public_bytes(vapid_key(SEED)) != public_bytes(vapid_key(bytes(32)))
    assert len(public_bytes(vapid_key(SEED))) == 65


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("Fri, 15 Jan 2099 07:00:00 GMT", 86_400.0),
        ("999999999", 86_400.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1" * 400, None),
    ],
)
def test_when_a_service_wants_to_be_asked_again(text: str, seconds: float | None) -> None:
    assert retry_after_of(text, NOW_MS) == seconds


async def test_nothing_is_opened_where_nothing_is_switched_on() -> None:
    async with open_pushers(
        PushSettings.model_validate({}),
        seed=SEED,
        origin=ORIGIN,
        clock=ManualClock(NOW_MS),
        randomness=system_randomness,
    ) as services:
        assert services.pushers == ()
        assert services.vapid_key == b""
    await Outward(ManualClock(NOW_MS)).close()


async def test_what_a_service_wants_to_be_told_again_is_not_kept() -> None:
    """A cookie would tie the wakeups of one device to those of others at the same host."""
    async with open_push_service() as service, opened(service, allow_hosts=("localhost",)) as services:
        service.answer = "with a cookie"
        url = service.url.replace("127.0.0.1", "localhost")  # no library keeps the cookies of an address
        pusher = next(one for one in services.pushers if one.kind == "webhook")
        for _ in range(2):
            answer = await pusher.push(PushAddress("webhook", f"{url}/sub"), TOKEN, False)
            assert answer.outcome is Outcome.SENT
        assert [received.headers.get("Cookie") for received in service.received] == [None, None]
