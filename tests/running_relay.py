"""A relay in this process with a clock that the test moves, and devices that are registered on it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from relay.adapters.system_clock import SystemClock
from relay.composition import Machine
from relay.testing import TestRelay, open_test_relay
from tests.raw_device import RawDevice


class ShiftedClock(SystemClock):
    """The machine's clock, moved: timers run as they do, what time it is can jump."""

    def __init__(self) -> None:
        self._shift_ms = 0
        self._passed_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self._shift_ms

    def monotonic_ms(self) -> int:
        return super().monotonic_ms() + self._passed_ms

    def monotonic_seconds(self) -> float:
        return super().monotonic_seconds() + self._passed_ms / 1_000

    def jump(self, *, seconds: float) -> None:
        """Somebody sets the clock."""
        self._shift_ms += round(seconds * 1_000)

    def let_pass(self, *, seconds: float) -> None:
        """Time passes; no timer comes due by it."""
        self.jump(seconds=seconds)
        self._passed_ms += round(seconds * 1_000)


@dataclass
class World:
    """One relay and an HTTP client."""

    relay: TestRelay
    session: aiohttp.ClientSession
    clock: ShiftedClock
    devices: list[RawDevice] = field(default_factory=list)

    def device(
        self, *, of: RawDevice | None = None, origin_of: str | None = None, **fields: Any
    ) -> RawDevice:
        """A device that nobody knows yet; `of`: another one of that account; `origin_of`: a relay behind a public name."""
        if of is not None:
            fields["root"] = of.root
        origin = self.relay.url if origin_of is None else origin_of
        device = RawDevice(origin, self.session, clock=self.clock.now_ms, base=self.relay.url, **fields)
        self.devices.append(device)
        return device

    async def member(
        self, *, role: str = "member", handle: str | None = None, hosts: Sequence[bytes] = ()
    ) -> RawDevice:
        """The device of a new account."""
        device = self.device()
        answered = await device.register(await self.relay.invite(role=role, hosts=hosts), handle=handle)
        assert answered.status == 201, answered.body
        return device


@asynccontextmanager
async def open_world(
    *, clock: ShiftedClock | None = None, machine: Machine | None = None, **options: Any
) -> AsyncIterator[World]:
    """A relay of `relay.testing` with these options. Clocks that jump, and a slow machine, are no load."""
    options = {"shed": {"loop_late_ms": 60_000}, **options}
    clock = clock or ShiftedClock()
    async with (
        open_test_relay(machine=machine or Machine(clock=clock), **options) as relay,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        yield World(relay, session, clock)
