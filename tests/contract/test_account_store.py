"""The account port's promises, on every adapter."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from relay.ports.accounts import Account, HandleBinding, SeenDevice
from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.ports.invites import Invite
from relay.ports.mailboxes import Submission
from relay.ports.prekeys import Claim
from relay.ports.store import Store
from relay.wire import limits
from relay.wire.errors import (
    Conflict,
    HandleTaken,
    InviteInvalid,
    LastOwner,
    ManifestConflict,
    NotFound,
    QuotaExceeded,
    Unauthenticated,
)
from relay.wire.frames import Outcome
from tests.contract.people import (
    NOW_MS,
    bytes_of,
    device_field,
    make_manifest,
    new_account,
    registration,
    standing_prekeys,
)

INVITE = Invite(bytes_of("invite", 32), "owner", 1, None, NOW_MS)


async def test_registering_makes_the_account_its_device_and_mailbox_in_one_step(store: Store) -> None:
    await store.invites.create(INVITE)
    wish = registration("anna", invite_hash=INVITE.secret_hash, handle="anna", public_token=bytes_of("token"))
    account = await store.accounts.register(wish, now_ms=NOW_MS)
    assert account == await store.accounts.account(wish.manifest.account_id)
    assert (account.role, account.handle, account.manifest_version) == ("owner", "anna", 1)
    (device,) = account.devices
    assert device == await store.accounts.device(device.device_id)
    assert device.signing_key == wish.manifest.devices[0].signing_key
    assert await store.accounts.find_handle("anna") == HandleBinding(
        "anna", account.account_id, bytes_of("token")
    )
    token = await store.delivery_tokens.resolve(
        account.account_id, sha256(bytes_of("token")).digest(), now_ms=NOW_MS
    )
    assert token is not None
    assert token.token_class is TokenClass.PUBLIC
    assert (await store.mailboxes.state(device.device_id)).next_sequence == 1
    assert await store.accounts.accounts_count() == 1
    with pytest.raises(InviteInvalid):
        await store.invites.get(INVITE.secret_hash, now_ms=NOW_MS)


async def test_the_same_manifest_again_gives_the_same_answer_and_spends_nothing(store: Store) -> None:
    await store.invites.create(replace(INVITE, uses_left=2))
    wish = registration("anna", invite_hash=INVITE.secret_hash, handle="anna")
    first = await store.accounts.register(wish, now_ms=NOW_MS)
    assert await store.accounts.register(wish, now_ms=NOW_MS + 5) == first
    assert (await store.invites.get(INVITE.secret_hash, now_ms=NOW_MS)).uses_left == 1


async def test_the_same_account_with_another_manifest_is_a_conflict(store: Store) -> None:
    await new_account(store, "anna")
    with pytest.raises(ManifestConflict):
        await new_account(store, "anna", [bytes_of("other")])


@pytest.mark.parametrize(
    "invite", [None, replace(INVITE, uses_left=0), replace(INVITE, expires_at_ms=NOW_MS)]
)
async def test_a_bad_invite_makes_no_account(store: Store, invite: Invite | None) -> None:
    if invite is not None:
        await store.invites.create(invite)
    with pytest.raises(InviteInvalid):
        await store.accounts.register(registration("anna", invite_hash=INVITE.secret_hash), now_ms=NOW_MS)
    assert await store.accounts.accounts_count() == 0


async def test_an_invite_for_one_makes_one_account_of_many_at_once(store: Store) -> None:
    await store.invites.create(INVITE)
    results = await asyncio.gather(
        *(
            store.accounts.register(registration(name, invite_hash=INVITE.secret_hash), now_ms=NOW_MS)
            for name in range(8)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Account) for result in results) == 1
    assert sum(isinstance(result, InviteInvalid) for result in results) == 7
    assert await store.accounts.accounts_count() == 1


async def test_a_taken_handle_makes_no_account_and_spends_no_invite(store: Store) -> None:
    await store.accounts.register(registration("anna", handle="anna"), now_ms=NOW_MS)
    await store.invites.create(INVITE)
    wish = registration("bert", invite_hash=INVITE.secret_hash, handle="anna")
    with pytest.raises(HandleTaken):
        await store.accounts.register(wish, now_ms=NOW_MS)
    assert await store.accounts.account(wish.manifest.account_id) is None
    assert await store.accounts.device(bytes_of(("device", "bert"))) is None
    assert (await store.invites.get(INVITE.secret_hash, now_ms=NOW_MS)).uses_left == 1


async def test_a9_an_id_or_key_of_another_device_is_refused(store: Store) -> None:
    account = await new_account(store, "anna")
    taken = account.devices[0]
    fields = device_field(bytes_of("new"))
    stolen_signing = fields[:16] + taken.signing_key + fields[48:]
    stolen_identity = fields[:48] + taken.identity_key + fields[80:]
    for field in (device_field(taken.device_id, keys="fresh"), stolen_signing, stolen_identity):
        manifest, signed = make_manifest("bert", [field])
        with pytest.raises(Conflict):
            await store.accounts.register(
                replace(registration("bert"), manifest=manifest, signed=signed), now_ms=NOW_MS
            )
    assert await store.accounts.accounts_count() == 1
    assert await store.accounts.device(taken.device_id) == taken


async def _advance(store: Store, name: str, previous: Account, *fields: bytes, version: int = 2) -> Account:
    manifest, signed = make_manifest(name, fields, version=version, previous=previous.manifest_hash)
    return (await store.accounts.advance_manifest(manifest, signed, now_ms=NOW_MS)).account


async def test_a_manifest_follows_by_version_and_hash(store: Store) -> None:
    account = await new_account(store, "anna")
    old, new = device_field(account.devices[0].device_id), device_field(bytes_of("second"))
    manifest, signed = make_manifest("anna", [old, new], version=2, previous=account.manifest_hash)
    change = await store.accounts.advance_manifest(manifest, signed, now_ms=NOW_MS)
    assert (change.added, change.removed) == ((bytes_of("second"),), ())
    assert len(change.account.devices) == 2
    again = await store.accounts.advance_manifest(manifest, signed, now_ms=NOW_MS)
    assert (again.account, again.added, again.removed) == (change.account, (), ())
    for version, previous in ((2, account.manifest_hash), (3, account.manifest_hash), (4, manifest.hash)):
        wrong, its_signed = make_manifest("anna", [new], version=version, previous=previous)
        with pytest.raises(ManifestConflict):
            await store.accounts.advance_manifest(wrong, its_signed, now_ms=NOW_MS)
    assert await store.accounts.account(account.account_id) == change.account
    stored = await store.accounts.manifests(account.account_id, from_version=1, limit=10)
    assert [one.body for one in stored] == [registration("anna").signed.body, signed.body]
    assert await store.accounts.manifests(account.account_id, from_version=2, limit=10) == (signed,)
    assert len(await store.accounts.manifests(account.account_id, from_version=1, limit=1)) == 1


async def test_of_two_manifests_at_once_one_wins(store: Store) -> None:
    account = await new_account(store, "anna")
    old = device_field(account.devices[0].device_id)
    results = await asyncio.gather(
        *(_advance(store, "anna", account, old, device_field(bytes_of(name))) for name in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Account) for result in results) == 1
    assert sum(isinstance(result, ManifestConflict) for result in results) == 3
    now = await store.accounts.account(account.account_id)
    assert now is not None
    assert (now.manifest_version, len(now.devices)) == (2, 2)


async def test_a_manifest_for_nobody_is_not_found(store: Store) -> None:
    manifest, signed = make_manifest("anna", [device_field(bytes(16))], version=2, previous=bytes(32))
    with pytest.raises(NotFound):
        await store.accounts.advance_manifest(manifest, signed, now_ms=NOW_MS)
    assert await store.accounts.account(manifest.account_id) is None
    assert await store.accounts.manifests(manifest.account_id, from_version=1, limit=10) == ()


@pytest.mark.proves("M-REG-05")
async def test_d6_what_was_a_removed_devices_goes_with_the_manifests_commit(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    first, second = bytes_of("first"), bytes_of("second")
    account = await new_account(store, "anna", [first, second])
    envelope = Submission(bytes_of("id"), 1_000, (b"opaque",), ((first, 0), (second, 0)))
    await store.mailboxes.append([envelope], now_ms=NOW_MS)
    await store.prekeys.append(second, standing_prekeys())
    await _advance(store, "anna", account, device_field(first))
    assert await store.accounts.device(second) is None
    assert await store.prekeys.claim([Claim(second, one_time=True)]) == (None,)
    for call in (
        store.prekeys.stock(second),
        store.mailboxes.state(second),
        store.mailboxes.ack(second, up_to=0),
    ):
        with pytest.raises(NotFound):
            await call
    result = await store.mailboxes.append([envelope], now_ms=NOW_MS)
    assert result.appended[0].outcomes == (Outcome.STORED, Outcome.UNKNOWN_DEVICE)
    store = await reopen()
    assert (await store.mailboxes.state(first)).envelopes == 1
    with pytest.raises(NotFound):
        await store.mailboxes.read(second, after=0, max_envelopes=10, max_bytes=100, now_ms=NOW_MS)


async def test_a_device_that_comes_back_under_its_id_begins_anew(store: Store) -> None:
    first, second = bytes_of("first"), bytes_of("second")
    account = await new_account(store, "anna", [first, second])
    envelope = Submission(bytes_of("id"), 1_000, (b"opaque",), ((second, 0),))
    await store.mailboxes.append([envelope], now_ms=NOW_MS)
    without = await _advance(store, "anna", account, device_field(first))
    await _advance(store, "anna", without, device_field(first), device_field(second), version=3)
    state = await store.mailboxes.state(second)
    assert (state.next_sequence, state.envelopes) == (1, 0)
    result = await store.mailboxes.append([envelope], now_ms=NOW_MS)
    assert result.appended[0].sequences == (1,)


async def test_a_device_keeps_its_keys_and_may_change_its_flags(store: Store) -> None:
    account = await new_account(store, "anna")
    device = account.devices[0]
    with pytest.raises(Conflict):
        await _advance(store, "anna", account, device_field(device.device_id, keys="others"))
    assert await store.accounts.account(account.account_id) == account
    changed = await _advance(store, "anna", account, device_field(device.device_id, flags=3))
    assert changed.devices == (replace(device, flags=3),)


async def test_a_handle_moves_with_its_public_token(store: Store) -> None:
    anna, bert = await new_account(store, "anna"), await new_account(store, "bert")
    first, second = bytes_of(1), bytes_of(2)
    await store.accounts.set_handle(anna.account_id, "anna", first, now_ms=NOW_MS)
    await store.accounts.set_handle(anna.account_id, "anna.b", second, now_ms=NOW_MS)
    assert await store.accounts.find_handle("anna") is None
    assert [each.token_hash for each in await store.delivery_tokens.list(anna.account_id)] == [
        sha256(second).digest()
    ]
    with pytest.raises(HandleTaken):
        await store.accounts.set_handle(bert.account_id, "anna.b", None, now_ms=NOW_MS)
    await store.accounts.set_handle(bert.account_id, "anna", None, now_ms=NOW_MS)
    assert await store.accounts.find_handle("anna") == HandleBinding("anna", bert.account_id, None)
    await store.accounts.release_handle(anna.account_id)
    await store.accounts.release_handle(anna.account_id)
    assert await store.accounts.find_handle("anna.b") is None
    assert await store.delivery_tokens.list(anna.account_id) == ()
    with pytest.raises(NotFound):
        await store.accounts.set_handle(bytes(32), "nobody", None, now_ms=NOW_MS)


async def test_a_handle_finds_no_room_for_its_token_when_there_are_too_many(store: Store) -> None:
    account = await new_account(store, "anna")
    for number in range(limits.MAX_DELIVERY_TOKENS):
        token = DeliveryToken(bytes_of(("token", number), 32), TokenClass.CONTACT)
        await store.delivery_tokens.add(account.account_id, token, now_ms=NOW_MS)
    with pytest.raises(QuotaExceeded):
        await store.accounts.set_handle(account.account_id, "anna", bytes(16), now_ms=NOW_MS)
    assert await store.accounts.find_handle("anna") is None


async def test_suspension_is_kept(store: Store, reopen: Callable[[], Awaitable[Store]]) -> None:
    account = await new_account(store, "anna")
    await store.accounts.set_suspended(account.account_id, True, owner="owner")
    store = await reopen()
    kept = await store.accounts.account(account.account_id)
    assert kept == replace(account, suspended=True)
    await store.accounts.set_suspended(account.account_id, False, owner="owner")
    assert await store.accounts.account(account.account_id) == account
    with pytest.raises(NotFound):
        await store.accounts.set_suspended(bytes(32), True, owner="owner")


async def test_e3_the_last_owner_is_neither_suspended_nor_made_something_else(store: Store) -> None:
    one, other = [
        await store.accounts.register(replace(registration(name), role="owner"), now_ms=NOW_MS)
        for name in ("anna", "bert")
    ]
    await store.accounts.set_suspended(other.account_id, True, owner="owner")  # no help any more
    with pytest.raises(LastOwner):
        await store.accounts.set_suspended(one.account_id, True, owner="owner")
    with pytest.raises(LastOwner):
        await store.accounts.set_role(one.account_id, "admin", owner="owner")
    assert await store.accounts.account(one.account_id) == one
    await store.accounts.set_suspended(other.account_id, False, owner="owner")
    assert (await store.accounts.set_role(one.account_id, "admin", owner="owner")).role == "admin"


async def test_d7_a_nonce_is_good_once_for_a_device_and_after_a_restart(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    device, other, nonce = bytes_of("device"), bytes_of("other"), bytes_of("nonce")
    results = await asyncio.gather(
        *(store.accounts.spend_nonce(device, nonce, expires_at_ms=NOW_MS + 1) for _ in range(20)),
        return_exceptions=True,
    )
    assert [result for result in results if result is None] == [None]
    assert sum(isinstance(result, Unauthenticated) for result in results) == 19
    await store.accounts.spend_nonce(other, nonce, expires_at_ms=NOW_MS + 1)
    store = await reopen()
    with pytest.raises(Unauthenticated):
        await store.accounts.spend_nonce(device, nonce, expires_at_ms=NOW_MS + 1)
    assert await store.accounts.remove_expired_nonces(now_ms=NOW_MS, limit=10) == 0
    assert await store.accounts.remove_expired_nonces(now_ms=NOW_MS + 1, limit=1) == 1
    assert await store.accounts.remove_expired_nonces(now_ms=NOW_MS + 1, limit=10) == 1
    await store.accounts.spend_nonce(device, nonce, expires_at_ms=NOW_MS + 1)


async def test_the_day_a_device_was_seen_is_no_error_for_an_unknown_one(store: Store) -> None:
    account = await new_account(store, "anna")
    for day in (20_000, 20_000, 19_999):
        await store.accounts.mark_seen(account.devices[0].device_id, day=day)
    await store.accounts.mark_seen(bytes(16), day=20_000)
    assert await store.accounts.account(account.account_id) == account


async def test_the_devices_of_an_account_are_told_with_the_day_they_were_last_here(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    ids = sorted(bytes_of(("device", number)) for number in range(2))
    account = await new_account(store, "anna", ids)
    await new_account(store, "bert")
    await store.accounts.mark_seen(ids[1], day=20_000)
    await store.accounts.mark_seen(ids[1], day=19_999)
    store = await reopen()
    seen = await store.accounts.seen_devices(account.account_id)
    assert seen == (SeenDevice(ids[0], NOW_MS, 0), SeenDevice(ids[1], NOW_MS, 20_000))
    assert await store.accounts.seen_devices(bytes(32)) == ()


async def test_a_recovery_begins_at_the_last_manifest_that_the_root_key_signed(store: Store) -> None:
    account = await new_account(store, "anna")
    device_id, chain = account.devices[0].device_id, [registration("anna").signed]
    for version, signer in ((2, b""), (3, device_id), (4, device_id)):
        previous = sha256(chain[-1].body).digest()
        manifest, signed = make_manifest(
            "anna", [device_field(device_id)], version=version, previous=previous
        )
        chain.append(replace(signed, signer=signer))
        await store.accounts.advance_manifest(manifest, chain[-1], now_ms=NOW_MS)
        assert await store.accounts.recovery_chain(account.account_id, limit=9) == tuple(chain[1:])
    assert await store.accounts.recovery_chain(account.account_id, limit=2) == tuple(chain[1:3])
    assert await store.accounts.recovery_chain(bytes(32), limit=9) == ()


async def test_a_handle_that_was_given_back_is_kept_for_its_owner_for_a_while(store: Store) -> None:
    anna, bert = await new_account(store, "anna"), await new_account(store, "bert")
    until = NOW_MS + 1_000
    set_handle = store.accounts.set_handle
    await set_handle(anna.account_id, "first", None, now_ms=NOW_MS, kept_until_ms=until)
    await set_handle(anna.account_id, "second", None, now_ms=NOW_MS, kept_until_ms=until)
    await store.accounts.release_handle(anna.account_id, kept_until_ms=until)
    for handle in ("first", "second"):
        with pytest.raises(HandleTaken):
            await set_handle(bert.account_id, handle, None, now_ms=until - 1)
        with pytest.raises(HandleTaken):
            await store.accounts.register(registration("carl", handle=handle), now_ms=until - 1)
    await set_handle(anna.account_id, "first", None, now_ms=NOW_MS, kept_until_ms=until)
    await set_handle(bert.account_id, "second", None, now_ms=until)
    # What was taken back is kept no more, and given back without a time it is free at once.
    await store.accounts.release_handle(anna.account_id)
    await set_handle(bert.account_id, "first", None, now_ms=NOW_MS, kept_until_ms=until)
    assert await store.accounts.free_handles(now_ms=until - 1, limit=10) == 0
    assert (
        await store.accounts.free_handles(now_ms=until, limit=10) == 1
    )  # "second", which bert gave up for it
    assert await store.accounts.free_handles(now_ms=until, limit=10) == 0
