"""Prekeys, tokens and devices of real clients on a real relay: stocked, rotated, joined, replayed."""

import asyncio
import hashlib
import os
from dataclasses import replace

import pytest

from client.client import Client
from client.connection import open_connection
from client.errors import NotSent, Refused, StoreError
from client.message import Message, Unopened, Warned
from client.prekey_care import tend_prekeys
from client.store import facts, queue
from client.store.database import Database
from client.store.key_file import load_key
from client.store.prekey_rows import load_prekeys
from client.system import Step, System, this_machine
from client.transport import Transport
from crypto.prekeys import KeyClass, KeyKind
from relay.ports.mailboxes import StoredEnvelope
from relay.wire.frames import Accepted, EnvelopeClass, Grant, Outcome, Submit, Target
from relay.wire.links import ContactLink, parse_contact
from relay.wire.resources import PrekeyStockAnswer
from tests.chatting import People, open_people, texts, waiting
from tests.own_devices import account_of, add_device

DAY_MS = 86_400_000


async def prekeys_of(people: People, name: str):
    home = people.home(name)
    async with Database(home, load_key(home, None)) as database:
        return await database.read(load_prekeys)


async def stock(transport: Transport) -> dict[int, int]:
    answered = await transport.ask("GET", "/v1/prekeys", signed=True)
    return {row.kind: row.one_time_left for row in answered.read(PrekeyStockAnswer).stock}


async def test_a_device_that_joins_gets_what_is_sent_from_then_on(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await alice.send("bob", "before")
        assert await texts(bob) == ["before"]
        second_home = tmp_path / "bob's second"
        await add_device(people, "bob", second_home)
        # Alice does not know of it: the relay says that she is behind, she fetches the list and sends it there too.
        sent = await alice.send("bob", "after")
        assert await alice.outbox_size() == 0
        await alice.send("bob", "and on")
        assert await texts(bob) == ["after", "and on"]
        async with Client.open(second_home) as second:
            events = [event async for event in second.events(until_caught_up=True)]
            messages = [event for event in events if isinstance(event, Message)]
            assert [one.text for one in messages] == ["after", "and on"]
            assert messages[0].id == sent.id
            assert not [event for event in events if isinstance(event, Unopened)]


async def test_a_newcomer_that_knows_of_the_second_device_is_no_alarm_for_the_first(tmp_path):
    async with open_people(tmp_path, "bob", "carol") as people:
        await add_device(people, "bob", tmp_path / "bob's second")
        carol, bob = await people.enter("carol"), await people.enter("bob")
        await carol.send("bob", "to both of you")
        events = [event async for event in bob.events(until_caught_up=True)]
        assert [event.text for event in events if isinstance(event, Message)] == ["to both of you"]
        assert not [event for event in events if isinstance(event, Unopened | Warned)]


async def test_what_waited_for_more_than_7_days_goes_out_under_another_id(tmp_path):
    class Crash(BaseException):
        pass

    def crash(step: Step) -> None:
        if step is Step.ENCRYPTION_COMMITTED:
            raise Crash

    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await alice.send("bob", "hello")
        (hello,) = await waiting(bob)
        await hello.reply("hello to you")
        await texts(alice)
        async with Client.open(people.home("alice"), system=replace(this_machine(), reached=crash)) as dying:
            with pytest.raises(Crash):
                await dying.send("bob", "a long way")
        database = alice._account._database
        (before,) = await database.read(lambda tx: queue.outgoing_after(tx, 0, 10))
        ids: list[bytes] = []
        append = people.world.relay.services.store.mailboxes.append

        async def noted(submissions, *, now_ms):
            ids.extend(submission.envelope_id for submission in submissions)
            return await append(submissions, now_ms=now_ms)

        people.world.relay.services.store.mailboxes.append = noted
        async with Client.open(people.home("alice"), system=machine_at(8)) as later:
            assert await later.flush() == 1
        # Receipts of the clients that stay open go past here too, when they please.
        assert ids
        assert before.envelope_id not in ids
        assert await texts(bob) == ["a long way"]


async def test_a4_an_envelope_that_the_relay_gives_again_under_another_id_shows_nothing(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        await alice.send("bob", "once")
        bob = await account_of(people, "bob")
        store = people.world.relay.services.store.mailboxes
        page = await store.read(
            bob.device_id, after=0, max_envelopes=10, max_bytes=1 << 20, now_ms=this_machine().now_ms()
        )
        (waiting_one,) = page.items
        assert isinstance(waiting_one, StoredEnvelope)
        async with people.client("bob") as client:
            link = parse_contact(await client.contact_link())
        async with (
            Transport(bob.origin, this_machine()) as transport,
            open_connection(transport, None) as connection,
        ):
            for number in range(3):
                submit = Submit(
                    number,
                    os.urandom(16),
                    EnvelopeClass.DURABLE,
                    False,
                    60,
                    (waiting_one.ciphertext,),
                    (Target(bob.device_id, 0, 0),),
                    (Grant(bob.account_id, link.token, 1),),
                )
                await connection.send([submit])
                assert await connection.receive() == (Accepted(number, (Outcome.STORED,)),)
        for shown in (["once"], []):  # and again after a restart of the client
            async with people.client("bob") as client:
                events = [event async for event in client.events(until_caught_up=True)]
                assert [event.text for event in events if isinstance(event, Message)] == shown
                assert not [event for event in events if isinstance(event, Unopened)]
        async with Database(people.home("bob"), load_key(people.home("bob"), None)) as database:
            assert await database.read(lambda tx: facts.number(tx, facts.REPEATS)) == 3


async def test_prekeys_are_stocked_at_registration_and_filled_up_when_they_run_low(tmp_path):
    async with open_people(tmp_path, "alice", "bob", has_full_stock=True) as people:
        bob = await account_of(people, "bob")
        async with Transport(bob.origin, this_machine(), bob) as transport:
            assert await stock(transport) == {
                KeyKind.SIGNED: 0,
                KeyKind.KEM: 100,
                KeyKind.ONE_TIME: 100,
                KeyKind.SEALING: 0,
            }
            alice = await people.enter("alice")
            await alice.send("bob", "takes one of each")
            assert (await stock(transport))[KeyKind.KEM] == 99
            home = people.home("bob")
            async with Database(home, load_key(home, None)) as database:
                await tend_prekeys(transport, database, bob, this_machine())
            assert (await stock(transport))[KeyKind.KEM] == (await stock(transport))[KeyKind.ONE_TIME] == 100
        # The key that is under way was kept: the message opens.
        client = await people.enter("bob")
        assert await texts(client) == ["takes one of each"]
        kinds = [
            key.kind for key in (await prekeys_of(people, "bob")).keys if key.key_class is KeyClass.ONE_TIME
        ]
        assert kinds.count(KeyKind.KEM) == kinds.count(KeyKind.ONE_TIME) == 100


def machine_at(days: float) -> System:
    """This machine, so many days later."""
    real = this_machine()
    return replace(real, now_ms=lambda: real.now_ms() + round(days * DAY_MS))


async def test_a3_rotating_keys_are_replaced_within_7_days_and_the_old_ones_kept_for_45(tmp_path):
    async with open_people(tmp_path, "bob") as people:
        bob = await account_of(people, "bob")
        home = people.home("bob")
        newest: dict[int, set[int]] = {}
        async with Database(home, load_key(home, None)) as database:
            for day in range(70):
                machine = machine_at(day)
                people.world.clock.jump(seconds=86_400 if day else 0)
                await database.run(
                    lambda tx, m=machine: facts.set_number(tx, facts.CAUGHT_UP_AT_MS, m.now_ms())
                )
                async with Transport(bob.origin, machine, bob) as transport:
                    await tend_prekeys(transport, database, bob, machine)
                prekeys = await database.read(load_prekeys)
                for kind in (KeyKind.SIGNED, KeyKind.SEALING):
                    keys = [key for key in prekeys.keys if key.kind is kind]
                    assert all(key.uploaded for key in keys)
                    young = max(key.made_at_ms for key in keys)
                    assert machine.now_ms() - young < 7 * DAY_MS
                    retired = [key.retired_at_ms for key in keys if key.retired_at_ms is not None]
                    assert all(machine.now_ms() - at < 46 * DAY_MS for at in retired)
                    newest.setdefault(kind, set()).add(max(key.key_id for key in keys))
        assert all(len(ids) >= 10 for ids in newest.values())


async def test_an_upload_of_prekeys_that_was_cut_is_repeated_with_the_same_keys(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        bob = await account_of(people, "bob")
        home = people.home("bob")
        alice = await people.enter("alice")
        await alice.send("bob", "takes keys")

        class Cut(Transport):
            """The relay takes the keys, its answer is lost."""

            async def ask(self, method, target, **options):
                answered = await super().ask(method, target, **options)
                if method == "POST":
                    raise ConnectionAbortedError
                return answered

        async with Database(home, load_key(home, None)) as database:
            async with Cut(bob.origin, this_machine(), bob) as transport:
                with pytest.raises(ConnectionAbortedError):
                    await tend_prekeys(transport, database, bob, this_machine())
            made = await database.read(load_prekeys)
            assert not all(key.uploaded for key in made.keys)
            async with Transport(bob.origin, this_machine(), bob) as transport:
                await tend_prekeys(transport, database, bob, this_machine())
            again = await database.read(load_prekeys)
            assert [key.key_id for key in again.keys] == [key.key_id for key in made.keys]
            assert all(key.uploaded for key in again.keys)


async def test_a_token_that_is_no_good_any_more_gives_way_to_a_new_link(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await alice.send("bob", "hello")
        (hello,) = await waiting(bob)
        await hello.reply("hello to you")  # Alice has a token of the highest class now
        assert await texts(alice) == ["hello to you"]
        link = await bob.contact_link()
        known = parse_contact(link)
        services = people.world.relay.services
        for token in await services.reach.list_tokens(known.account_id):
            if token.token_hash != hashlib.sha256(known.token).digest():
                await services.store.delivery_tokens.remove(known.account_id, token.token_hash)
        services.reach.forget(known.account_id)
        with pytest.raises(NotSent, match="not_allowed"):
            await alice.send("bob", "by a token that is gone")
        await alice.send(link, "by the link")
        assert await texts(bob) == ["by the link"]


async def test_an_account_that_published_no_keys_is_tried_again_later(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        device = await people.world.member()
        token = os.urandom(16)
        assert (await device.add_token(token, "link")).status == 204
        alice = await people.enter("alice")
        link = str(ContactLink(people.world.relay.url, device.account_id, token))
        with pytest.raises(Refused, match="no_prekeys"):
            await alice.send(link, "too early")
        assert await alice.outbox_size() == 1


async def test_two_programs_use_one_folder_at_once(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        bob = await people.enter("bob")
        one, other = await people.enter("alice"), await people.enter("alice")
        await one.send("bob", "hello")
        await bob.send("alice", "hello to you")
        assert await texts(one) == ["hello to you"]
        received: list[str | None] = []

        async def listen() -> None:
            async for message in one.messages():
                received.append(message.text)
                if len(received) == 50:
                    return

        await asyncio.gather(
            one.send_lines("bob", [f"one {number}" for number in range(100)]),
            other.send_lines("bob", [f"other {number}" for number in range(100)]),
            bob.send_lines("alice", [f"bob {number}" for number in range(50)]),
            listen(),
        )
        assert received == [f"bob {number}" for number in range(50)]
        events = [event async for event in bob.events(until_caught_up=True)]
        seen = [event.text for event in events if isinstance(event, Message)]
        assert [text for text in seen if text and text.startswith("one")] == [f"one {n}" for n in range(100)]
        assert [text for text in seen if text and text.startswith("other")] == [
            f"other {n}" for n in range(100)
        ]
        assert len(seen) == 201
        assert not [event for event in events if isinstance(event, Unopened | Warned)]
        await one.flush()  # a receipt of what came may have been written as the listening ended
        assert await one.outbox_size() == await other.outbox_size() == 0


async def test_a_store_that_fails_is_told_and_the_next_send_works(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        await alice.send("bob", "hello")
        database = alice._account._database
        pages = (await database.read(lambda tx: tx.one("PRAGMA page_count")))[0]
        await database.run(lambda tx: tx.run(f"PRAGMA max_page_count = {pages}"))
        with pytest.raises(StoreError, match="full"):
            await alice.send("bob", "x" * 40_000)
        await database.run(lambda tx: tx.run("PRAGMA max_page_count = 1000000"))
        await alice.send("bob", "there is room again")
        bob = await people.enter("bob")
        assert (await texts(bob))[-1] == "there is room again"
