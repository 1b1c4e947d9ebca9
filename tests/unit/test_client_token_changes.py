"""Own tokens that change, and those of others: what the store keeps of them."""

import hashlib
import os

import pytest

from client.store import facts, token_changes
from client.store.contact_rows import note_introduced, note_token_told
from client.store.peers import drop_token, find_peer, learn_token, note_sent
from tests.client_pair import DAY_MS, START_MS, Person, open_pair

LINK, CONTACT, PUBLIC = b"l" * 16, b"c" * 16, b"p" * 16


@pytest.mark.parametrize("token_class", ["contact", "link", "public"])
async def test_a_token_changes_again_and_again_whatever_is_noted_to_be_shared(tmp_path, token_class: str):
    async with open_pair(tmp_path) as (alice, _):
        seen = set()
        for _ in range(3):
            await alice.database.run(lambda tx: token_changes.begin_change(tx, token_class, os.urandom))
            changes = await alice.database.read(token_changes.next_tokens)
            await alice.database.run(lambda tx: token_changes.begin_change(tx, token_class, os.urandom))
            assert await alice.database.read(token_changes.next_tokens) == changes, "one change at a time"
            ((_, token),) = changes
            await alice.database.run(
                lambda tx, token=token: token_changes.take_over(tx, token_class, token, None, START_MS)
            )
            assert await alice.database.read(token_changes.next_tokens) == []
            assert await alice.database.read(lambda tx: facts.known_token(tx, token_class)) == token
            seen.add(token)
        assert len(seen) == 3
        retired = {one.token_hash for one in await alice.database.read(token_changes.retired_tokens)}
        current = hashlib.sha256(token).digest()
        assert {hashlib.sha256(one).digest() for one in seen} - {current} <= retired
        assert current not in retired


async def test_another_own_device_s_token_is_taken_over_whatever_is_noted_to_be_shared(tmp_path):
    async with open_pair(tmp_path) as (alice, _):
        for token in (LINK, CONTACT):
            await alice.database.run(lambda tx, token=token: facts.put_token(tx, "contact", token))
            assert await alice.database.read(lambda tx: facts.known_token(tx, "contact")) == token


async def known(alice: Person, bob: Person) -> tuple[bytes | None, str | None]:
    peer = await alice.database.read(lambda tx: find_peer(tx, bob.id))
    assert peer is not None
    return peer.token, peer.token_class


async def test_a_token_that_is_no_good_gives_way_to_the_best_that_is_left(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        for token, token_class in ((PUBLIC, "public"), (CONTACT, "contact"), (LINK, "link")):
            await alice.database.run(lambda tx, t=token, c=token_class: learn_token(tx, bob.id, t, c))
        assert await known(alice, bob) == (CONTACT, "contact")
        assert not await alice.database.run(lambda tx: drop_token(tx, bob.id, b"x" * 16))
        assert await known(alice, bob) == (CONTACT, "contact")
        for dropped, left in ((CONTACT, (LINK, "link")), (LINK, (PUBLIC, "public")), (PUBLIC, (None, None))):
            assert await alice.database.run(lambda tx, t=dropped: drop_token(tx, bob.id, t))
            assert await known(alice, bob) == left
        await alice.database.run(lambda tx: learn_token(tx, bob.id, PUBLIC, "public"))
        assert await known(alice, bob) == (PUBLIC, "public")


async def test_who_introduces_themselves_anew_is_told_the_own_token_once_a_day(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):

        async def is_to_tell(now_ms: int) -> bool:
            await alice.database.run(lambda tx: note_introduced(tx, bob.id, now_ms))
            peer = await alice.database.read(lambda tx: find_peer(tx, bob.id))
            return peer is not None and peer.tell_token

        assert not await is_to_tell(START_MS), "nothing was ever sent to them: the first content tells anyhow"
        await alice.database.run(lambda tx: note_sent(tx, bob.id, START_MS, by_user=True))
        assert await is_to_tell(START_MS)
        await alice.database.run(lambda tx: note_token_told(tx, bob.id, START_MS))
        assert not await is_to_tell(START_MS + DAY_MS - 1)
        assert await is_to_tell(START_MS + DAY_MS + 1)
