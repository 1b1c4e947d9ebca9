"""How much in how short a time: the generic cell rate algorithm, in memory only. Knows keys, not what they stand for.

Nothing of this is stored: an address prefix, or who asks for whose keys, must be on no disk.
"""

import hashlib
import ipaddress
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Final

from relay.config import Rate, RateSettings
from relay.wire.errors import RateLimited

_ROUNDING_MS: Final = 0.001  # of many units added up: the burst is whole all the same
MAX_KEYS: Final = 100_000  # of one limit; then those that are used up least are forgotten first


class Gcra:
    """`burst` at once for each key, then one in `seconds_per_unit`."""

    def __init__(self, *, burst: int, seconds_per_unit: float, monotonic_ms: Callable[[], int]) -> None:
        self.change(burst=burst, seconds_per_unit=seconds_per_unit)
        self._monotonic_ms = monotonic_ms
        self._arrivals: dict[Hashable, float] = {}  # theoretical arrival time of the next unit, ms
        self.taken: Callable[[Hashable, int], None] | None = None
        """Told of what was taken here, where other nodes are to know."""

    def change(self, *, burst: int, seconds_per_unit: float) -> None:
        """Another limit from now on; what was taken stays taken."""
        self.burst = burst
        self._unit_ms = seconds_per_unit * 1_000
        self._tolerance_ms = self._unit_ms * (burst - 1)

    def retry_after_ms(self, key: Hashable, units: int = 1) -> int:
        """0 if so many units may be taken now, else for how long not."""
        return self._wait_ms(self._arrivals.get(key, 0.0), self._monotonic_ms(), units)

    def _wait_ms(self, arrival_ms: float, now_ms: int, units: int) -> int:
        late_ms = max(arrival_ms - now_ms, 0.0) + self._unit_ms * (units - 1) - self._tolerance_ms
        return int(late_ms) + 1 if late_ms > _ROUNDING_MS else 0

    def take(self, key: Hashable, units: int = 1) -> int:
        """Take these units and return 0, or take none and return for how many ms there are not as many.

        More than the burst are never there.
        """
        now_ms = self._monotonic_ms()
        before_ms = self._arrivals.get(key, 0.0)
        if wait_ms := self._wait_ms(before_ms, now_ms, units):
            return wait_ms
        self._note(key, before_ms, now_ms, units)
        if self.taken is not None:
            self.taken(key, units)
        return 0

    def taken_elsewhere(self, key: Hashable, units: int) -> None:
        """Another node let somebody take these units. The whole burst is owed at most: who was let in twice waits no longer."""
        now_ms = self._monotonic_ms()
        most = self._tolerance_ms + self._unit_ms
        before_ms = self._arrivals.get(key, 0.0)
        room = max(now_ms + most - max(before_ms, now_ms), 0.0)
        self._note(key, before_ms, now_ms, min(units, room / self._unit_ms))

    def _note(self, key: Hashable, before_ms: float, now_ms: int, units: float) -> None:
        self._arrivals.pop(key, None)
        if len(self._arrivals) >= MAX_KEYS:
            self._forget(now_ms)
        self._arrivals[key] = max(before_ms, now_ms) + self._unit_ms * units

    def _forget(self, now_ms: int) -> None:
        """Make room: what is as good as new goes, else the half that was used least recently (keys are in that order)."""
        for key in [key for key, arrival_ms in self._arrivals.items() if arrival_ms <= now_ms]:
            del self._arrivals[key]
        if len(self._arrivals) >= MAX_KEYS:
            for key in list(self._arrivals)[: MAX_KEYS // 2]:
                del self._arrivals[key]


def address_prefix(address: str) -> bytes | None:
    """IPv4 /24 or IPv6 /48 of an address; None for loopback (this machine, or a proxy on it) and for what is none."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback:
        return None
    return parsed.packed[:3] if parsed.version == 4 else parsed.packed[:6]


class SubmitMeter:
    """What one WebSocket may submit, and with all others from there its address prefix; who it is does not count.

    A submit with more targets than the burst counts as the burst: it may come, but nothing beside it.
    """

    __slots__ = ("_connection", "_new", "_prefix", "_rates")

    def __init__(self, rates: "Rates", new: Callable[[], Gcra], prefix: bytes | None) -> None:
        self._rates = rates
        self._new = new
        self._connection: Gcra | None = None  # most connections never submit
        self._prefix = prefix

    def take_together(self, targets: Sequence[int]) -> bool:
        """Take for these submits at once and return True; False if there is not enough for all: then nothing is taken."""
        connection, units = self._of_connection(), sum(targets)
        if self._prefix is not None:
            if connection.retry_after_ms(None, units) or not self._rates.has_submits(self._prefix, units):
                return False
            self._rates.take_submit(self._prefix, units)
        return connection.take(None, units) == 0

    def take(self, targets: int) -> None:
        """Raise RateLimited if these are too many now."""
        connection = self._of_connection()
        if wait_ms := connection.take(None, min(targets, connection.burst)):
            raise RateLimited(retry_after_ms=wait_ms)
        if self._prefix is not None:
            self._rates.take_submit(self._prefix, targets)

    def _of_connection(self) -> Gcra:
        if self._connection is None:
            self._connection = self._new()
        return self._connection


def _rates_of(settings: RateSettings) -> tuple[Rate, ...]:
    """In the order of `Rates.limits`."""
    return (
        settings.device,
        settings.address,
        settings.registration,
        settings.lookup,
        settings.upload,
        settings.link,
        settings.recovery,
        settings.group_log,
        settings.export,
        settings.push,
        settings.submit_address,
    )


class Rates:
    """The limits on HTTP requests. Each method takes one unit or raises RateLimited."""

    def __init__(self, settings: RateSettings, *, monotonic_ms: Callable[[], int], key: bytes) -> None:
        """`key`: 32 B under which keys of the limits are hashed, the same on each node of a relay."""

        def limit(rate: Rate) -> Gcra:
            return Gcra(burst=rate.burst, seconds_per_unit=1 / rate.per_second, monotonic_ms=monotonic_ms)

        self._device = limit(settings.device)
        self._address = limit(settings.address)
        self._registration = limit(settings.registration)
        self._lookup = limit(settings.lookup)
        self._upload = limit(settings.upload)
        self._link = limit(settings.link)
        self._recovery = limit(settings.recovery)
        self._group_log = limit(settings.group_log)
        self._export = limit(settings.export)
        self._push = limit(settings.push)
        self._submit_address = limit(settings.submit_address)
        self._limit = limit
        self._new_submit = partial(limit, settings.submit)
        self._key = key

    def change(self, settings: RateSettings) -> None:
        """Other rates from now on."""
        for limit, rate in zip(self.limits(), _rates_of(settings), strict=True):
            limit.change(burst=rate.burst, seconds_per_unit=1 / rate.per_second)
        self._new_submit = partial(self._limit, settings.submit)  # of connections from now on

    def limits(self) -> tuple[Gcra, ...]:
        """All that count by keys, in an order for ever; a new one comes last."""
        return (
            self._device,
            self._address,
            self._registration,
            self._lookup,
            self._upload,
            self._link,
            self._recovery,
            self._group_log,
            self._export,
            self._push,
            self._submit_address,
        )

    def _hidden(self, key: bytes) -> bytes:
        """16 B: under a key that no database has."""
        return hashlib.blake2b(key, key=self._key, digest_size=16).digest()

    @staticmethod
    def _take(limit: Gcra, key: Hashable) -> None:
        if wait_ms := limit.take(key):
            raise RateLimited(retry_after_ms=wait_ms)

    def _take_address(self, limit: Gcra, address: str | None) -> None:
        prefix = self.prefix(address)
        if prefix is not None:
            self._take(limit, prefix)

    def prefix(self, address: str | None) -> bytes | None:
        """16 B of an address's prefix, None for loopback. Hashed: a memory dump names nobody's network."""
        prefix = address_prefix(address) if address else None
        return None if prefix is None else self._hidden(prefix)

    def submit_meter(self, address: str | None) -> SubmitMeter:
        """For a new WebSocket from this address."""
        return SubmitMeter(self, self._new_submit, self.prefix(address))

    def has_submits(self, prefix: bytes, targets: int) -> bool:
        """Whether this address prefix, as a meter has it, may submit so much now; no more than the burst ever."""
        return self._submit_address.retry_after_ms(prefix, targets) == 0

    def take_submit(self, prefix: bytes, targets: int) -> None:
        """Submitted from this address prefix, as a meter has it."""
        if wait_ms := self._submit_address.take(prefix, min(targets, self._submit_address.burst)):
            raise RateLimited(retry_after_ms=wait_ms)

    def take_http_submit(self, address: str | None, targets: int) -> None:
        """A submit by a request from this address."""
        prefix = self.prefix(address)
        if prefix is not None:
            self.take_submit(prefix, targets)

    def take_device(self, device_id: bytes) -> None:
        """A signed request of this device."""
        self._take(self._device, self._hidden(device_id))

    def take_address(self, address: str | None) -> None:
        """A request from this address."""
        self._take_address(self._address, address)

    def take_registration(self, address: str | None) -> None:
        """A try to register from this address."""
        self._take_address(self._registration, address)

    def take_lookup(self, device_id: bytes) -> None:
        """A handle looked up by this device."""
        self._take(self._lookup, self._hidden(device_id))

    def take_upload(self, device_id: bytes) -> None:
        """A blob begun by this device."""
        self._take(self._upload, self._hidden(device_id))

    def take_link(self, address: str | None) -> None:
        """A slot of a link mailbox written from this address."""
        self._take_address(self._link, address)

    def take_recovery(self, address: str | None) -> None:
        """A recovery tried from this address."""
        self._take_address(self._recovery, address)

    def take_export(self, account_id: bytes) -> None:
        """An account that reads all that there is about it."""
        self._take(self._export, self._hidden(account_id))

    def take_push(self, device_id: bytes) -> None:
        """A registration for wakeups by this device."""
        self._take(self._push, self._hidden(device_id))

    def take_group_log(self, account_id: bytes) -> None:
        """A group log made by this account. Hashed: who makes groups is not for a memory dump."""
        self._take(self._group_log, self._hidden(account_id))
