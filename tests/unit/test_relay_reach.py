"""Reach and devices answer from memory: never a stale yes, and the same steps for every no."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.adapters.memory.store import MemoryStore, open_memory_store
from relay.adapters.memory_bus import MemoryBus, open_memory_bus
from relay.adapters.memory_clock import ManualClock
from relay.ports.accounts import Account
from relay.ports.bus import AccountChanged, DeviceRevoked
from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.services import devices as devices_module
from relay.services.devices import Devices, KnownDevice
from relay.services.reach import Reach
from relay.wire.errors import NotAllowed
from relay.wire.frames import Grant
from tests.contract.people import NOW_MS, bytes_of, device_field, make_manifest, new_account

TOKEN = b"t" * 16


@dataclass
class Counting:
    """A store's part that counts which methods were called."""

    inner: Any
    calls: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)

        async def counted(*arguments: Any, **named: Any) -> Any:
            self.calls.append(name)
            found = await method(*arguments, **named)
            if self.gate is not None:
                self.waiting.set()
                await self.gate.wait()
            return found

        return counted


@dataclass
class Scene:
    """A store with Anna in it, and the services over it."""

    store: MemoryStore
    bus: MemoryBus
    clock: ManualClock
    anna: Account
    accounts: Counting
    tokens: Counting
    reach: Reach
    devices: Devices

    @property
    def anna_device(self) -> KnownDevice:
        device = self.anna.devices[0]
        return KnownDevice(device.device_id, self.anna.account_id, device.signing_key, "member", False)

    async def check(self, token: bytes = TOKEN, *, account_id: bytes | None = None):
        """What a stranger's grant opens."""
        return await self.reach.check(Grant(account_id or self.anna.account_id, token, 0), None)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with open_memory_store() as store, open_memory_bus() as bus:
        clock = ManualClock(NOW_MS)
        anna = await new_account(store, "anna")
        accounts, tokens = Counting(store.accounts), Counting(store.delivery_tokens)
        reach = Reach(accounts, tokens, bus=bus, clock=clock)
        devices = Devices(accounts, store.guests, bus=bus, clock=clock, origin="http://relay.example")
        made = Scene(store, bus, clock, anna, accounts, tokens, reach, devices)
        token = DeliveryToken(hashlib.sha256(TOKEN).digest(), TokenClass.CONTACT, NOW_MS + 60_000)
        await reach.add_token(made.anna_device, token)
        accounts.calls.clear()
        tokens.calls.clear()
        yield made


async def test_a_valid_token_opens_the_account_and_is_remembered(scene: Scene):
    first = await scene.check()
    assert first is not None
    assert (first.account_id, first.manifest_version, first.token_class) == (
        scene.anna.account_id,
        1,
        TokenClass.CONTACT,
    )
    assert first.device_ids == {scene.anna.devices[0].device_id}
    asked = len(scene.accounts.calls) + len(scene.tokens.calls)
    assert await scene.check() == first
    assert len(scene.accounts.calls) + len(scene.tokens.calls) == asked


async def test_c5_c6_every_no_takes_the_same_steps(scene: Scene):
    await scene.check()  # Anna is in memory; that must not show
    steps = []
    for account_id, token in (
        (scene.anna.account_id, b"x" * 16),
        (bytes_of("nobody", 32), TOKEN),
        (bytes_of("nobody", 32), b"x" * 16),
    ):
        scene.accounts.calls.clear()
        scene.tokens.calls.clear()
        assert await scene.check(token, account_id=account_id) is None
        steps.append((list(scene.accounts.calls), list(scene.tokens.calls)))
    assert steps == [([], ["resolve"])] * 3


async def test_c7_a_remembered_token_expires(scene: Scene):
    assert await scene.check() is not None
    scene.clock.jump(seconds=60)
    assert await scene.check() is None


async def test_c7_a_removed_token_opens_nothing_from_then_on(scene: Scene):
    assert await scene.check() is not None
    await scene.reach.remove_token(scene.anna_device, hashlib.sha256(TOKEN).digest())
    assert await scene.check() is None


async def test_a_read_that_began_before_a_change_is_not_remembered(scene: Scene):
    scene.tokens.gate = asyncio.Event()
    reading = asyncio.create_task(scene.check())
    await scene.tokens.waiting.wait()
    await scene.store.delivery_tokens.remove(scene.anna.account_id, hashlib.sha256(TOKEN).digest())
    scene.reach.forget(scene.anna.account_id)
    scene.tokens.gate.set()
    await reading
    assert await scene.check() is None


async def test_another_node_says_that_the_account_changed(scene: Scene):
    assert await scene.check() is not None
    await scene.store.accounts.set_suspended(scene.anna.account_id, True, owner="owner")
    scene.bus.publish(AccountChanged(scene.anna.account_id, suspended=True))
    await asyncio.sleep(0)
    assert await scene.check() is None
    with pytest.raises(NotAllowed):
        await scene.reach.require(scene.anna.account_id, TOKEN, None)


async def test_an_empty_token_is_good_for_the_own_account_alone(scene: Scene):
    bert = await new_account(scene.store, "bert")
    own = await scene.reach.check(Grant(scene.anna.account_id, b"", 0), scene.anna_device)
    assert own is not None
    assert own.token_class is None
    assert await scene.reach.check(Grant(bert.account_id, b"", 0), scene.anna_device) is None
    assert await scene.reach.check(Grant(scene.anna.account_id, b"", 0), None) is None


async def test_memory_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(devices_module, "REMEMBERED", 3)
    for number in range(10):
        account = await new_account(scene.store, number)
        assert await scene.devices.find(account.devices[0].device_id) is not None
        assert await scene.devices.find(bytes_of(("nobody", number))) is None
    assert len(scene.devices._known) <= 3
    assert len(scene.devices._unknown) <= 3
    assert sum(map(len, scene.devices._of_account.values())) == len(scene.devices._known)


async def test_an_unknown_device_is_remembered_as_such_until_devices_change(scene: Scene):
    newcomer = bytes_of("newcomer")
    assert await scene.devices.find(newcomer) is None
    asked = len(scene.accounts.calls)
    assert await scene.devices.find(newcomer) is None
    assert len(scene.accounts.calls) == asked

    first = (await scene.store.accounts.manifests(scene.anna.account_id, from_version=1, limit=1))[0].body
    fields = [device_field(scene.anna.devices[0].device_id), device_field(newcomer)]
    manifest, signed = make_manifest("anna", fields, version=2, previous=hashlib.sha256(first).digest())
    await scene.store.accounts.advance_manifest(manifest, signed, now_ms=NOW_MS)
    scene.devices.forget_account(scene.anna.account_id)
    found = await scene.devices.find(newcomer)
    assert found is not None
    assert found.account_id == scene.anna.account_id


async def test_d6_a_revoked_device_is_forgotten_when_the_bus_says_so(scene: Scene):
    device_id = scene.anna.devices[0].device_id
    assert await scene.devices.find(device_id) is not None
    asked = len(scene.accounts.calls)
    scene.bus.publish(DeviceRevoked(device_id))
    await asyncio.sleep(0)
    await scene.devices.find(device_id)
    assert len(scene.accounts.calls) > asked
