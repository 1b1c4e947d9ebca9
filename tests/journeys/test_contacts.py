"""Contact requests, accepting and blocking, with real clients on a real relay."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from client.client import Client
from client.contacts import Contact, Standing
from client.errors import NotSent, Refused, UsageError
from client.message import Warned
from client.store import facts, token_changes
from client.store.database import Database
from client.store.key_file import load_key
from client.store.peers import Peer, find_peer
from client.system import Step
from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.wire.links import decode_id
from tests.chatting import People, machine_that_is_late, open_people, random_file, texts, waiting
from tests.warm.commands import program

WEEK_SECONDS = 7 * 86_400
SOON_SECONDS = 20.0


async def befriend(people: People, one: str, *others: str) -> None:
    """They have written to each other, so each has the other's contact token."""
    for other in others:
        async with people.client(one) as first, people.client(other) as second:
            await first.send(other, f"hello {other}")
            await waiting(second)
            await second.send(one, f"hello {one}")
            await waiting(first)


def account_id(client: Client) -> bytes:
    return decode_id(client.whoami().account, 32)


async def relay_tokens(people: People, client: Client) -> list[DeliveryToken]:
    """What the relay knows of this account's tokens."""
    return list(await people.world.relay.services.store.delivery_tokens.list(account_id(client)))


async def mailbox_ever(people: People, client: Client) -> int:
    """How many envelopes the relay ever stored for this device."""
    device_id = decode_id(client.whoami().device, 16)
    state = await people.world.relay.services.store.mailboxes.state(device_id)
    return state.next_sequence - 1


async def standing(client: Client, name: str) -> Standing | None:
    found = [one.standing for one in await client.contacts() if one.name == name]
    return found[0] if found else None


async def kept(home: Path, other: bytes) -> tuple[bytes | None, Peer | None]:
    """The own contact token, and the other account, as the store of this folder has them."""
    async with Database(home, load_key(home, None)) as database:
        return await database.read(lambda tx: (facts.known_token(tx, "contact"), find_peer(tx, other)))


@pytest.mark.proves("M-REACH-04")
async def test_c1_nothing_goes_back_to_a_stranger_by_itself(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        async with people.client("alice") as alice:
            await alice.send_lines("bob", [str(number) for number in range(120)])
            await alice.send("bob", file=random_file(tmp_path, "picture", 10_000))
        async with people.client("bob") as bob:
            came = await waiting(bob)
            assert len(came) == 121
            assert all(message.contact_request for message in came)
            await came[-1].fetch()
            assert await bob.outbox_size() == 0
        alice = await people.enter("alice")
        assert await mailbox_ever(people, alice) == 0
        bob = await people.enter("bob")
        await bob.accept("alice")
        assert await mailbox_ever(people, alice) == 1
        assert await waiting(alice) == [], "what accepts a request is no message"


async def test_a_request_is_shown_as_one_until_it_is_accepted(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await alice.send("bob", "may I?")
        (request,) = await waiting(bob)
        assert (request.contact_request, request.as_json()["contact_request"]) == (True, True)
        assert await standing(bob, "alice") is Standing.REQUEST
        assert await standing(alice, "bob") is Standing.ACCEPTED
        accepted = await bob.accept("alice")
        assert (accepted.standing, accepted.account) == (Standing.ACCEPTED, alice.whoami().account)
        assert await waiting(alice) == []
        await alice.send("bob", "thank you")
        (message,) = await waiting(bob)
        assert not message.contact_request
        assert [one.contact_request for one in await bob.history("alice")] == [False, False]


async def test_c1_a_stranger_has_a_small_budget_until_accepted(tmp_path):
    limits = {"stranger_burst": 3, "stranger_mailbox_percent": 15, "public_work_bits": 8}
    async with open_people(tmp_path, "alice", "bob", limits=limits) as people:
        async with people.client("alice") as alice:
            for number in range(3):
                await alice.send("bob", str(number))
            with pytest.raises(Refused) as refused:
                await alice.send("bob", "3")
            assert refused.value.reason == "budget_spent"
            assert await alice.outbox_size() == 1
        bob = await people.enter("bob")
        assert await texts(bob) == ["0", "1", "2"]
        await bob.accept("alice")
        alice = await people.enter("alice")
        assert await waiting(alice) == []
        await alice.send_lines("bob", [str(number) for number in range(4, 30)])
        assert await texts(bob) == [str(number) for number in range(3, 30)]


async def test_accepting_somebody_who_has_not_written_lets_them_in(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await bob.accept("alice")
        assert await waiting(alice) == []
        assert await standing(alice, "bob") is None, "nothing was written yet"
        await alice.send("bob", "I am in")
        (message,) = await waiting(bob)
        assert not message.contact_request


async def test_c7_blocking_cuts_one_contact_only(tmp_path):
    async with open_people(tmp_path, "bob", "carla", "dan") as people:
        link = await people.world.relay.invite()
        await Client.register(people.home("alice"), link)  # not in the directory
        async with people.client("alice") as alice:
            for name in ("bob", "carla", "dan"):
                await alice.send(name, "hello")
                async with people.client(name) as other:
                    (hello,) = await waiting(other)
                    await hello.reply("hello")
                await waiting(alice)
            me = alice.whoami().account
            before = await relay_tokens(people, alice)
            blocked = await alice.block("bob")
            assert blocked.standing is Standing.BLOCKED
            tokens = await relay_tokens(people, alice)
            new = [one for one in tokens if one.token_hash not in {old.token_hash for old in before}]
            assert [(one.token_class, one.expires_at_ms) for one in new] == [(TokenClass.CONTACT, None)]
            (old,) = [one for one in tokens if one.token_hash == before[0].token_hash]
            assert old.expires_at_ms is not None
            assert abs(old.expires_at_ms - people.world.clock.now_ms() - WEEK_SECONDS * 1_000) < 60_000
            with pytest.raises(UsageError, match="blocked"):
                await alice.send("bob", "no")

        async with people.client("bob") as bob:
            assert await waiting(bob) == []
            await bob.send(me, "are you there?")  # the old token is still good
        async with people.client("dan") as dan:
            await dan.send(me, "dan has not looked yet")
        async with people.client("carla") as carla:
            assert await waiting(carla) == [], "the new token is no message"
        async with people.client("alice") as alice:
            assert await texts(alice) == ["dan has not looked yet"]
            assert [one.dropped for one in await alice.contacts() if one.standing is Standing.BLOCKED] == [1]
            assert [one.text for one in await alice.history("bob")] == ["hello", "hello"]

        people.world.clock.let_pass(seconds=WEEK_SECONDS + 60)
        for name in ("alice", "bob", "carla", "dan"):
            people.machines[name] = machine_that_is_late(-WEEK_SECONDS * 1_000 - 60_000)
        async with people.client("bob") as bob:
            with pytest.raises(NotSent, match="not_allowed"):
                await bob.send(me, "and now?")
        async with people.client("carla") as carla:
            await carla.send(me, "carla has the new one")
        dan = await people.enter("dan")
        listening = asyncio.ensure_future(waiting(dan))
        await dan.send(me, "dan finds it in the mailbox first")
        assert await listening == []
        alice = await people.enter("alice")
        assert await texts(alice) == ["carla has the new one", "dan finds it in the mailbox first"]


async def test_what_was_encrypted_before_a_token_changed_goes_out_by_the_new_one(tmp_path):
    async with open_people(tmp_path, "alice", "bob", "carla") as people:
        await befriend(people, "alice", "bob", "carla")
        where = people.world.relay.services
        async with people.client("carla") as carla:
            where.connections.stopping = True  # takes no submits: what carla writes is finished and waits
            with pytest.raises((Refused, Exception)):
                await carla.send("alice", "written before", patience_seconds=0.1)
            where.connections.stopping = False
        async with people.client("alice") as alice:
            await alice.block("bob")
            (old,) = [one for one in await relay_tokens(people, alice) if one.expires_at_ms is not None]
            await where.store.delivery_tokens.remove(account_id(alice), old.token_hash)
            where.reach.forget(account_id(alice))
        carla = await people.enter("carla")
        seen = [event async for event in carla.events(until_caught_up=True)]
        await carla.flush()
        assert not [event for event in seen if isinstance(event, Warned)], "no other way had to be found"
        alice = await people.enter("alice")
        assert await texts(alice) == ["written before"]


async def test_a_contact_who_missed_the_change_is_let_in_by_the_directory_and_told_anew(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        await befriend(people, "alice", "bob")
        alice, bob = await people.enter("alice"), await people.enter("bob")
        services = people.world.relay.services
        for token in await relay_tokens(people, alice):
            if token.token_class is TokenClass.CONTACT:
                await services.store.delivery_tokens.remove(account_id(alice), token.token_hash)
        services.reach.forget(account_id(alice))
        # Alice has another one, which never reached Bob.
        home = people.home("alice")
        async with Database(home, load_key(home, None)) as database:
            await database.run(lambda tx: token_changes.begin_change(tx, "contact", os.urandom))
            token = (await database.read(token_changes.next_tokens))[0][1]
            await database.run(lambda tx: token_changes.take_over(tx, "contact", token, None, 0))
        await services.store.delivery_tokens.add(
            account_id(alice),
            DeliveryToken(hashlib.sha256(token).digest(), TokenClass.CONTACT),
            now_ms=people.world.clock.now_ms(),
        )
        services.reach.forget(account_id(alice))

        assert (await bob.send("alice", "by the directory")).state.value == "accepted"
        told = [event async for event in bob.events(until_caught_up=True)]
        assert [event.kind for event in told if isinstance(event, Warned)] == ["token_lost"]
        (message,) = await waiting(alice)
        assert not message.contact_request
        _, peer = await kept(people.home("bob"), account_id(alice))
        assert peer is not None
        assert peer.token_class == "public"
        async with Database(home, load_key(home, None)) as database:
            # A day went by since they introduced themselves to each other.
            await database.run(lambda tx: tx.run("UPDATE peers SET token_told_at_ms = 0"))
        await bob.send("alice", "still by the directory")
        await waiting(alice)
        await message.reply("this way again")
        await waiting(bob)
        _, peer = await kept(people.home("bob"), account_id(alice))
        assert peer is not None
        assert (peer.token_class, peer.token) == ("contact", token)


async def test_a_blocked_stranger_costs_the_contacts_nothing(tmp_path):
    async with open_people(tmp_path, "alice", "bob", "carla") as people:
        await befriend(people, "alice", "carla")
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await bob.send("alice", "spam")
        await waiting(alice)
        before = await relay_tokens(people, alice)
        await alice.block("bob")
        assert await relay_tokens(people, alice) == before, "bob never had the contact token"
        await bob.send("alice", "more spam")
        assert await waiting(alice) == []
        assert await standing(alice, "bob") is Standing.BLOCKED

        with pytest.raises(UsageError, match="blocked"):
            await alice.send("bob", "by the directory, since she never looked him up")

        await alice.unblock("bob")
        await bob.send("alice", "sorry")
        (sorry,) = await waiting(alice)
        assert (sorry.text, sorry.contact_request) == ("sorry", True)
        shown = [one.text for one in await alice.history("bob") if not one.outgoing]
        assert shown == ["spam", "sorry"]


async def test_new_links_put_an_end_to_the_old_ones(tmp_path):
    async with open_people(tmp_path, "alice", "bob", "carla") as people:
        alice, bob, carla = [await people.enter(name) for name in ("alice", "bob", "carla")]
        old_link = await alice.contact_link()
        await bob.send(old_link, "spam")
        await waiting(alice)
        await alice.block("bob", new_links=True)
        new_link = await alice.contact_link()
        assert new_link != old_link
        with pytest.raises((NotSent, Refused)):
            await carla.send(old_link, "by the old link")
        await carla.send(new_link, "by the new link")
        assert await texts(alice) == ["by the new link"]
        await bob.send("alice", "by the directory")
        assert await waiting(alice) == []
        assert [one.dropped for one in await alice.contacts() if one.standing is Standing.BLOCKED] == [1]


# kill -9.

STEPS = (Step.REACH_BEGUN, Step.REACH_REGISTERED, Step.REACH_TOLD, Step.REACH_ENDED, Step.SUBMITTED)


async def command(home: Path, *arguments: str, kill_at: str | None = None) -> int:
    environment = {**os.environ, **({"TOKENIM_KILL_AT": kill_at} if kill_at else {})}
    process = await asyncio.create_subprocess_exec(
        *program("tokenim"),
        "--home",
        str(home),
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


@pytest.mark.parametrize("step", STEPS)
async def test_c7_a_block_that_is_killed_at_any_step_is_carried_through(tmp_path, step: Step):
    async with open_people(tmp_path, "alice", "bob", "carla") as people:
        await befriend(people, "alice", "bob", "carla")
        async with people.client("alice") as alice:
            me, before = account_id(alice), await relay_tokens(people, alice)
        assert await command(people.home("alice"), "contact", "block", "bob", kill_at=f"{step}:1") == -9

        async def finished() -> bool:
            tokens = await relay_tokens(people, alice)
            ended = {one.token_hash for one in tokens if one.expires_at_ms is not None}
            old = {one.token_hash for one in before if one.token_class is TokenClass.CONTACT}
            return ended == old and not await alice.outbox_size()

        async with people.client("alice") as alice:
            listening = asyncio.ensure_future(_forever(alice))
            async with asyncio.timeout(SOON_SECONDS):
                while not await finished():  # noqa: ASYNC110  # the relay's store tells nobody
                    await asyncio.sleep(0.02)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            tokens = await relay_tokens(people, alice)
        live = [one for one in tokens if one.expires_at_ms is None and one.token_class is TokenClass.CONTACT]
        own, _ = await kept(people.home("alice"), me)
        assert own is not None
        assert [one.token_hash for one in live] == [hashlib.sha256(own).digest()]
        async with people.client("carla") as carla, people.client("bob") as bob:
            assert await waiting(carla) == await waiting(bob) == []
        assert (await kept(people.home("carla"), me))[1].token == own
        assert (await kept(people.home("bob"), me))[1].token != own


async def _forever(client: Client) -> None:
    async for _ in client.events():
        pass


# No anonymous submits.


async def test_clients_talk_where_submits_are_signed_and_learn_when_that_changes(tmp_path):
    async with open_people(tmp_path, "alice", "bob", anonymous_submit=False) as people:
        await befriend(people, "alice", "bob")
        alice, bob = await people.enter("alice"), await people.enter("bob")
        mailboxes = people.world.relay.services.mailboxes
        for anonymous in (True, False):
            people.world.relay.services.settings.__dict__["anonymous_submit"] = anonymous
            mailboxes._anonymous_submit = anonymous
            await alice.send("bob", f"anonymous: {anonymous}")
            assert await texts(bob) == [f"anonymous: {anonymous}"]
            sessions = people.world.relay.services.connections.sessions()
            assert any(session.signer is None for session in sessions) is anonymous


async def test_a_relay_that_asks_for_more_work_gets_it(tmp_path):
    async with open_people(tmp_path, "alice", "bob", limits={"public_work_bits": 2}) as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        services = people.world.relay.services
        await alice.send("bob", "two bits")
        services.mailboxes._strangers._work_bits = 9
        services.settings.limits.__dict__["public_work_bits"] = 9
        await alice.send_lines("bob", ["nine bits", "each"])
        first, *others = await texts(bob)
        # One in 128 proofs of two bits is one of nine: that message goes before the other, which is worked for anew.
        assert (first, sorted(others)) == ("two bits", ["each", "nine bits"])


def test_a_contact_as_an_object():
    contact = Contact("a" * 52, "bob", None, Standing.BLOCKED, 3)
    assert contact.as_json() == {
        "type": "contact",
        "account": "a" * 52,
        "name": "bob",
        "handle": None,
        "standing": "blocked",
        "dropped": 3,
    }
