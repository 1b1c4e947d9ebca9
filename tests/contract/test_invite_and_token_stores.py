"""The promises of the invite and delivery token ports, on every adapter."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.ports.invites import Invite
from relay.ports.store import Store
from relay.wire import limits
from relay.wire.errors import Conflict, InviteInvalid, NotFound, QuotaExceeded
from tests.contract.people import NOW_MS, bytes_of, new_account

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
