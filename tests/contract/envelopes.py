"""Submits and reads as short calls, for tests of the mailbox port."""

from relay.ports.mailboxes import AppendResult, Page, StoredEnvelope, Submission
from relay.ports.store import Store
from relay.wire.frames import Outcome
from tests.contract.people import NOW_MS, bytes_of

DAY_MS = 86_400_000


def submission(
    name: object, *devices: bytes, body: bytes | None = None, ttl_seconds: int = 1_000
) -> Submission:
    ciphertext = bytes_of(("body", name), 100) if body is None else body
    return Submission(
        bytes_of(("id", name)), ttl_seconds, (ciphertext,), tuple((device, 0) for device in devices)
    )


async def send(store: Store, *submissions: Submission, now_ms: int = NOW_MS) -> AppendResult:
    return await store.mailboxes.append(submissions, now_ms=now_ms)


async def outcome(store: Store, one: Submission, *, now_ms: int = NOW_MS) -> Outcome:
    return (await send(store, one, now_ms=now_ms)).appended[0].outcomes[0]


async def page(
    store: Store, device: bytes, *, after: int = 0, count: int = 256, size: int = 10**6, now_ms: int = NOW_MS
) -> Page:
    return await store.mailboxes.read(device, after=after, max_envelopes=count, max_bytes=size, now_ms=now_ms)


async def sequences(store: Store, device: bytes, *, after: int = 0, now_ms: int = NOW_MS) -> list[int]:
    items = (await page(store, device, after=after, now_ms=now_ms)).items
    assert all(isinstance(item, StoredEnvelope) for item in items)
    return [item.sequence for item in items if isinstance(item, StoredEnvelope)]
