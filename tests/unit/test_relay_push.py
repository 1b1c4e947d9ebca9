"""Wakeups: one for a device until it connects, tried again by the clock, given up after five hours."""

from itertools import pairwise

import pytest

from relay.ports.bus import DeviceRevoked, PrekeysLow
from relay.ports.pusher import Outcome, PushAddress, PushAnswer
from relay.wire.errors import MalformedRequest, NotFound
from tests.contract.people import bytes_of, new_device
from tests.pushing import SENT, FakePusher, open_scene

FAILING = PushAnswer(Outcome.RETRY, "failing")


async def test_a_device_that_is_not_here_is_woken_by_its_token_and_nothing_else() -> None:
    async with open_scene() as scene:
        phone, token = await scene.device("phone")
        other, _ = await scene.device("other")
        await scene.message(phone)
        assert scene.pusher.pushed == []  # gathered first
        await scene.gathered()
        assert scene.pusher.pushed == [("https://phone.example/", token, False)]
        assert await scene.outbox() == [(phone, 0, True)]
        assert other != phone


async def test_one_wakeup_is_under_way_until_the_device_connects() -> None:
    async with open_scene() as scene:
        phone, _ = await scene.device("phone")
        for _ in range(30):
            await scene.message(phone)
        await scene.gathered()
        await scene.message(phone, urgent=True)
        await scene.gathered()
        assert len(scene.pusher.pushed) == 1
        holder = scene.comes(phone)
        await scene.gathered()
        assert await scene.outbox() == []
        await scene.message(phone)
        await scene.gathered()
        assert len(scene.pusher.pushed) == 1  # it is here
        await scene.store.mailboxes.ack(phone, up_to=32)
        scene.wakeup.release(phone, holder)
        await scene.message(phone)
        await scene.gathered()
        assert len(scene.pusher.pushed) == 2


async def test_a_wakeup_that_the_service_lost_is_no_reason_to_sleep_for_ever() -> None:
    async with open_scene() as scene:
        phone, _ = await scene.device("phone")
        await scene.message(phone)
        await scene.gathered()
        await scene.clock.advance(seconds=86_500)
        await scene.message(phone)
        await scene.gathered()
        assert len(scene.pusher.pushed) == 2


async def test_something_urgent_makes_a_wakeup_urgent_that_is_not_out_yet() -> None:
    async with open_scene(FakePusher(answers=[FAILING, SENT])) as scene:
        phone, _ = await scene.device("phone")
        await scene.message(phone)
        await scene.gathered()
        await scene.message(phone, urgent=True)
        await scene.let_pass(3)
        assert [urgent for _, _, urgent in scene.pusher.pushed] == [False, True]


async def test_who_is_connected_is_not_woken_and_who_comes_before_it_goes_out_neither() -> None:
    async with open_scene(jitter_seconds=10) as scene:
        phone, _ = await scene.device("phone")
        await scene.message(phone)
        scene.comes(phone)
        await scene.let_pass(30)
        assert scene.pusher.pushed == []
        assert await scene.outbox() == []


async def test_a_connection_that_was_dead_already_is_no_arrival() -> None:
    async with open_scene() as scene:
        phone, _ = await scene.device("phone")
        dead = scene.comes(phone)
        await scene.message(phone)
        await scene.gathered()
        assert scene.pusher.pushed == []
        scene.wakeup.release(phone, dead)
        await scene.let_pass(25)
        assert len(scene.pusher.pushed) == 1
        alive = scene.comes(phone)
        await scene.store.mailboxes.ack(phone, up_to=1)
        scene.wakeup.release(phone, alive)
        await scene.let_pass(60)
        assert len(scene.pusher.pushed) == 1


async def test_low_prekeys_wake_a_device_that_is_not_here() -> None:
    async with open_scene() as scene:
        phone, _ = await scene.device("phone")
        laptop, _ = await scene.device("laptop")
        scene.comes(laptop)
        for device_id in (phone, laptop):
            scene.bus.publish(PrekeysLow(device_id, 1, 0))
        await scene.gathered()
        assert [target for target, _, _ in scene.pusher.pushed] == ["https://phone.example/"]


async def test_jitter_is_within_its_window_and_differs() -> None:
    async with open_scene(jitter_seconds=100) as scene:
        devices = [(await scene.device(number))[0] for number in range(40)]
        await scene.message(*devices)
        counts = []
        for _ in range(10):
            await scene.let_pass(10)
            counts.append(len(scene.pusher.pushed))
        await scene.let_pass(1)
        assert len(scene.pusher.pushed) == 40
        assert len(set(counts)) > 5


async def test_f20_a_failing_service_is_tried_again_by_powers_of_eight_and_given_up_after_five_hours() -> (
    None
):
    async with open_scene(FakePusher(answers=[FAILING])) as scene:
        phone, _ = await scene.device("phone")
        began = scene.clock.monotonic_seconds()
        at: list[float] = []

        async def note(_address: PushAddress) -> None:
            at.append(scene.clock.monotonic_seconds() - began)

        scene.pusher.hold = note
        await scene.message(phone)
        while await scene.store.pushes.pending(limit=1) or not at:
            await scene.let_pass(100 if at and at[-1] > 60 else 1)
            assert scene.clock.monotonic_seconds() - began < 20_000
        between = [later - earlier for earlier, later in pairwise(at)]
        assert len(at) == 9
        for found, wanted in zip(between, (1, 8, 64, 512, 4_096, 4_096, 4_096, 4_096), strict=True):
            # A pause of the service after failures in a row may come on top.
            assert wanted <= found <= wanted + 700
        assert at[-1] < 18_000
        assert scene.figures.value("push_dropped_total", "webhook") == 1
        assert scene.figures.value("push_retried_total", "webhook") == 8
        scene.pusher.answers = [SENT]
        await scene.let_pass(4_200)
        await scene.message(phone)
        await scene.let_pass(1_000)
        assert scene.figures.value("push_sent_total", "webhook") == 1


@pytest.mark.parametrize(
    "no", [PushAnswer(Outcome.REFUSED, "bad_request"), PushAnswer(Outcome.RETRY, "busy", 86_400.0)]
)
async def test_f20_messages_are_not_so_many_requests_to_a_service_that_said_no(no: PushAnswer) -> None:
    async with open_scene(FakePusher(answers=[no])) as scene:
        phone, _ = await scene.device("phone")
        for _ in range(20):
            await scene.message(phone, urgent=True)
            await scene.gathered()
        assert len(scene.pusher.pushed) == 1
        assert await scene.outbox() == []
        assert scene.figures.value("push_dropped_total", "webhook") == 1
        assert scene.log.getvalue().count("push_refused") <= 1
        await scene.let_pass(4_200)
        assert len(scene.pusher.pushed) == 1  # a cause is needed
        await scene.message(phone)
        await scene.gathered()
        assert len(scene.pusher.pushed) == 2
        # Who comes, or registers at another place, is woken there for the next one.
        holder = scene.comes(phone)
        await scene.store.mailboxes.ack(phone, up_to=21)
        scene.wakeup.release(phone, holder)
        await scene.message(phone)
        await scene.gathered()
        assert len(scene.pusher.pushed) == 3
        await scene.register(phone, "https://other.example/")
        await scene.message(phone)
        await scene.gathered()
        assert scene.pusher.pushed[-1][0] == "https://other.example/"


async def test_who_registers_anew_is_woken_for_what_waits_unless_it_comes() -> None:
    """An app whose place changes at its push service tells it in the background, and may be stopped before it fetches."""
    async with open_scene(FakePusher(answers=[FAILING])) as scene:
        phone, _ = await scene.device("phone")
        tablet, _ = await scene.device("tablet")
        await scene.message(phone, tablet)
        await scene.gathered()
        scene.pusher.answers, scene.pusher.pushed = [SENT], []
        token = await scene.register(phone, "https://new.example/")
        await scene.register(tablet, "https://new.example/")
        await scene.store.mailboxes.ack(tablet, up_to=1)
        await scene.let_pass(15)
        assert scene.pusher.pushed == []
        await scene.let_pass(10)
        assert scene.pusher.pushed == [("https://new.example/", token, False)]


async def test_f20_the_service_says_when_and_the_relay_waits_so_long() -> None:
    busy = PushAnswer(Outcome.RETRY, "busy", 120.0)
    async with open_scene(FakePusher(answers=[busy, SENT])) as scene:
        phone, _ = await scene.device("phone")
        await scene.message(phone)
        await scene.let_pass(115)
        assert len(scene.pusher.pushed) == 1
        await scene.let_pass(15)
        assert len(scene.pusher.pushed) == 2


async def test_f20_who_is_gone_is_removed_and_who_registered_anew_meanwhile_is_not() -> None:
    gone = PushAnswer(Outcome.GONE, "unregistered")
    async with open_scene(FakePusher(answers=[gone])) as scene:
        phone, _ = await scene.device("phone")
        await scene.message(phone)
        await scene.gathered()
        assert await scene.store.pushes.registration(phone) is None
        await scene.message(phone)
        await scene.gathered()
        assert len(scene.pusher.pushed) == 1

        tablet, _ = await scene.device("tablet")

        async def anew(_address: PushAddress) -> None:
            scene.pusher.hold = None
            await scene.register(tablet, "https://new.example/")

        scene.pusher.hold = anew
        await scene.message(tablet)
        await scene.gathered()
        kept = await scene.store.pushes.registration(tablet)
        assert kept is not None
        assert kept.address.target == "https://new.example/"


async def test_what_is_refused_is_dropped_and_told_without_its_address() -> None:
    async with open_scene(FakePusher(answers=[PushAnswer(Outcome.REFUSED, "not_allowed")])) as scene:
        phone, token = await scene.device("phone")
        await scene.message(phone)
        await scene.let_pass(60)
        assert len(scene.pusher.pushed) == 1
        assert await scene.outbox() == []
        told = scene.log.getvalue()
        assert '"push_refused"' in told
        assert '"not_allowed"' in told
        assert "phone.example" not in told
        assert token.hex() not in told


async def test_a_bug_of_an_adapter_ends_nobody() -> None:
    async def breaks(_address: PushAddress) -> None:
        scene.pusher.hold = None
        raise ValueError("https://phone.example/secret")

    async with open_scene() as scene:
        phone, _ = await scene.device("phone")
        scene.pusher.hold = breaks
        await scene.message(phone)
        await scene.let_pass(5)
        assert len(scene.pusher.pushed) == 2
        assert "secret" not in scene.log.getvalue()


async def test_d6_who_is_revoked_or_unregistered_is_not_woken() -> None:
    async with open_scene(jitter_seconds=5) as scene:
        phone, _ = await scene.device("phone")
        tablet, _ = await scene.device("tablet")
        await scene.message(phone, tablet)
        scene.bus.publish(DeviceRevoked(phone))
        await scene.push.unregister(tablet)
        await scene.push.unregister(tablet)
        await scene.let_pass(20)
        assert scene.pusher.pushed == []


async def test_the_token_changes_with_each_registration_and_an_old_one_is_sent_no_more() -> None:
    async with open_scene() as scene:
        phone, first = await scene.device("phone")
        await scene.message(phone)
        second = await scene.register(phone, "https://phone.example/")
        await scene.message(phone)
        await scene.gathered()
        assert first != second
        assert [token for _, token, _ in scene.pusher.pushed] == [second]


async def test_a_kind_that_is_not_switched_on_is_refused() -> None:
    async with open_scene() as scene:
        phone = await new_device(scene.store, "phone")
        with pytest.raises(MalformedRequest):
            await scene.push.register(phone, PushAddress("fcm", "token"))
        with pytest.raises(MalformedRequest, match="operator allows"):
            await scene.push.register(phone, PushAddress("webhook", "https://nowhere.example/"))
        with pytest.raises(NotFound):
            await scene.push.register(bytes(16), PushAddress("webhook", "https://x.example/"))


async def test_an_operator_wakes_a_device_and_sees_what_came_back() -> None:
    async with open_scene(FakePusher(answers=[PushAnswer(Outcome.RETRY, "busy", 3.0)])) as scene:
        phone, token = await scene.device("phone")
        (tested,) = await scene.push.test([phone, bytes_of("nobody")])
        assert (tested.kind, tested.answer.detail) == ("webhook", "busy")
        assert scene.pusher.pushed == [("https://phone.example/", token, True)]
        assert await scene.outbox() == []
        with pytest.raises(NotFound):
            await scene.push.test([bytes_of("nobody")])


async def test_how_many_are_registered_and_wait_is_told_at_once() -> None:
    """A figure that is set once a second stands a minute behind, when nothing happens after what it did not count."""
    async with open_scene(FakePusher(answers=[FAILING] * 9)) as scene:
        for number, name in enumerate(("phone", "tablet", "watch"), 1):
            device, _ = await scene.device(name)
            await scene.message(device)
            await scene.gathered()
            assert scene.figures.value("push_registrations") == number
            assert scene.figures.value("push_waiting") == number
