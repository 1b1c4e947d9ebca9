"""The service of wakeups over a store in memory, a push service that does what the test says, and a clock that the test moves."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from relay.adapters.alone import Alone
from relay.adapters.memory.store import open_memory_store
from relay.adapters.memory_bus import open_memory_bus
from relay.adapters.memory_clock import ManualClock
from relay.config import PushSettings
from relay.observe.figures import Figures
from relay.observe.logs import EventLog
from relay.ports.bus import Bus
from relay.ports.leadership import Leadership
from relay.ports.mailboxes import Submission
from relay.ports.pusher import (
    Outcome,
    PushAddress,
    PushAnswer,
    PusherCheck,
    PushServices,
)
from relay.ports.store import Store
from relay.services.push import Push, open_push
from relay.services.wakeup import Wakeup
from relay.wire.push_resources import PushKind
from tests.contract.people import NOW_MS, bytes_of, new_device

SENT = PushAnswer(Outcome.SENT, "accepted")


@dataclass
class FakePusher:
    """Keeps what it was asked for; `answers` in turn, the last one for ever. `hold` is waited for before each answer."""

    kind: PushKind = "webhook"
    answers: list[PushAnswer] = field(default_factory=lambda: [SENT])
    pushed: list[tuple[str, bytes, bool]] = field(default_factory=list)
    by_target: Mapping[str, PushAnswer] = field(default_factory=dict)
    hold: Callable[[PushAddress], Awaitable[None]] | None = None

    def takes(self, address: PushAddress) -> bool:
        return "nowhere" not in address.target

    async def push(self, address: PushAddress, token: bytes, urgent: bool) -> PushAnswer:
        self.pushed.append((address.target, token, urgent))
        if self.hold is not None:
            await self.hold(address)
        if address.target in self.by_target:
            return self.by_target[address.target]
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def check(self) -> PusherCheck:
        return PusherCheck("ok", "on")

    async def close(self) -> None: ...


class Holder:
    """Has a mailbox, and does nothing with it."""

    def offer(self, envelopes: Sequence[object]) -> None: ...

    def offer_ephemeral(self, tail: bytes) -> None: ...

    def look(self) -> None: ...

    def replaced(self) -> None: ...


@dataclass
class Scene:
    """All of it."""

    store: Store
    bus: Bus
    clock: ManualClock
    push: Push
    wakeup: Wakeup
    pusher: FakePusher
    figures: Figures
    log: io.StringIO

    async def device(self, name: object, target: str | None = None) -> tuple[bytes, bytes]:
        """A registered device and its token."""
        device_id = await new_device(self.store, name)
        return device_id, await self.register(device_id, target or f"https://{name}.example/")

    async def register(self, device_id: bytes, target: str) -> bytes:
        return await self.push.register(device_id, PushAddress(self.pusher.kind, target))

    async def message(self, *device_ids: bytes, urgent: bool = False, name: object = None) -> None:
        """Something is accepted for them, as the flow does it."""
        self.messages += 1
        envelope_id = bytes_of(("envelope", name or self.messages))
        targets = tuple((device_id, 0) for device_id in device_ids)
        submission = Submission(envelope_id, 1_000, (b"sealed",), targets, urgent)
        result = await self.store.mailboxes.append([submission], now_ms=self.clock.now_ms())
        await self.wakeup.announce([(submission, result.appended[0])])
        await self.settle()

    async def settle(self) -> None:
        await self.clock.advance(seconds=0)

    async def let_pass(self, seconds: float) -> None:
        """So that each round in it is one."""
        end = self.clock.monotonic_seconds() + seconds
        while (left := end - self.clock.monotonic_seconds()) > 1e-9:
            await self.clock.advance(seconds=min(left, max(seconds / 200, 0.1)))

    async def gathered(self) -> None:
        """Long enough for what was begun to be sent."""
        await self.let_pass(0.5)

    async def outbox(self) -> list[tuple[bytes, int, bool]]:
        """(Device, attempts, sent) of what stands in the store."""
        rows = await self.store.pushes.pending(limit=100)
        return [(row.device_id, row.attempts, row.sent_at_ms is not None) for row in rows]

    def comes(self, device_id: bytes) -> Holder:
        """It connects and takes its mailbox."""
        holder = Holder()
        self.wakeup.take(device_id, bytes_of(object()), holder)
        return holder

    messages: int = 0
    failures: list[BaseException] = field(default_factory=list)
    """What rounds raised."""


@asynccontextmanager
async def open_scene(
    pusher: FakePusher | None = None,
    store: Store | None = None,
    clock: ManualClock | None = None,
    off: bool = False,
    may_fail: bool = False,
    leadership: Leadership | None = None,
    **settings: Any,
) -> AsyncIterator[Scene]:
    """With this push service, and settings of `push`; `off`: with none; `may_fail`: rounds may raise."""
    clock, pusher, log = clock or ManualClock(NOW_MS), pusher or FakePusher(), io.StringIO()
    async with open_memory_store() as empty, open_memory_bus() as bus:
        store = store or empty
        figures, wakeup = Figures(), Wakeup(bus, clock)
        numbers = iter(range(1, 10**6))
        push = Push(
            store.pushes,
            store.mailboxes,
            PushServices(() if off else (pusher,)),
            wakeup,
            PushSettings.model_validate(settings),
            bus=bus,
            clock=clock,
            randomness=lambda length: bytes_of(("random", next(numbers)), length),
            figures=figures,
            log=EventLog(log, clock.now_ms),
        )
        scene = Scene(store, bus, clock, push, wakeup, pusher, figures, log)
        async with open_push(push, leadership or Alone(), scene.failures.append):
            await scene.settle()
            yield scene
        assert may_fail or scene.failures == []
