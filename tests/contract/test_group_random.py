"""What one group does to mailboxes is what its calls do singly, in the order appends, attempts, acknowledgements.

The memory adapter is the measure: it knows no groups, no counters and no shared copies.
"""

import asyncio
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from relay.adapters.memory.store import MemoryStore, open_memory_store
from relay.adapters.postgres.mailbox_group import MailboxGroup
from relay.adapters.postgres.store import open_postgres_store
from relay.ports.holds import Hold
from relay.ports.mailboxes import Quotas, Submission
from relay.ports.store import Store
from tests.contract.envelopes import send, submission
from tests.contract.people import NOW_MS, bytes_of, new_account, new_device
from tests.contract.test_two_nodes import check_rows, raw
from tests.servers.databases import drop_database, new_database
from tests.servers.postgres import PostgresServer

SEEDS = [int(each) for each in os.environ.get("GROUP_SEEDS", "1 2 3").split()]
ROUNDS = int(os.environ.get("GROUP_ROUNDS", "60"))
QUOTAS = Quotas(envelopes=8, bytes=6_000, nearly_full_percent=75)
PEOPLE = ("anna", "bert", "carl", "dora", "emil")
HELD = ("anna", "bert")


class Retried:
    """Deadlocks at random, when everything was done: the second try begins anew."""

    def __init__(self, chance: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
        self._chance = chance
        self._apply = MailboxGroup.apply
        self._row = 0
        self.groups: list[int] = []
        monkeypatch.setattr(MailboxGroup, "apply", lambda group, *given: self.apply(group, *given))  # noqa: PLW0108  (self is the group)

    async def apply(self, group: MailboxGroup, transaction: Any, calls: Sequence[Any]) -> None:
        await self._apply(group, transaction, calls)
        self.groups.append(len(calls))
        self._row = self._row + 1 if self._chance.random() < 0.2 and self._row < 4 else 0
        if self._row:
            raise asyncpg.DeadlockDetectedError("made by the test")


def _submission(chance: random.Random, ids: list[bytes], devices: Sequence[bytes]) -> Submission:
    envelope_id = chance.choice(ids) if chance.random() < 0.15 and ids else chance.randbytes(16)
    ids.append(envelope_id)
    bodies = tuple(
        bytes_of(chance.randrange(3 if chance.random() < 0.3 else 10**9), chance.choice((1, 40, 900, 2_500)))
        for _ in range(chance.choice((1, 1, 2)))
    )
    targets = tuple(
        (chance.choice(devices), chance.randrange(len(bodies))) for _ in range(chance.choice((1, 1, 2, 4, 7)))
    )
    return Submission(envelope_id, chance.choice((1, 30, 200, 100_000)), bodies, targets)


def _calls(chance: random.Random, ids: list[bytes], devices: Sequence[bytes], now_ms: int) -> list[Any]:
    """(kind, arguments), in any order."""
    several = chance.choice((1, 3, 8))
    return [
        (
            [_submission(chance, ids, devices) for _ in range(chance.choice((0, 1, 1, 3)))],
            now_ms + chance.randrange(-5_000, 5_000),
        )
        for _ in range(several)
    ]


def _settling(
    chance: random.Random, memory: MemoryStore, devices: Sequence[bytes]
) -> tuple[list[Any], list[Any]]:
    """Attempts and acknowledgements of numbers that are there, come with the same group, are gone or are never given."""
    attempts, acks = [], []
    plain = chance.random() < 0.4  # nothing but ranges: that is when the one statement has all to do
    for _ in range(0 if plain else chance.choice((0, 2, 8, 14))):
        device = chance.choice(devices)
        mailbox = memory._gate.image.mailboxes.get(device)
        numbers = (
            [number for number, each in mailbox.waiting.items() if not each.quarantined] if mailbox else []
        )
        lowest = numbers[0] if numbers else 1
        attempts += [
            (device, lowest if chance.random() < 0.8 else chance.randrange(1, lowest + 3))
        ] * chance.choice((1, 3))
    for _ in range(chance.choice((0, 1, 4, 9))):
        device = chance.choice(devices)
        mailbox = memory._gate.image.mailboxes.get(device)
        given = mailbox.given_up_to if mailbox else 3
        low = max(0, given - 12)
        up_to = chance.choice((0, low, chance.randrange(low, given + 2), given))
        also = [
            chance.randrange(max(1, low), given + 2)
            for _ in range(0 if plain else chance.choice((0, 0, 1, 3)))
        ]
        acks.append((device, up_to, also))
    return attempts, acks


async def _all(calls: Sequence[Any]) -> list[Any]:
    found = await asyncio.gather(*calls, return_exceptions=True)
    return [(type(one), str(one)) if isinstance(one, BaseException) else one for one in found]


async def _looks(store: Store, devices: Sequence[bytes], now_ms: int) -> list[Any]:
    looks: list[Any] = []
    for device in devices:
        looks.append(await store.mailboxes.state(device))
        kept = await store.mailboxes.quarantined(device)
        looks.append(kept)
        looks += [await store.mailboxes.fetch_quarantined(device, one.sequence) for one in kept]
        looks.append(
            await store.mailboxes.read(device, after=0, max_envelopes=500, max_bytes=10**7, now_ms=now_ms)
        )
    looks += [(one.account_id, one.envelopes, one.envelope_bytes) for one in await store.holds.list()]
    return looks


async def _check_inside(memory: MemoryStore, store: Store) -> None:
    """What no port shows: attempts, has_missed, records, what is kept of held accounts."""
    await check_rows(store)
    image = memory._gate.image
    async with raw(store) as connection:
        rows = await connection.fetch(
            "SELECT device_id, attempt_sequence, attempts, has_missed FROM mailboxes"
        )
        records = await connection.fetch("SELECT device_id, envelope_id, digest FROM records")
        held = await connection.fetch(
            "SELECT account_id, device_id, received_at_ms, expired_at_ms, ciphertext FROM held_envelopes"
        )
        expiries = await connection.fetch(
            "SELECT device_id, sequence, expires_at_ms, quarantined FROM envelopes"
        )
    assert {tuple(row) for row in rows} == {
        (device, one.attempt_sequence, one.attempts, bool(one.missed))
        for device, one in image.mailboxes.items()
    }
    assert {tuple(row) for row in records} == {
        (device, envelope_id, record.digest)
        for device, one in image.mailboxes.items()
        for envelope_id, record in one.records.items()
    }
    assert sorted(map(tuple, expiries)) == sorted(
        (device, number, each.expires_at_ms, each.quarantined)
        for device, one in image.mailboxes.items()
        for number, each in one.waiting.items()
    )
    assert sorted(map(tuple, held)) == sorted(
        (one.account_id, one.device_id, one.received_at_ms, one.expired_at_ms, one.ciphertext)
        for one in image.held_envelopes
    )


async def _populate(store: Store) -> None:
    """The same people at each store; some accounts are held."""
    for name in PEOPLE:
        account = await new_account(store, name)
        if name in HELD:
            await store.holds.put(Hold(account.account_id, "why", NOW_MS, NOW_MS + 10**9))


async def _call(store: Store, kind: str, *given: Any) -> Any:
    if kind == "append":
        return await store.mailboxes.append(given[0], now_ms=given[1])
    if kind == "attempt":
        return await store.mailboxes.count_attempt(*given)
    return await store.mailboxes.ack(given[0], up_to=given[1], also=given[2])


def _mixed(chance: random.Random, kinds: Sequence[str]) -> list[int]:
    """Places of these: each kind keeps its own order, and how they stand among each other is nothing."""
    left = {kind: [place for place, one in enumerate(kinds) if one == kind] for kind in sorted(set(kinds))}
    mixed: list[int] = []
    while any(left.values()):
        mixed.append(left[chance.choice([kind for kind, places in left.items() if places])].pop(0))
    return mixed


async def _compare(memory: MemoryStore, store: Store, devices: Sequence[bytes]) -> None:
    await _check_inside(memory, store)
    assert await _looks(store, devices, 0) == await _looks(memory, devices, 0)


async def _age(chance: random.Random, stores: Sequence[Store], devices: Sequence[bytes], now_ms: int) -> None:
    """Pages are read, housekeeping goes, an operator removes. What has expired in quarantine only housekeeping takes."""
    if chance.random() < 0.4:
        for store in stores:
            await _looks(store, devices, now_ms)
    for store in stores:
        await store.mailboxes.expire(now_ms=now_ms, limit=1_000)
    if chance.random() < 0.3:
        device, up_to = chance.choice(devices), chance.randrange(50)
        for store in stores:
            await store.mailboxes.remove(device, up_to=up_to)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_group_does_what_its_calls_do_singly(
    postgres: PostgresServer, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    url = await new_database(postgres)
    retried = Retried(random.Random(seed), monkeypatch)
    async with (
        open_memory_store(None, quotas=QUOTAS) as memory,
        open_postgres_store(url, keys_file=tmp_path / "column.keys", quotas=QUOTAS, connections=4) as store,
    ):
        ways = (store.mailboxes._apply, store.mailboxes._apply, store.mailboxes._held.part)
        devices = [bytes_of(("device", name)) for name in PEOPLE]
        await _populate(memory)
        await _populate(store)
        ids: list[bytes] = []
        now_ms = NOW_MS
        for _ in range(ROUNDS):
            now_ms += chance.choice((0, 500, 40_000))
            monkeypatch.setattr(store.mailboxes, "_apply", chance.choice(ways))
            some = chance.sample([*devices, bytes(16)], chance.choice((2, 4, len(devices) + 1)))
            calls: list[Any] = [("append", *each) for each in _calls(chance, ids, some, now_ms)]
            singly = [(await _all([_call(memory, *call)]))[0] for call in calls]
            attempts, acks = _settling(chance, memory, some)
            settling = [*(("attempt", *each) for each in attempts), *(("ack", *each) for each in acks)]
            singly += [(await _all([_call(memory, *call)]))[0] for call in settling]
            calls += settling
            mixed = _mixed(chance, [call[0] for call in calls])
            retried.groups.clear()
            together = await _all([_call(store, *calls[place]) for place in mixed])
            assert set(retried.groups) == {len(calls)}  # all in one group
            assert [
                one for _, one in sorted(zip(mixed, together, strict=True), key=lambda pair: pair[0])
            ] == singly
            await _compare(memory, store, devices)
            if chance.random() < 0.4:
                await _age(chance, (memory, store), devices, now_ms)
                await _compare(memory, store, devices)
        assert store.database.counts.again
    await drop_database(postgres, url)


async def test_groups_of_two_nodes_let_go_of_copies_in_one_order(two_nodes: tuple[Store, Store]) -> None:
    """Singles and ranges of one group are let go of together: else each node holds copies that the other one waits for."""
    one, other = two_nodes
    devices = [await new_device(one, name) for name in "abcd"]
    parted: list[int] = []
    for node in two_nodes:
        held = node.mailboxes._held
        held.part = lambda calls, part=held.part: (parted.append(len(calls)), part(calls))[1]  # type: ignore[method-assign]
    for turn in range(10):
        sent = await send(one, *(submission((turn, number), *devices) for number in range(16)))
        numbers = [each.sequences[0] for each in sent.appended]
        await asyncio.gather(
            one.mailboxes.ack(devices[0], up_to=0, also=numbers[0::2]),
            one.mailboxes.ack(devices[1], up_to=numbers[-1]),
            other.mailboxes.ack(devices[2], up_to=0, also=numbers[1::2]),
            other.mailboxes.ack(devices[3], up_to=numbers[-1]),
        )
        await asyncio.gather(*(one.mailboxes.ack(device, up_to=numbers[-1]) for device in devices))
    assert parted == []
    await check_rows(one)
