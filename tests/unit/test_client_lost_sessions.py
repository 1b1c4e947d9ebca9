"""Sessions that end: by a reset of the peer, which the user is shown, and by a device that left its list."""

from dataclasses import replace

from client.account import new_account
from client.message import Warned
from client.store.database import Transaction
from client.store.session_rows import all_sessions, save_sessions
from client.trust import adopt
from relay.wire.links import InviteLink, encode_id
from tests.client_pair import Person, bodies, open_pair, with_device

INVITE = InviteLink("http://relay.example", bytes(32), bytes(16))


async def answered_pair(alice: Person, bob: Person) -> None:
    """A session on which both have spoken."""
    await bob.receive(await alice.say(bob, "hello"))
    await alice.receive(await bob.say(alice, "hello to you"))


def own(person: Person) -> tuple[bytes, bytes]:
    return person.account.account_id, person.account.device_id


async def test_b12_b9_a_reset_is_shown_and_the_conversation_goes_on(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await answered_pair(alice, bob)
        assert await bob.warned() == []

        def lose(tx: Transaction) -> None:
            kept = all_sessions(tx, own(alice))[own(bob)]
            save_sessions(tx, own(alice), {own(bob): kept.without_sessions()}, alice.clock.now())

        await alice.database.run(lose)
        await bob.receive(await alice.say(bob, "anew", "and on"))
        told = [one for one in await bob.told() if isinstance(one, Warned)]
        assert [(one.kind, one.account) for one in told] == [("session_reset", encode_id(alice.id))]
        await alice.receive(await bob.say(alice, "welcome back"))
        assert await bob.texts(alice) == bodies("hello", "anew", "and on")
        assert await alice.texts(bob) == bodies("hello to you", "welcome back")


async def test_a_device_that_left_the_fetched_list_opens_nothing_any_more(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await answered_pair(alice, bob)
        (late,) = await bob.say(alice, "from a device that is removed")
        before = (await alice.database.read(lambda tx: all_sessions(tx, own(alice))))[own(bob)]
        joined = new_account(INVITE, "bob", now_ms=0, random=bob.system.random)
        removed = own(bob)
        with_device(bob, replace(joined, local=replace(joined.local, account_id=bob.id)), keep_first=False)
        chain = bob.account.own
        await alice.database.run(lambda tx: adopt(tx, alice.account, chain, alice.clock.now()))
        after = (await alice.database.read(lambda tx: all_sessions(tx, own(alice))))[removed]
        assert before.sessions()
        assert after.sessions() == ()
        assert after.highest_setup_number == before.highest_setup_number
        await alice.receive([late])
        assert await alice.texts(bob) == bodies("hello to you")
