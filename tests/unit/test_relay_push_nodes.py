"""Wakeups where a relay has several nodes: one wakes, whichever node a device is at, and hears of the others by the bus."""

import asyncio

from relay.ports.bus import AnnouncementsLost, MailboxLeft, MailboxTaken, PushChanged
from relay.ports.leadership import Work
from relay.ports.mailboxes import Submission
from relay.ports.pusher import PushAddress
from relay.ports.pushes import PushRegistration
from relay.services.push import LEFT_SECONDS
from relay.services.push_doubt import AGAIN_SECONDS, DOUBT_SECONDS
from relay.wire.errors import Unavailable
from tests.contract.people import bytes_of
from tests.pushing import FakePusher, Scene, open_scene


class Lock:
    """Leadership that the test gives and takes."""

    def __init__(self) -> None:
        self.held, self.lost = asyncio.Event(), asyncio.Event()

    async def until_leading(self, work: Work) -> None:
        assert work is Work.PUSH
        await self.held.wait()

    async def until_lost(self, work: Work) -> None:
        assert work is Work.PUSH
        await self.lost.wait()


async def told(scene: Scene, announcement: object) -> None:
    scene.bus.publish(announcement)
    await scene.settle()


async def test_a_node_that_does_not_lead_wakes_nobody_until_it_does() -> None:
    lock = Lock()
    async with open_scene(leadership=lock) as scene:
        device, token = await scene.device("anna")
        await scene.message(device)
        await scene.let_pass(5)
        assert scene.pusher.pushed == []
        lock.held.set()  # what waits since is found in the store
        await scene.let_pass(LEFT_SECONDS + 2)
        assert [each[1] for each in scene.pusher.pushed] == [token]


async def test_a_device_that_is_at_another_node_is_not_woken_while_it_is_there() -> None:
    async with open_scene() as scene:
        device, token = await scene.device("anna")
        await told(scene, MailboxTaken(device, bytes(16)))
        await scene.message(device)
        await scene.let_pass(2)
        assert scene.pusher.pushed == []
        await scene.let_pass(LEFT_SECONDS)  # it should have come by then, and it waits still
        assert [each[1] for each in scene.pusher.pushed] == [token]


async def test_a_device_that_left_another_node_is_woken_by_the_next_message() -> None:
    async with open_scene() as scene:
        device, token = await scene.device("anna")
        await told(scene, MailboxTaken(device, bytes(16)))
        await told(scene, MailboxLeft(device))
        await scene.message(device)
        await scene.gathered()
        assert [each[1] for each in scene.pusher.pushed] == [token]


async def test_after_a_time_without_the_bus_nobody_is_taken_to_be_elsewhere() -> None:
    async with open_scene() as scene:
        device, token = await scene.device("anna")
        await told(scene, MailboxTaken(device, bytes(16)))
        await told(scene, AnnouncementsLost())
        await scene.message(device)
        await scene.gathered()
        assert [each[1] for each in scene.pusher.pushed] == [token]


async def unheard(scene: Scene, device: bytes, sequence: int) -> None:
    """Something is accepted by another node, and what it says of that is lost."""
    submission = Submission(bytes_of(("unheard", sequence)), 1_000, (b"sealed",), ((device, 0),), False)
    await scene.store.mailboxes.append([submission], now_ms=scene.clock.now_ms())


async def test_what_came_while_the_bus_was_away_wakes_all_the_same() -> None:
    async with open_scene() as scene:
        device, token = await scene.device("anna")
        await scene.let_pass(LEFT_SECONDS + 2)
        await told(scene, AnnouncementsLost())
        await scene.let_pass(1)  # this node is back, the other one not yet
        await unheard(scene, device, 1)
        await scene.let_pass(DOUBT_SECONDS + AGAIN_SECONDS + LEFT_SECONDS)
        assert [each[1] for each in scene.pusher.pushed] == [token]
        await scene.let_pass(600)
        assert len(scene.pusher.pushed) == 1


async def test_who_came_to_another_node_unheard_is_woken_by_the_next_message() -> None:
    """Else a wakeup that a service took a day ago would do for all that came since."""
    async with open_scene() as scene:
        device, token = await scene.device("anna")
        await scene.message(device)
        await scene.gathered()
        assert len(scene.pusher.pushed) == 1
        await scene.store.mailboxes.ack(device, up_to=1)  # there, and it is gone again
        await told(scene, AnnouncementsLost())
        await scene.let_pass(DOUBT_SECONDS + AGAIN_SECONDS)
        await scene.message(device)
        await scene.gathered()
        assert [each[1] for each in scene.pusher.pushed] == [token, token]
        await scene.store.mailboxes.ack(device, up_to=2)
        await scene.let_pass(1)
        await unheard(scene, device, 3)
        await told(scene, AnnouncementsLost())
        await scene.let_pass(DOUBT_SECONDS + AGAIN_SECONDS + LEFT_SECONDS)
        assert len(scene.pusher.pushed) == 3


async def test_who_sleeps_on_is_not_woken_again_whatever_is_lost() -> None:
    async with open_scene() as scene:
        device, _ = await scene.device("anna")
        await scene.message(device)
        await scene.gathered()
        for _ in range(20):
            await told(scene, AnnouncementsLost())
            await scene.let_pass(7)
        assert len(scene.pusher.pushed) == 1


async def test_who_came_while_nobody_led_is_woken_by_the_next_message() -> None:
    async with open_scene() as scene:
        device, _ = await scene.device("anna")
        await scene.message(device)
        await scene.gathered()
        store, clock = scene.store, scene.clock
        await store.mailboxes.ack(device, up_to=1)  # at another node, after this one was killed
        async with open_scene(store=store, clock=clock) as after:
            after.messages = 1
            await after.message(device)
            await after.gathered()
            assert len(after.pusher.pushed) == 1


async def test_registrations_that_were_not_heard_of_are_found() -> None:
    async with open_scene() as scene:
        moved, gone = [(await scene.device(name))[0] for name in ("moved", "gone")]
        made = await at_another_node(scene, moved, "https://new.example/")
        await scene.store.pushes.unregister(gone)
        await told(scene, AnnouncementsLost())
        await scene.gathered()
        await scene.message(moved, gone)
        await scene.gathered()
        assert scene.pusher.pushed == [("https://new.example/", made.token, False)]


async def at_another_node(scene: Scene, device: bytes, target: str) -> PushRegistration:
    """It registers there: this one finds it in the store once it is told."""
    ids = bytes_of(("registration", target)), bytes_of(("token", target))
    made = PushRegistration(device, ids[0], PushAddress("webhook", target), ids[1])
    await scene.store.pushes.register(made)
    return made


async def test_a_registration_at_another_node_takes_the_place_of_the_one_that_was_known() -> None:
    async with open_scene() as scene:
        device, _ = await scene.device("anna")
        made = await at_another_node(scene, device, "https://new.example/")
        await told(scene, PushChanged(device))
        await scene.gathered()
        await scene.message(device)
        await scene.gathered()
        assert scene.pusher.pushed == [("https://new.example/", made.token, False)]


async def test_a_change_that_cannot_be_looked_up_is_looked_up_in_the_next_round() -> None:
    async with open_scene(FakePusher(), may_fail=True) as scene:
        device, _ = await scene.device("anna")
        made = await at_another_node(scene, device, "https://new.example/")
        look, refusals = scene.store.pushes.registration, [Unavailable()]

        async def registration(asked: bytes) -> PushRegistration | None:
            if refusals:
                raise refusals.pop()
            return await look(asked)

        scene.store.pushes.registration = registration
        await told(scene, PushChanged(device))
        await scene.let_pass(2)
        assert refusals == []
        await scene.message(device)
        await scene.gathered()
        assert scene.pusher.pushed == [("https://new.example/", made.token, False)]


async def test_who_gave_up_wakeups_at_another_node_is_woken_no_more() -> None:
    async with open_scene() as scene:
        device, _ = await scene.device("anna")
        await scene.store.pushes.unregister(device)
        await told(scene, PushChanged(device))
        await scene.gathered()
        await scene.message(device)
        await scene.gathered()
        assert scene.pusher.pushed == []
