"""No push service, and no host that somebody named, holds up another: shares, bounds, and pauses after failures in a row."""

import asyncio

from relay.ports.pusher import Outcome, PushAddress, PushAnswer
from relay.services.push_lanes import Lane, back_off_seconds, lane_of, share_of
from tests.pushing import SENT, FakePusher, open_scene

FAILING = PushAnswer(Outcome.RETRY, "failing")


async def test_a_host_that_hangs_holds_up_no_other() -> None:
    async def hangs(address: PushAddress) -> None:
        if "slow" in address.target:
            await asyncio.Event().wait()

    async with open_scene(FakePusher(hold=hangs), concurrency=16) as scene:
        slow = [(await scene.device(("slow", n), f"https://slow.example/{n}"))[0] for n in range(50)]
        await scene.message(*slow)
        await scene.gathered()
        assert len(scene.pusher.pushed) == 2  # an eighth of what may be on its way
        quick = [(await scene.device(("quick", n), f"https://quick{n}.example/"))[0] for n in range(50)]
        await scene.message(*quick)
        await scene.let_pass(3)
        assert sum("quick" in target for target, _, _ in scene.pusher.pushed) == 50


async def test_a_phones_service_that_hangs_has_more_and_leaves_something() -> None:
    """Thousands of devices are behind the one door of such a service: a broadcast must not queue there by eights."""

    async def hangs(_: PushAddress) -> None:
        await asyncio.Event().wait()

    async with open_scene(FakePusher("fcm", hold=hangs), concurrency=64) as scene:
        devices = [(await scene.device(n, f"token{n}"))[0] for n in range(100)]
        await scene.message(*devices)
        await scene.gathered()
        assert len(scene.pusher.pushed) == 24
    for most in (1, 8, 64, 1_000):
        both = share_of("apns", most) + share_of("fcm", most)
        assert share_of("web push.example", most) >= 1
        assert both < most or most < 8


async def test_no_more_are_on_their_way_than_the_settings_say() -> None:
    on_their_way: set[str] = set()
    most = 0

    async def count(address: PushAddress) -> None:
        nonlocal most
        on_their_way.add(address.target)
        most = max(most, len(on_their_way))
        await scene.clock.sleep(1)
        on_their_way.discard(address.target)

    async with open_scene(FakePusher(hold=count), concurrency=8) as scene:
        devices = [(await scene.device(number, f"https://{number}.example/"))[0] for number in range(40)]
        await scene.message(*devices)
        await scene.let_pass(20)
        assert len(scene.pusher.pushed) == 40
        assert most == 8


async def test_a_service_that_fails_in_a_row_is_left_alone_then_tried_by_one() -> None:
    async with open_scene(FakePusher(answers=[FAILING]), concurrency=64) as scene:
        devices = [(await scene.device(n, f"https://one.example/{n}"))[0] for n in range(20)]
        await scene.message(*devices)
        await scene.let_pass(20)
        before = len(scene.pusher.pushed)
        assert before < 40  # without a pause all 20 would have been tried three times by now
        assert scene.figures.value("push_paused") == 1
        scene.pusher.answers = [SENT]
        await scene.let_pass(100)
        assert scene.figures.value("push_sent_total", "webhook") == 20
        assert scene.figures.value("push_paused") == 0


def test_the_pause_grows_and_one_answer_ends_it() -> None:
    lane, now = Lane(), 0.0
    for _ in range(4):
        lane.failed(now)
    assert lane.room(now, 8) == 8
    pauses = []
    for _ in range(8):
        lane.failed(now)
        assert lane.room(now, 8) == 0
        pauses.append(lane.paused_until - now)
        now = lane.paused_until
        assert lane.room(now, 8) == 1
    assert pauses == [30, 60, 120, 240, 480, 600, 600, 600]
    lane.failed(now)
    assert lane.room(now, 8) == 0
    lane.answered()  # one that was on its way when the others failed
    assert lane.room(now, 8) == 8
    assert [back_off_seconds(n) for n in range(1, 8)] == [1, 8, 64, 512, 4_096, 4_096, 4_096]
    assert lane_of(PushAddress("apns", "ab" * 32)) == "apns"
    assert lane_of(PushAddress("web", "https://Push.example:99/x")) == "web push.example"
