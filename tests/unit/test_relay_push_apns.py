"""APNs over the network, against a stand-in on node's http2 that checks what Apple checks."""

import asyncio
import base64
import json
import random
import ssl
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from relay.adapters.memory_clock import ManualClock
from relay.adapters.push.signed_tokens import PushKeyUnusable
from relay.ports.pusher import Outcome, PushAddress, PushAnswer
from tests.push_stand_ins.apns import open_apple, write_key
from tests.running_relay import ShiftedClock

TOKEN = bytes(range(16))
DEVICE = "ab" * 32
OTHER = "cd" * 32


def at(device: str) -> PushAddress:
    return PushAddress("apns", device)


@pytest.fixture
async def apple(tmp_path):
    async with open_apple(tmp_path) as opened:
        yield opened


@pytest.fixture
async def open_pusher(apple):
    opened = []

    def open_one(clock=None, **changes):
        opened.append(apple.pusher(clock or ShiftedClock(), **changes))
        return opened[-1]

    yield open_one
    for pusher in opened:
        await pusher.close()


def claims_of(push) -> dict:
    _, claims, _ = push["headers"]["authorization"].removeprefix("bearer ").split(".")
    return json.loads(base64.urlsafe_b64decode(claims + "=="))


@pytest.mark.proves("M-PUSH-01")
async def test_a_wakeup_is_taken_and_carries_the_token_alone(apple, open_pusher):
    pusher, clock = open_pusher(), ShiftedClock()
    assert await pusher.push(at(DEVICE), TOKEN, urgent=True) == PushAnswer(Outcome.SENT, "accepted")
    (push,) = await apple.stand_in.seen()
    assert push["faults"] == []
    assert push["device"] == DEVICE
    assert json.loads(push["body"]) == {
        "aps": {"alert": {"loc-key": "TOKENIM_WAKE"}, "mutable-content": 1},
        "wake": "AAECAwQFBgcICQoLDA0ODw",
    }
    kept = int(push["headers"]["apns-expiration"]) - clock.now_ms() // 1_000
    assert abs(kept - 86_400) < 60


@pytest.mark.parametrize("push_type", ["alert", "background"])
async def test_c4_wakeups_differ_in_their_token_and_apples_priority_alone(apple, open_pusher, push_type):
    pusher = open_pusher(ManualClock(), push_type=push_type)
    await apple.stand_in.tell(now=ManualClock().now_ms() // 1_000)
    for number in range(20):
        answer = await pusher.push(at(DEVICE), bytes([number]) * 16, urgent=bool(number % 2))
        assert answer.outcome is Outcome.SENT
    pushes = await apple.stand_in.seen()
    assert len({len(push["body"]) for push in pushes}) == 1
    without = {push["body"].replace(json.loads(push["body"])["wake"], "") for push in pushes}
    assert len(without) == 1
    varying = {name for name in pushes[0]["headers"] if len({push["headers"][name] for push in pushes}) > 1}
    assert varying == ({"apns-priority"} if push_type == "alert" else set())


@pytest.mark.parametrize(
    ("what", "outcome", "detail", "retry_after_s"),
    [
        ("unregistered", Outcome.GONE, "unregistered", None),
        ("bad_token", Outcome.GONE, "unregistered", None),
        ("busy", Outcome.RETRY, "busy", 7.0),
        ("failing", Outcome.RETRY, "failing", None),
        ("closed", Outcome.RETRY, "failing", 7.0),
        ("reset", Outcome.RETRY, "unreachable", None),
        ("hang_up", Outcome.RETRY, "unreachable", None),
        ("redirect", Outcome.REFUSED, "redirected", None),
        ("wrong_key", Outcome.REFUSED, "not_allowed", None),
        ("expired", Outcome.REFUSED, "not_allowed", None),
        ("other_topic", Outcome.REFUSED, "not_allowed", None),
        ("bad_path", Outcome.REFUSED, "bad_request", None),
        ("nonsense", Outcome.REFUSED, "bad_request", None),
        ("endless", Outcome.RETRY, "failing", None),
    ],
)
async def test_f20_what_apple_answers_is_what_becomes_of_the_wakeup(
    apple, open_pusher, what, outcome, detail, retry_after_s
):
    pusher = open_pusher()
    await apple.stand_in.answer(DEVICE, what)
    assert await pusher.push(at(DEVICE), TOKEN, urgent=True) == PushAnswer(outcome, detail, retry_after_s)
    for _ in range(2):
        assert (await pusher.push(at(DEVICE), TOKEN, urgent=True)).detail == detail
        assert (await pusher.push(at(OTHER), TOKEN, urgent=True)).outcome is Outcome.SENT, (
            "nobody else suffers"
        )
    assert apple.came_to_trap == []
    assert [push["faults"] for push in await apple.stand_in.seen() if push["faults"]] == []


async def test_f20_a_redirect_to_loopback_is_not_followed(apple, open_pusher):
    await apple.stand_in.answer(DEVICE, "redirect")
    answer = await open_pusher().push(at(DEVICE), TOKEN, urgent=False)
    assert (answer.outcome, answer.detail) == (Outcome.REFUSED, "redirected")
    assert len(await apple.stand_in.seen()) == 1
    assert apple.came_to_trap == []


async def test_f20_no_answer_at_all_ends_by_the_relays_clock_and_others_go_on(apple, open_pusher):
    clock = ManualClock()
    pusher = open_pusher(clock)
    await apple.stand_in.tell(now=clock.now_ms() // 1_000)
    await apple.stand_in.answer(DEVICE, "silent")
    hanging = asyncio.create_task(pusher.push(at(DEVICE), TOKEN, urgent=True))
    await apple.stand_in.pushed(1)
    assert (await pusher.push(at(OTHER), TOKEN, urgent=True)).outcome is Outcome.SENT
    assert (await apple.stand_in.seen())[1]["connection"] == 1, "one connection for both"
    await clock.advance(seconds=19)
    assert not hanging.done()
    await clock.advance(seconds=1)
    assert await hanging == PushAnswer(Outcome.RETRY, "silent")
    assert (await pusher.push(at(OTHER), TOKEN, urgent=True)).outcome is Outcome.SENT
    assert (await apple.stand_in.seen())[2]["connection"] == 2, "what was silent may be dead"


async def test_f20_a_service_that_is_down_is_tried_again_later(apple, open_pusher):
    pusher = open_pusher(url="https://127.0.0.1:9")
    assert await pusher.push(at(DEVICE), TOKEN, urgent=True) == PushAnswer(Outcome.RETRY, "unreachable")


async def test_f20_who_is_not_the_service_by_its_certificate_gets_nothing(apple, open_pusher, tmp_path):
    (tmp_path / "other").mkdir()
    async with open_apple(tmp_path / "other") as other:
        pusher = open_pusher(url=other.account.url)
        assert await pusher.push(at(DEVICE), TOKEN, urgent=True) == PushAnswer(Outcome.RETRY, "unreachable")
        assert other.stand_in.pushes == []


async def test_f20_a_connection_that_apple_closed_meanwhile_costs_no_wakeup(apple, open_pusher):
    pusher = open_pusher()
    await apple.stand_in.answer(DEVICE, "ok_then_go_away")
    for _ in range(3):
        assert (await pusher.push(at(DEVICE), TOKEN, urgent=True)).outcome is Outcome.SENT
    await apple.stand_in.answer(DEVICE, "ok")
    assert (await pusher.push(at(DEVICE), TOKEN, urgent=True)).outcome is Outcome.SENT
    await apple.stand_in.answer(DEVICE, "hang_up", "ok")
    assert (await pusher.push(at(DEVICE), TOKEN, urgent=True)).outcome is Outcome.SENT


async def test_e1_what_is_no_http2_breaks_nothing(apple, open_pusher, tmp_path):
    """Random bytes, cut frames and lengths that nobody sends, after a good TLS handshake."""
    (tmp_path / "other").mkdir()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*apple.authority.pair().write(tmp_path / "other"))
    context.set_alpn_protocols(["h2"])
    seeded = random.Random(20)
    replies = [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\xff\xff\xff\x01\x04\x00\x00\x00\x01",
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88" * 3,
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x00\x05\x01\x05\x00\x00\x00\x01\x08\x03abc",
        *(seeded.randbytes(seeded.randrange(400)) for _ in range(40)),
    ]

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(replies[-1])
        with suppress(OSError):
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0, ssl=context)
    pusher = open_pusher(url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    while replies:
        answer = await pusher.push(at(DEVICE), TOKEN, urgent=True)
        assert answer.outcome in (Outcome.RETRY, Outcome.SENT)
        replies.pop()
    server.close()
    await server.wait_closed()


async def test_f20_who_speaks_no_http2_is_not_the_service(apple, open_pusher, tmp_path):
    (tmp_path / "other").mkdir()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*apple.authority.pair().write(tmp_path / "other"))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    pusher = open_pusher(url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert await pusher.push(at(DEVICE), TOKEN, urgent=True) == PushAnswer(Outcome.RETRY, "unreachable")
    server.close()
    await server.wait_closed()


async def test_many_at_once_share_one_connection(apple, open_pusher):
    pusher = open_pusher()
    devices = [f"{number:064x}" for number in range(1, 301)]
    answers = await asyncio.gather(*(pusher.push(at(device), TOKEN, urgent=True) for device in devices))
    assert {answer.outcome for answer in answers} == {Outcome.SENT}
    assert {push["connection"] for push in await apple.stand_in.seen()} == {1}
    assert sorted(push["device"] for push in await apple.stand_in.seen()) == devices


@pytest.mark.parametrize("target", ["", "../../x", "ab" * 32 + "?x", "zz" * 32, "ab" * 300, "ab\r\ncd" * 8])
async def test_what_can_be_no_device_token_is_never_sent(apple, open_pusher, target):
    answer = await open_pusher().push(at(target), TOKEN, urgent=True)
    assert answer == PushAnswer(Outcome.GONE, "unregistered")
    assert await apple.stand_in.seen() == []


async def test_the_teams_token_is_made_anew_between_20_and_60_minutes(apple, open_pusher):
    clock = ManualClock()
    pusher = open_pusher(clock)
    made = []
    for _ in range(30):  # two and a half hours
        await apple.stand_in.tell(now=clock.now_ms() // 1_000)
        assert (await pusher.push(at(DEVICE), TOKEN, urgent=True)).outcome is Outcome.SENT
        made.append(claims_of((await apple.stand_in.seen())[-1])["iat"])
        assert clock.now_ms() // 1_000 - made[-1] < 3_600
        await clock.advance(seconds=300)
    steps = [
        later - earlier for earlier, later in zip(sorted(set(made)), sorted(set(made))[1:], strict=False)
    ]
    assert len(steps) >= 3
    assert all(1_200 <= step <= 3_600 for step in steps)


async def test_a_token_that_apple_calls_expired_is_made_anew_once_it_is_old_enough(apple, open_pusher):
    clock = ManualClock()
    pusher = open_pusher(clock)
    await apple.stand_in.tell(now=clock.now_ms() // 1_000)
    assert (await pusher.push(at(DEVICE), TOKEN, urgent=True)).outcome is Outcome.SENT
    await apple.stand_in.answer(DEVICE, "expired", "expired", "ok")
    await clock.advance(seconds=1_199)
    assert (await pusher.push(at(DEVICE), TOKEN, urgent=True)).detail == "not_allowed"
    await clock.advance(seconds=1)
    assert (await pusher.push(at(DEVICE), TOKEN, urgent=True)).outcome is Outcome.SENT
    assert len({claims_of(push)["iat"] for push in await apple.stand_in.seen()}) == 2


async def test_f10_a_clock_that_jumps_brings_a_new_token(apple, open_pusher):
    clock = ManualClock()
    pusher = open_pusher(clock)
    for hours in (0, 2, -3):
        clock.jump(seconds=hours * 3_600)
        await apple.stand_in.tell(now=clock.now_ms() // 1_000)
        answer = await pusher.push(at(DEVICE), TOKEN, urgent=True)
        # Going back, the stand-in takes the new one for an update that comes too early, and says: later.
        assert answer.outcome is (Outcome.SENT if hours >= 0 else Outcome.RETRY)
        assert claims_of((await apple.stand_in.seen())[-1])["iat"] == clock.now_ms() // 1_000


async def test_the_doctor_is_told_whether_apple_takes_the_key_and_nobody_is_woken(apple, open_pusher):
    check = await open_pusher().check()
    assert (check.state, check.mend) == ("ok", None)
    assert [push["refused"][1] for push in await apple.stand_in.seen()] == ["BadDeviceToken"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"key_id": "OTHERKEY12"}, "403 InvalidProviderToken"),
        ({"team_id": "OTHERTEAM1"}, "403 InvalidProviderToken"),
        ({"topic": "org.example.other"}, "400 DeviceTokenNotForTopic"),
        ({"url": "https://127.0.0.1:9"}, "no connection"),
    ],
)
async def test_the_doctor_is_told_what_is_wrong(apple, open_pusher, changes, told):
    check = await open_pusher(**changes).check()
    assert check.state == "failed"
    assert told in check.found
    assert "push.apns" in check.mend


async def test_the_doctor_is_told_of_another_key(apple, open_pusher, tmp_path):
    other = write_key(tmp_path / "other.p8", ec.generate_private_key(ec.SECP256R1()))
    check = await open_pusher(key_file=other).check()
    assert (check.state, "InvalidProviderToken" in check.found) == ("failed", True)


def test_e10_a_key_that_others_can_read_is_not_used(apple, tmp_path):
    apple.account.key_file.chmod(0o644)
    with pytest.raises(PushKeyUnusable, match="chmod 600"):
        apple.pusher(ShiftedClock())


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_file_without_a_key_is_told_in_one_line_that_shows_nothing_of_it(apple, content):
    apple.account.key_file.write_bytes(content)
    with pytest.raises(PushKeyUnusable) as caught:
        apple.pusher(ShiftedClock())
    assert str(caught.value) == f"{apple.account.key_file}: no private key in PEM without a passphrase"


def test_a_key_of_another_curve_is_refused(apple, tmp_path):
    other = write_key(tmp_path / "other.p8", ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(PushKeyUnusable, match="P-256"):
        apple.pusher(ShiftedClock(), key_file=other)
