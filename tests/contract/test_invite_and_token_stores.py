"""The promises of the invite and delivery token ports, on every adapter."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.ports.guests import Guest
from relay.ports.invites import Invite
from relay.ports.reserved_handles import ReservedHandle
from relay.ports.store import Store
from relay.wire import limits
from relay.wire.errors import Conflict, HandleTaken, InviteInvalid, NotFound, QuotaExceeded
from tests.contract.people import NOW_MS, bytes_of, new_account, registration

INVITE = Invite(bytes_of("invite", 32), "member", 3, NOW_MS + 100, NOW_MS)


def token(name: object, *, expires_at_ms: int | None = None) -> DeliveryToken:
    return DeliveryToken(bytes_of(("token", name), 32), TokenClass.CONTACT, expires_at_ms)


async def test_an_invite_is_good_until_it_expires_or_is_revoked(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    other = replace(INVITE, secret_hash=bytes_of("other", 32), created_at_ms=NOW_MS + 1, expires_at_ms=None)
    await store.invites.create(other)
    await store.invites.create(INVITE)
    with pytest.raises(Conflict):
        await store.invites.create(replace(INVITE, uses_left=9))
    store = await reopen()
    assert await store.invites.list() == (INVITE, other)
    assert await store.invites.get(INVITE.secret_hash, now_ms=NOW_MS + 99) == INVITE
    with pytest.raises(InviteInvalid):
        await store.invites.get(INVITE.secret_hash, now_ms=NOW_MS + 100)
    await store.invites.revoke(other.secret_hash)
    with pytest.raises(InviteInvalid):
        await store.invites.get(other.secret_hash, now_ms=NOW_MS)
    with pytest.raises(NotFound):
        await store.invites.revoke(other.secret_hash)


async def test_an_account_has_so_many_open_invites_and_they_are_good_while_it_is(store: Store) -> None:
    anna = (await new_account(store, "anna")).account_id
    bert = (await new_account(store, "bert")).account_id
    made = [
        replace(INVITE, secret_hash=bytes_of(name, 32), made_by=maker, created_at_ms=NOW_MS + number)
        for number, (name, maker) in enumerate((("1", anna), ("2", anna), ("3", bert), ("4", anna)))
    ]
    for invite in made[:3]:
        await store.invites.create(invite, most=2)
    with pytest.raises(QuotaExceeded):
        await store.invites.create(made[3], most=2)
    assert await store.invites.list(anna) == tuple(made[:2])
    await store.invites.revoke(made[0].secret_hash)
    await store.invites.create(made[3], most=2)
    # What has expired does not count.
    late = replace(made[0], created_at_ms=NOW_MS + 100, expires_at_ms=NOW_MS + 200)
    await store.invites.create(late, most=1)

    await store.accounts.set_suspended(anna, True, owner="owner")
    with pytest.raises(InviteInvalid):
        await store.invites.get(made[3].secret_hash, now_ms=NOW_MS)
    with pytest.raises(InviteInvalid):
        await store.accounts.register(registration("carl", invite_hash=made[3].secret_hash), now_ms=NOW_MS)
    await store.accounts.set_suspended(anna, False, owner="owner")
    await store.accounts.register(registration("carl", invite_hash=made[3].secret_hash), now_ms=NOW_MS)
    await gone(store, anna)
    assert [invite.made_by for invite in await store.invites.list()] == [bert]


async def test_a_guest_has_hosts_and_a_time_and_goes_with_neither(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    anna, bert = [(await new_account(store, name)).account_id for name in ("anna", "bert")]
    invite = replace(INVITE, role="guest", made_by=bert, stay_seconds=60, hosts=tuple(sorted((anna, bert))))
    with pytest.raises(NotFound):
        await store.invites.create(replace(invite, hosts=(bytes(32),)))
    await store.invites.create(invite)
    store = await reopen()
    assert await store.invites.get(invite.secret_hash, now_ms=NOW_MS) == invite
    guests = []
    for number, name in enumerate(("first", "second")):
        made = await store.accounts.register(
            registration(name, invite_hash=invite.secret_hash), now_ms=NOW_MS + number
        )
        assert made.role == "guest"
        guests.append(made.account_id)
    store = await reopen()
    expected = Guest(NOW_MS + 60_000, frozenset((anna, bert)))
    assert await store.guests.find(guests[0]) == expected
    assert await store.guests.find(anna) is None
    for at, over in ((59_999, []), (60_000, guests[:1]), (60_001, guests)):
        assert list(await store.guests.lapsed("guest", now_ms=NOW_MS + at, limit=9)) == over
    assert await store.guests.lapsed("guest", now_ms=NOW_MS + 99_999, limit=1) == tuple(guests[:1])
    # Who is no guest any more stays, and a deletion is begun once.
    await store.accounts.set_role(guests[1], "member", owner="owner")
    await store.deletions.begin(guests[0], owner="owner")
    assert await store.guests.lapsed("guest", now_ms=NOW_MS + 99_999, limit=9) == ()

    await gone(store, anna)
    assert await store.guests.find(guests[1]) == Guest(NOW_MS + 60_001, frozenset((bert,)))
    (left,) = await store.invites.list()
    assert left.hosts == (bert,)
    await gone(store, bert)
    assert await store.invites.list() == ()
    assert await store.guests.find(guests[1]) == Guest(NOW_MS + 60_001, frozenset())


async def test_an_invite_whose_hosts_are_gone_makes_nobody(store: Store) -> None:
    anna = (await new_account(store, "anna")).account_id
    await store.invites.create(replace(INVITE, role="guest", stay_seconds=60, hosts=(anna,)))
    await gone(store, anna)
    with pytest.raises(InviteInvalid):
        await store.accounts.register(registration("carl", invite_hash=INVITE.secret_hash), now_ms=NOW_MS)
    (kept,) = await store.invites.list()
    assert kept.uses_left == INVITE.uses_left


async def gone(store: Store, account_id: bytes) -> None:
    """The account is deleted."""
    await store.deletions.begin(account_id, owner="owner")
    await store.deletions.finish(account_id)


async def test_a_handle_that_is_reserved_goes_to_nobody_or_to_one_account(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    anna, bert = [(await new_account(store, name)).account_id for name in ("anna", "bert")]
    await store.accounts.set_handle(bert, "taken", None, now_ms=NOW_MS)
    kept = [ReservedHandle("admin", None), ReservedHandle("help", anna), ReservedHandle("taken", None)]
    for one in (*kept, ReservedHandle("help", bert), kept[1]):
        await store.reserved_handles.reserve(one)
    store = await reopen()
    assert await store.reserved_handles.list(after="", limit=9) == tuple(kept)
    assert await store.reserved_handles.list(after="admin", limit=1) == (kept[1],)
    await store.accounts.set_handle(bert, "taken", None, now_ms=NOW_MS)  # who has it keeps it
    for account_id, handle in ((anna, "admin"), (bert, "admin"), (bert, "help")):
        with pytest.raises(HandleTaken):
            await store.accounts.set_handle(account_id, handle, None, now_ms=NOW_MS)
    with pytest.raises(HandleTaken):
        await store.accounts.register(registration("carl", handle="help"), now_ms=NOW_MS)
    await store.accounts.set_handle(anna, "help", None, now_ms=NOW_MS)
    await store.reserved_handles.release("admin")
    with pytest.raises(NotFound):
        await store.reserved_handles.release("admin")
    await store.accounts.set_handle(bert, "admin", None, now_ms=NOW_MS)
    await gone(store, anna)
    assert await store.reserved_handles.list(after="", limit=9) == (kept[2],)


async def test_expired_and_used_up_invites_are_forgotten_a_few_at_a_time(store: Store) -> None:
    for number in range(3):
        await store.invites.create(replace(INVITE, secret_hash=bytes_of(number, 32)))
    await store.invites.create(
        replace(INVITE, secret_hash=bytes_of("used", 32), uses_left=0, expires_at_ms=None)
    )
    await store.invites.create(replace(INVITE, secret_hash=bytes_of("good", 32), expires_at_ms=None))
    removed = [await store.invites.remove_expired(now_ms=NOW_MS + 100, limit=3) for _ in range(3)]
    assert removed == [3, 1, 0]
    assert [invite.secret_hash for invite in await store.invites.list()] == [bytes_of("good", 32)]


async def test_c7_a_token_opens_its_own_account_until_it_expires_or_is_removed(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    anna = (await new_account(store, "anna")).account_id
    bert = (await new_account(store, "bert")).account_id
    lasting, passing = token("lasting"), token("passing", expires_at_ms=NOW_MS + 100)
    for each in (lasting, passing):
        await store.delivery_tokens.add(anna, each, now_ms=NOW_MS)
    store = await reopen()
    assert await store.delivery_tokens.resolve(anna, lasting.token_hash, now_ms=NOW_MS) == lasting
    assert await store.delivery_tokens.resolve(anna, passing.token_hash, now_ms=NOW_MS + 99) == passing
    assert await store.delivery_tokens.resolve(anna, passing.token_hash, now_ms=NOW_MS + 100) is None
    assert await store.delivery_tokens.resolve(bert, lasting.token_hash, now_ms=NOW_MS) is None
    assert await store.delivery_tokens.resolve(bytes(32), lasting.token_hash, now_ms=NOW_MS) is None
    assert await store.delivery_tokens.resolve(anna, bytes(32), now_ms=NOW_MS) is None
    await store.delivery_tokens.remove(anna, lasting.token_hash)
    await store.delivery_tokens.remove(anna, lasting.token_hash)
    assert await store.delivery_tokens.resolve(anna, lasting.token_hash, now_ms=NOW_MS) is None


async def test_the_same_token_again_changes_its_class_and_end(store: Store) -> None:
    anna = (await new_account(store, "anna")).account_id
    first = token(1)
    second = replace(first, token_class=TokenClass.GROUP, expires_at_ms=NOW_MS + 5)
    await store.delivery_tokens.add(anna, first, now_ms=NOW_MS)
    await store.delivery_tokens.add(anna, second, now_ms=NOW_MS)
    assert await store.delivery_tokens.list(anna) == (second,)


async def test_tokens_of_nobody_are_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.delivery_tokens.add(bytes(32), token(1), now_ms=NOW_MS)
    assert await store.delivery_tokens.list(bytes(32)) == ()


async def test_an_account_has_so_many_tokens_that_have_not_expired(store: Store) -> None:
    anna = (await new_account(store, "anna")).account_id
    await store.delivery_tokens.add(anna, token("old", expires_at_ms=NOW_MS + 1), now_ms=NOW_MS)
    for number in range(limits.MAX_DELIVERY_TOKENS - 1):
        await store.delivery_tokens.add(anna, token(number), now_ms=NOW_MS)
    with pytest.raises(QuotaExceeded):
        await store.delivery_tokens.add(anna, token("one more"), now_ms=NOW_MS)
    await store.delivery_tokens.add(anna, token(0, expires_at_ms=NOW_MS + 9), now_ms=NOW_MS)
    await store.delivery_tokens.add(anna, token("one more"), now_ms=NOW_MS + 1)
    assert len(await store.delivery_tokens.list(anna)) == limits.MAX_DELIVERY_TOKENS + 1
    assert await store.delivery_tokens.remove_expired(now_ms=NOW_MS + 1, limit=10) == 1
    assert await store.delivery_tokens.remove_expired(now_ms=NOW_MS + 1, limit=10) == 0
    assert len(await store.delivery_tokens.list(anna)) == limits.MAX_DELIVERY_TOKENS
