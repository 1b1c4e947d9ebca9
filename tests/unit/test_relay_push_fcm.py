"""FCM over the network, against a stand-in on node that checks the OAuth signature and every field."""

import asyncio
import json

import pytest

from relay.adapters.memory_clock import ManualClock
from relay.adapters.push.signed_tokens import PushKeyUnusable
from relay.ports.pusher import Outcome, PushAddress, PushAnswer
from tests.push_stand_ins.fcm import open_google, rsa_key, write_account
from tests.running_relay import ShiftedClock

TOKEN = bytes(range(16))
DEVICE = "dQw4:APA91b" + "x" * 130
OTHER = "eRx5:APA91b" + "y" * 140


def at(device: str) -> PushAddress:
    return PushAddress("fcm", device)


@pytest.fixture
async def google(tmp_path):
    async with open_google(tmp_path) as opened:
        yield opened


@pytest.fixture
async def open_pusher(google):
    opened = []

    def open_one(clock=None, **changes):
        opened.append(google.pusher(clock or ShiftedClock(), **changes))
        return opened[-1]

    yield open_one
    for pusher in opened:
        await pusher.close()


async def test_a_wakeup_is_taken_and_carries_the_token_alone(google, open_pusher):
    assert await open_pusher().push(at(DEVICE), TOKEN, urgent=True) == PushAnswer(Outcome.SENT, "accepted")
    (push,) = await google.stand_in.seen()
    assert json.loads(push["body"]) == {
        "message": {
            "token": DEVICE,
            "data": {"wake": "AAECAwQFBgcICQoLDA0ODw"},
            "android": {"priority": "high", "ttl": "86400s", "collapse_key": "wake"},
        }
    }
    assert [login["fault"] for login in google.stand_in.logins] == [None]


async def test_c4_wakeups_differ_in_their_token_and_googles_priority_alone(google, open_pusher):
    pusher = open_pusher()
    for number in range(20):
        device = (DEVICE, OTHER)[number % 2]
        answer = await pusher.push(at(device), bytes([number]) * 16, urgent=bool(number % 4 // 2))
        assert answer.outcome is Outcome.SENT
    pushes = await google.stand_in.seen()
    assert {len(push["body"]) for push in pushes} == {2_304}, "whichever device, urgent or not"
    assert len({json.dumps(push["headers"]) for push in pushes}) == 1
    messages = [json.loads(push["body"])["message"] for push in pushes]
    for message in messages:
        message["token"] = message["data"]["wake"] = message["android"]["priority"] = ""
    assert len({json.dumps(message) for message in messages}) == 1


async def test_the_longest_target_that_registers_fits_into_the_one_size(google, open_pusher):
    answer = await open_pusher().push(at("x" * 2_048), TOKEN, urgent=False)
    assert answer.outcome is Outcome.SENT
    (push,) = await google.stand_in.seen()
    assert len(push["body"]) == 2_304


ANSWERS = [
    ("unregistered", Outcome.GONE, "unregistered", None),
    ("bad_token", Outcome.GONE, "unregistered", None),
    ("mismatch", Outcome.GONE, "unregistered", None),
    ("gone", Outcome.GONE, "unregistered", None),
    ("busy", Outcome.RETRY, "busy", 7.0),
    ("failing", Outcome.RETRY, "failing", None),
    ("closed", Outcome.RETRY, "failing", 7.0),
    ("endless", Outcome.RETRY, "failing", None),
    ("hang_up", Outcome.RETRY, "unreachable", None),
    ("redirect", Outcome.REFUSED, "redirected", None),
    ("denied", Outcome.REFUSED, "not_allowed", None),
    ("revoked", Outcome.REFUSED, "not_allowed", None),
    ("bad_ttl", Outcome.REFUSED, "bad_request", None),
    ("nonsense", Outcome.REFUSED, "bad_request", None),
    ("not_found", Outcome.REFUSED, "bad_request", None),
]


@pytest.mark.parametrize(("what", "outcome", "detail", "retry_after_s"), ANSWERS)
async def test_f20_what_google_answers_is_what_becomes_of_the_wakeup(
    google, open_pusher, what, outcome, detail, retry_after_s
):
    pusher = open_pusher()
    await google.stand_in.answer(DEVICE, what)
    assert await pusher.push(at(DEVICE), TOKEN, urgent=True) == PushAnswer(outcome, detail, retry_after_s)
    if what != "revoked":  # that took the token away from everybody
        assert (await pusher.push(at(OTHER), TOKEN, urgent=True)).outcome is Outcome.SENT
    assert google.came_to_trap == []


async def test_f20_a_redirect_to_loopback_is_not_followed(google, open_pusher):
    await google.stand_in.answer(DEVICE, "redirect")
    answer = await open_pusher().push(at(DEVICE), TOKEN, urgent=False)
    assert (answer.outcome, answer.detail) == (Outcome.REFUSED, "redirected")
    assert len(await google.stand_in.seen()) == 1
    assert google.came_to_trap == []


async def test_f20_no_answer_at_all_ends_by_the_relays_clock_and_others_go_on(google, open_pusher):
    clock = ManualClock()
    pusher = open_pusher(clock)
    await google.stand_in.tell(now=clock.now_ms() // 1_000)
    await google.stand_in.answer(DEVICE, "silent")
    hanging = asyncio.create_task(pusher.push(at(DEVICE), TOKEN, urgent=True))
    await google.stand_in.pushed(1)
    assert (await pusher.push(at(OTHER), TOKEN, urgent=True)).outcome is Outcome.SENT
    await clock.advance(seconds=19)
    assert not hanging.done()
    await clock.advance(seconds=1)
    assert await hanging == PushAnswer(Outcome.RETRY, "silent")


async def test_f20_a_service_that_is_down_is_tried_again_later(google, open_pusher):
    pusher = open_pusher(url="http://127.0.0.1:9")
    assert await pusher.push(at(DEVICE), TOKEN, urgent=True) == PushAnswer(Outcome.RETRY, "unreachable")
    pusher = open_pusher(token_url="http://127.0.0.1:9/token")
    assert await pusher.push(at(DEVICE), TOKEN, urgent=True) == PushAnswer(Outcome.RETRY, "unreachable")


async def test_f20_a_connection_that_google_closed_meanwhile_costs_no_wakeup(google, open_pusher):
    pusher = open_pusher()
    for _ in range(3):
        assert (await pusher.push(at(DEVICE), TOKEN, urgent=True)).outcome is Outcome.SENT
        await google.stand_in.tell(disconnect=True)
    await google.stand_in.answer(DEVICE, "hang_up", "ok")
    assert (await pusher.push(at(DEVICE), TOKEN, urgent=True)).outcome is Outcome.SENT


@pytest.mark.parametrize(
    ("what", "outcome", "detail", "retry_after_s"),
    [
        ("redirect", Outcome.REFUSED, "redirected", None),
        ("failing", Outcome.RETRY, "failing", None),
        ("closed", Outcome.RETRY, "failing", 7.0),
        ("hang_up", Outcome.RETRY, "unreachable", None),
        ("nonsense", Outcome.REFUSED, "not_allowed", None),
        ("not_found", Outcome.REFUSED, "bad_request", None),
        ("odd", Outcome.RETRY, "failing", None),
        ("without", Outcome.RETRY, "failing", None),
        ("endless", Outcome.RETRY, "failing", None),
    ],
)
async def test_f20_without_an_access_token_nothing_is_sent_and_no_registration_goes(
    google, open_pusher, what, outcome, detail, retry_after_s
):
    await google.stand_in.answer("login", what)
    pusher = open_pusher()
    assert await pusher.push(at(DEVICE), TOKEN, urgent=True) == PushAnswer(outcome, detail, retry_after_s)
    assert await google.stand_in.seen() == []
    assert google.came_to_trap == []
    await google.stand_in.answer("login", "ok")
    assert (await pusher.push(at(DEVICE), TOKEN, urgent=True)).outcome is Outcome.SENT


async def test_f20_no_access_token_in_time_is_silence_for_all_who_wait(google, open_pusher):
    clock = ManualClock()
    pusher = open_pusher(clock)
    await google.stand_in.tell(now=clock.now_ms() // 1_000)
    await google.stand_in.answer("login", "silent")
    waiting = [asyncio.create_task(pusher.push(at(DEVICE), TOKEN, urgent=True)) for _ in range(5)]
    while not google.stand_in.logins:
        await google.stand_in.tell()
    await clock.advance(seconds=20)
    assert {await each for each in waiting} == {PushAnswer(Outcome.RETRY, "silent")}
    assert len(google.stand_in.logins) == 1, "one asked for all"


async def test_who_gives_up_leaves_the_access_token_to_the_others(google, open_pusher):
    pusher = open_pusher()
    first = asyncio.create_task(pusher.push(at(DEVICE), TOKEN, urgent=True))
    second = asyncio.create_task(pusher.push(at(OTHER), TOKEN, urgent=True))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).outcome is Outcome.SENT
    await google.stand_in.tell()
    assert len(google.stand_in.logins) == 1


async def test_one_access_token_is_for_many_and_replaced_before_its_end(google, open_pusher):
    clock = ManualClock()
    pusher = open_pusher(clock)
    await google.stand_in.tell(now=clock.now_ms() // 1_000)
    answers = await asyncio.gather(*(pusher.push(at(DEVICE), TOKEN, urgent=True) for _ in range(50)))
    assert {answer.outcome for answer in answers} == {Outcome.SENT}
    assert len(google.stand_in.logins) == 1
    for _ in range(24):  # two hours
        await clock.advance(seconds=300)
        await google.stand_in.tell(now=clock.now_ms() // 1_000)
        assert (await pusher.push(at(DEVICE), TOKEN, urgent=True)).outcome is Outcome.SENT
    pushes = await google.stand_in.seen()
    assert "unauthenticated" not in {push["what"] for push in pushes}
    assert len(google.stand_in.logins) == 3


async def test_an_access_token_that_is_taken_back_is_replaced_at_once(google, open_pusher):
    clock = ManualClock()
    pusher = open_pusher(clock)
    await google.stand_in.tell(now=clock.now_ms() // 1_000)
    await google.stand_in.answer(DEVICE, "ok", "revoked", "ok")
    for _ in range(2):
        assert (await pusher.push(at(DEVICE), TOKEN, urgent=True)).outcome is Outcome.SENT
        await clock.advance(seconds=60)
    assert [push["what"] for push in await google.stand_in.seen()] == ["ok", "revoked", "ok"]
    assert len(google.stand_in.logins) == 2


@pytest.mark.parametrize("target", ["", "x" * 2_049, 'x"y', "x y", "x\r\ny", "ü" * 20, "/topics/all"])
async def test_what_can_be_no_registration_token_is_never_sent(google, open_pusher, target):
    answer = await open_pusher().push(at(target), TOKEN, urgent=True)
    assert answer == PushAnswer(Outcome.GONE, "unregistered")
    assert await google.stand_in.seen() == []


async def test_the_doctor_is_told_whether_google_takes_the_account_and_nobody_is_woken(google, open_pusher):
    check = await open_pusher().check()
    assert (check.state, check.mend) == ("ok", None)
    (push,) = await google.stand_in.seen()
    assert json.loads(push["body"])["validate_only"] is True


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"project_id": "another-project"}, "404"),
        ({"client_email": "other@example.org"}, "no access token (not allowed)"),
        ({"private_key_id": "ffff"}, "no access token (not allowed)"),
    ],
)
async def test_the_doctor_is_told_what_is_wrong_with_the_account(
    google, open_pusher, tmp_path, changes, told
):
    file = write_account(tmp_path / "other.json", rsa_key(), **changes)
    check = await open_pusher(file=file).check()
    assert check.state == "failed"
    assert told in check.found
    assert "push.fcm.account_file" in check.mend


async def test_the_doctor_is_told_of_another_key_and_of_who_is_not_reached(google, open_pusher, tmp_path):
    file = write_account(tmp_path / "other.json", rsa_key("other"))
    assert "not allowed" in (await open_pusher(file=file).check()).found
    check = await open_pusher(token_url="http://127.0.0.1:9/token").check()
    assert (check.state, "no connection" in check.found) == ("failed", True)


def test_e10_an_account_that_others_can_read_is_not_used(google):
    google.account.file.chmod(0o640)
    with pytest.raises(PushKeyUnusable, match="chmod 600"):
        google.pusher(ShiftedClock())


@pytest.mark.parametrize(
    "content", ["", "nonsense", "{}", '{"client_email": "canary-secret"}', "[" * 100_000]
)
def test_a_file_without_an_account_is_told_in_one_line_that_shows_nothing_of_it(google, content):
    google.account.file.write_text(content)
    with pytest.raises(PushKeyUnusable) as caught:
        google.pusher(ShiftedClock())
    assert str(caught.value).startswith(f"{google.account.file}: no service account's key")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"project_id": "a/../b"}, "project_id"),
        ({"private_key": "no PEM"}, "no private key in PEM"),
    ],
)
def test_an_account_that_cannot_be_used_is_told(google, tmp_path, changes, told):
    file = write_account(tmp_path / "other.json", rsa_key(), **changes)
    with pytest.raises(PushKeyUnusable, match=told):
        google.pusher(ShiftedClock(), file=file)
