"""How `listen --wake` sleeps: what it does when nothing comes, when the relay is away, and when it is told to stop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from client.cli import waking
from client.cli.output import Output
from client.cli.place import Place
from client.errors import Refused, RelayUnreachable

PLACE = Place(Path("nowhere"), None, False)


@dataclass
class Relay:
    """What is asked of it, in order; `raises` in turn for each look."""

    asked: list[str] = field(default_factory=list)
    raises: list[Exception] = field(default_factory=list)
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def look(self, *_: object, **__: object) -> None:
        self.asked.append("looked")
        self.looked.set()
        if self.raises:
            raise self.raises.pop(0)

    async def seen(self, *asked: str) -> None:
        async with asyncio.timeout(10):
            while self.asked[: len(asked)] != list(asked):
                self.looked.clear()
                await self.looked.wait()


@dataclass
class Waker:
    relay: Relay
    refuses: bool = False
    knocked: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        self.relay.asked.append("opened")
        try:
            yield "here"
        finally:
            self.relay.asked.append("closed")

    async def register(self, _: object) -> None:
        self.relay.asked.append("registered")
        if self.refuses and self.relay.asked.count("registered") > 1:
            raise Refused("rate_limited", "later")

    async def heard(self) -> None:
        await self.knocked.wait()


@pytest.fixture
def relay(monkeypatch) -> Relay:
    relay = Relay()

    async def unregister() -> None:
        relay.asked.append("unregistered")

    @asynccontextmanager
    async def open_client(_: Place) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(
            wakeups=SimpleNamespace(unregister=unregister),
            whoami=lambda: SimpleNamespace(handle="bob", account="x"),
        )

    monkeypatch.setattr(waking, "open_client", open_client)
    monkeypatch.setattr(waking, "print_events", relay.look)
    return relay


@asynccontextmanager
async def listening(waker: Waker) -> AsyncIterator[asyncio.Task[None]]:
    by = SimpleNamespace(waker=lambda _: waker)
    task = asyncio.create_task(waking.listen(PLACE, Output(True), by, events=False, own=False))
    yield task
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_each_wakeup_is_one_look_and_the_registration_ends_with_it(relay) -> None:
    waker = Waker(relay)
    async with listening(waker):
        await relay.seen("opened", "registered", "looked")
        waker.knocked.set()
        await relay.seen("opened", "registered", "looked", "looked")
    assert relay.asked[-3:] == ["looked", "unregistered", "closed"]


async def test_a_long_silence_registers_anew_before_it_looks(relay, monkeypatch) -> None:
    """The relay may have dropped the registration: a proxy in between that answers one 404 is enough."""
    monkeypatch.setattr(waking, "LONGEST_SLEEP_SECONDS", 0.01)
    for waker in (Waker(relay), Waker(relay, refuses=True)):
        relay.asked.clear()
        async with listening(waker):
            await relay.seen("opened", "registered", "looked", "registered", "looked", "registered", "looked")


async def test_a_relay_that_is_away_is_looked_for_again_and_not_registered_at_each_time(
    relay, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(waking, "AFTER_FAILURE_SECONDS", 0.01)
    relay.raises = [RelayUnreachable("away"), RelayUnreachable("away")]
    async with listening(Waker(relay)) as task:
        await relay.seen("opened", "registered", "looked", "looked", "looked")
        await asyncio.sleep(0.05)
        assert relay.asked.count("looked") == 3
        assert not task.done()
    assert capsys.readouterr().err.count("unreachable: away") == 2
