"""The outbox of wakeups: what a kill, or a store that takes nothing for a while, leaves of it."""

import pytest

from relay.adapters.memory.store import open_memory_store
from relay.adapters.memory_clock import ManualClock
from relay.ports.pusher import Outcome, PushAnswer
from relay.wire.errors import Unavailable
from tests.contract.people import NOW_MS
from tests.pushing import SENT, FakePusher, Scene, open_scene

FAILING = PushAnswer(Outcome.RETRY, "failing")


async def test_after_a_kill_it_goes_on_where_it_was_and_forgets_nobody() -> None:
    clock = ManualClock(NOW_MS)
    async with open_memory_store() as store, open_scene(FakePusher(answers=[FAILING]), store, clock) as scene:
        phone, token = await scene.device("phone")
        for _ in range(3):
            await scene.message(phone)
        await scene.let_pass(12)
        assert [attempts for _, attempts, _ in await scene.outbox()] == [3]
        sent, _ = await scene.device("sent")
        scene.pusher.answers = [SENT]
        await scene.message(sent)
        await scene.gathered()
        unwritten, _ = await scene.device("unwritten")
        scene.clock = ManualClock(NOW_MS)  # killed between the commit and the outbox
        await scene.message(unwritten)
        image = store.crash()
    async with open_memory_store(image) as store, open_scene(FakePusher(), store, clock) as scene:
        await scene.gathered()
        assert [target for target, _, _ in scene.pusher.pushed] == ["https://unwritten.example/"]
        await scene.let_pass(64)
        assert [(target, sent) for target, sent, _ in scene.pusher.pushed[1:]] == [
            ("https://phone.example/", token)
        ]


def store_fails(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise Unavailable("the store takes nothing now")

    monkeypatch.setattr(scene.store.pushes, "note", refuse)


async def test_what_a_store_did_not_take_is_written_when_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wakeup that began meanwhile stands in the outbox then, and one that ended does not."""
    async with open_scene(jitter_seconds=600, may_fail=True) as scene:
        ended, _ = await scene.device("ended")
        await scene.message(ended)
        await scene.gathered()
        assert [device for device, _, _ in await scene.outbox()] == [ended]
        with monkeypatch.context() as patch:
            store_fails(scene, patch)
            scene.comes(ended)
            begun, _ = await scene.device("begun")
            await scene.message(begun)
            await scene.let_pass(2)
            assert [device for device, _, _ in await scene.outbox()] == [ended]
        await scene.let_pass(2)
        assert [device for device, _, _ in await scene.outbox()] == [begun]
        assert scene.failures
        assert scene.pusher.pushed == []  # neither was due
