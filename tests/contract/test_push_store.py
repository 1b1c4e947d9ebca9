"""The promises of push registrations and of the outbox of wakeups, on every adapter."""

from pathlib import Path

import pytest

from relay.adapters.sqlite.store import open_sqlite_store
from relay.ports.mailboxes import Submission
from relay.ports.pusher import PushAddress
from relay.ports.pushes import PendingWakeup, PushRegistration
from relay.ports.store import Store
from relay.wire.errors import NotFound
from tests.contract.conftest import Reopen
from tests.contract.people import NOW_MS, bytes_of, device_field, make_manifest, new_account, new_device


def registered(device_id: bytes, name: object = "first") -> PushRegistration:
    address = PushAddress("web", f"https://push.example/{name}", bytes_of(("key", name), 65), bytes_of(name))
    return PushRegistration(device_id, bytes_of(("id", name)), address, bytes_of(("token", name)))


def wakeup(registration: PushRegistration, **rest: object) -> PendingWakeup:
    fields = {"begun_at_ms": NOW_MS, "due_at_ms": NOW_MS + 9, "attempts": 0, "urgent": False, **rest}
    return PendingWakeup(registration.device_id, registration.registration_id, **fields)  # type: ignore[arg-type]


async def outbox(store: Store) -> tuple[PendingWakeup, ...]:
    return await store.pushes.pending(limit=100)


async def test_a_device_has_one_registration_the_newest(store: Store, reopen: Reopen) -> None:
    phone, tablet = [await new_device(store, name) for name in ("phone", "tablet")]
    assert await store.pushes.registration(phone) is None
    await store.pushes.register(registered(phone))
    await store.pushes.register(registered(phone, "second"))
    await store.pushes.register(registered(tablet, "third"))
    store = await reopen()
    assert await store.pushes.registration(phone) == registered(phone, "second")
    both = sorted((registered(phone, "second"), registered(tablet, "third")), key=lambda one: one.device_id)
    assert await store.pushes.registrations(limit=9) == tuple(both)
    assert await store.pushes.registrations(after=both[0].device_id, limit=9) == (both[1],)
    assert await store.pushes.registrations(limit=1) == (both[0],)
    with pytest.raises(NotFound):
        await store.pushes.register(registered(bytes(16)))


async def test_an_old_registration_is_not_removed_in_the_place_of_the_new_one(store: Store) -> None:
    phone = await new_device(store, "phone")
    await store.pushes.register(registered(phone, "second"))
    assert not await store.pushes.unregister(phone, registered(phone).registration_id)
    assert await store.pushes.registration(phone) is not None
    assert await store.pushes.unregister(phone, registered(phone, "second").registration_id)
    assert not await store.pushes.unregister(phone)
    assert await store.pushes.registration(phone) is None


async def test_the_outbox_is_there_after_a_restart_as_it_was_noted_last(store: Store, reopen: Reopen) -> None:
    phone, tablet = [registered(await new_device(store, name), name) for name in ("phone", "tablet")]
    for one in (phone, tablet):
        await store.pushes.register(one)
    await store.pushes.note((wakeup(phone), wakeup(tablet)), ())
    later = wakeup(phone, attempts=3, urgent=True, sent_at_ms=NOW_MS + 5)
    await store.pushes.note((later,), (tablet.device_id,))
    store = await reopen()
    assert await outbox(store) == (later,)
    assert await store.pushes.pending(after=phone.device_id, limit=9) == ()


async def test_a_wakeup_of_an_earlier_registration_is_not_taken_over(store: Store) -> None:
    phone = await new_device(store, "phone")
    await store.pushes.register(registered(phone))
    await store.pushes.note((wakeup(registered(phone)),), ())
    await store.pushes.register(registered(phone, "second"))
    assert await outbox(store) == ()
    await store.pushes.note((wakeup(registered(phone)), wakeup(registered(bytes(16)))), ())
    assert await outbox(store) == ()


async def test_a_device_for_which_something_waits_is_found_without_a_wakeup(store: Store) -> None:
    names = ("with mail", "without mail", "woken", "not registered")
    devices = {name: await new_device(store, name) for name in names}
    for name in names[:3]:
        await store.pushes.register(registered(devices[name], name))
    targets = tuple((devices[name], 0) for name in ("with mail", "woken", "not registered"))
    await store.mailboxes.append([Submission(bytes(16), 60, (b"sealed",), targets)], now_ms=NOW_MS)
    await store.pushes.note((wakeup(registered(devices["woken"], "woken")),), ())
    assert await store.pushes.unwoken(limit=9) == (devices["with mail"],)
    assert await store.pushes.unwoken(after=devices["with mail"], limit=9) == ()
    await store.mailboxes.ack(devices["with mail"], up_to=1)
    assert await store.pushes.unwoken(limit=9) == ()


async def test_who_was_here_since_it_was_woken_is_not_taken_to_be_woken(store: Store) -> None:
    names = ("came and went", "came", "sleeps", "is being woken")
    devices = {name: await new_device(store, name) for name in names}

    async def message(number: int, at_ms: int, *to: str) -> None:
        targets = tuple((devices[name], 0) for name in to)
        await store.mailboxes.append(
            [Submission(bytes([number]) * 16, 60, (b"sealed",), targets)], now_ms=at_ms
        )

    await message(1, NOW_MS, *names)
    for name in names:
        await store.pushes.register(registered(devices[name], name))
        sent_at_ms = None if name == "is being woken" else NOW_MS + 5
        await store.pushes.note((wakeup(registered(devices[name], name), sent_at_ms=sent_at_ms),), ())
    assert await store.pushes.unwoken(limit=9) == await store.pushes.woken(limit=9) == ()
    for name in ("came and went", "came", "is being woken"):
        await store.mailboxes.ack(devices[name], up_to=1)
    assert await store.pushes.woken(limit=9) == tuple(sorted((devices["came and went"], devices["came"])))
    await message(2, NOW_MS + 6, "came and went", "sleeps", "is being woken")
    assert await store.pushes.unwoken(limit=9) == (devices["came and went"],)
    assert await store.pushes.woken(limit=9) == (devices["came"],)
    assert await store.pushes.woken(after=devices["came"], limit=9) == ()


async def test_d6_both_go_with_the_device_and_with_the_account(store: Store) -> None:
    phone, laptop = bytes_of("phone"), bytes_of("laptop")
    anna = await new_account(store, "anna", [phone, laptop])
    for device_id in (phone, laptop):
        await store.pushes.register(registered(device_id))
        await store.pushes.note((wakeup(registered(device_id)),), ())
    kept = [device for device in anna.devices if device.device_id == phone]
    manifest, signed = make_manifest(
        "anna", [device_field(device.device_id) for device in kept], version=2, previous=anna.manifest_hash
    )
    await store.accounts.advance_manifest(manifest, signed, now_ms=NOW_MS)
    assert [one.device_id for one in await store.pushes.registrations(limit=9)] == [phone]
    assert [one.device_id for one in await outbox(store)] == [phone]
    await store.deletions.begin(anna.account_id, owner="owner")
    await store.deletions.finish(anna.account_id)
    assert await store.pushes.registrations(limit=9) == ()
    assert await outbox(store) == ()


def _all_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("relay.db*"))


async def test_e2_no_address_and_no_token_stands_in_the_file_in_the_clear(tmp_path: Path) -> None:
    database = tmp_path / "relay.db"
    async with open_sqlite_store(database, reserve_bytes=0) as store:
        one = registered(await new_device(store, "phone"))
        await store.pushes.register(one)
        assert await store.sealing.begin()
        while await store.sealing.reseal(limit=99):
            pass
        await store.sealing.finish()
        assert await store.pushes.registration(one.device_id) == one
    files = _all_bytes(tmp_path)
    for secret in (one.address.target.encode(), one.address.p256dh, one.address.auth, one.token):
        assert secret not in files
    assert one.registration_id in files  # the search finds what is there
