"""Two people with the real client talk through a real relay."""

import asyncio
import hashlib
from dataclasses import replace

import pytest

from client.client import Client
from client.errors import (
    AccountExists,
    NotSent,
    Refused,
    RelayKeyChanged,
    RelayUnreachable,
    Replaced,
    UnknownRecipient,
    UsageError,
)
from client.message import CaughtUp, Message, State, Warned
from client.system import this_machine
from relay.testing import open_test_relay
from relay.wire.links import parse_contact, parse_invite
from tests.chatting import machine_that_is_late, open_people, random_file, texts, waiting


async def test_a_message_its_answer_and_both_histories(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        sent = await alice.send("bob", "hello")
        assert (sent.state, sent.text, sent.outgoing) == (State.ACCEPTED, "hello", True)
        async for message in bob.messages(until_caught_up=True):
            assert (message.text, message.name, message.account) == ("hello", "alice", alice.whoami().account)
            assert message.id == sent.id
            await message.reply(f"you said {message.text}")
        (answer,) = await waiting(alice)
        assert (answer.text, answer.name) == ("you said hello", "bob")
        assert [one.text for one in await alice.history("bob")] == ["hello", "you said hello"]
        assert [one.text for one in await bob.history("alice")] == ["hello", "you said hello"]
        assert [one.outgoing for one in await bob.history("alice", limit=1)] == [True]
        assert {one.conversation for one in await alice.history("bob")} == {sent.conversation}


async def test_a_thousand_lines_to_somebody_who_was_away_come_once_and_in_order(tmp_path):
    lines = [f"line {number}" if number % 10 else "" for number in range(1_000)]
    counts: list[int] = []
    async with open_people(tmp_path, "alice", "bob") as people:
        async with people.client("alice") as alice:
            report = await alice.send_lines("bob", lines, on_accepted=counts.append)
            assert (report.accepted, report.refused) == (1_000, 0)
            assert counts[-1] == 1_000
            assert counts == sorted(counts)
        bob = await people.enter("bob")
        assert await texts(bob) == lines
        assert await texts(bob) == []
        # Answered once, the ratchet turns, and the next thousand go without the set-up around them.
        await bob.send("alice", "read it")
        alice = await people.enter("alice")
        assert await texts(alice) == ["read it"]
        await alice.send_lines("bob", lines)
        assert await texts(bob) == lines


async def test_lines_come_while_both_are_there(tmp_path):
    async def forever():
        for number in range(50):
            yield f"line {number}"
            await asyncio.sleep(0)

    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        sending = asyncio.create_task(alice.send_lines("bob", forever()))
        seen = []
        async for message in bob.messages():
            seen.append(message.text)
            if len(seen) == 50:
                break
        assert seen == [f"line {number}" for number in range(50)]
        assert (await sending).accepted == 50
        assert await texts(bob) == []  # the one at which the loop ended counts as given out


async def test_both_write_first_and_agree_on_one_session(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await asyncio.gather(alice.send("bob", "a1"), bob.send("alice", "b1"))
        assert await texts(bob) == ["a1"]
        assert await texts(alice) == ["b1"]
        for number in range(3):
            await alice.send("bob", f"a{number}")
            await bob.send("alice", f"b{number}")
        assert await texts(bob) == ["a0", "a1", "a2"]
        assert await texts(alice) == ["b0", "b1", "b2"]


async def test_a_file_comes_byte_for_byte_with_progress(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        picture = random_file(tmp_path, "picture.png", 9_000_000)
        steps: list[tuple[int, int]] = []
        sent = await alice.send("bob", file=picture, progress=lambda done, total: steps.append((done, total)))
        assert sent.file is not None
        assert steps[0][0] == 0
        assert steps[-1][0] == steps[-1][1] > 9_000_000
        (message,) = await waiting(bob)
        assert message.file is not None
        assert (message.type, message.file.name, message.file.media_type) == (
            "file",
            "picture.png",
            "image/png",
        )
        assert (message.file.path, message.file.size_bytes) == (None, 9_000_000)
        fetched = await message.fetch()
        assert fetched.file is not None
        assert fetched.file.path is not None
        assert fetched.file.path.read_bytes() == picture.read_bytes()
        assert fetched.file.sha256 == hashlib.sha256(picture.read_bytes()).hexdigest() == sent.file.sha256
        assert (await message.fetch()).file == fetched.file
        assert not list((tmp_path / "alice" / "spool").iterdir())


async def test_d4_the_same_file_twice_is_two_blobs_that_share_nothing(tmp_path):
    async with open_people(tmp_path, "alice", "bob", "carol") as people:
        alice = await people.enter("alice")
        page = tmp_path / "zeros.txt"
        page.write_bytes(bytes(200_000))
        await alice.send("bob", file=page)
        await alice.send("carol", file=page)
        blobs = [
            path.read_bytes()
            for path in people.world.relay.folder.rglob("*")
            if path.is_file() and path.stat().st_size > 200_000 and "blob" in str(path)
        ]
        assert len(blobs) == 2
        segments = [{blob[at : at + 64] for at in range(0, len(blob), 64)} for blob in blobs]
        assert not segments[0] & segments[1]
        assert all(
            len(set(blob)) == 256 for blob in blobs
        )  # 200,000 zeros did not become less than themselves


async def test_an_empty_file_and_a_strange_name(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        strange = tmp_path / "..%2f\u202eevil .sh"
        strange.write_bytes(b"")
        await alice.send("bob", file=strange)
        (message,) = await waiting(bob)
        fetched = await message.fetch()
        assert fetched.file is not None
        assert fetched.file.path is not None
        assert fetched.file.path.read_bytes() == b""
        assert fetched.file.path.name == "%2fevil .sh"
        assert (tmp_path / "bob" / "files") in fetched.file.path.parents


async def test_a_contact_link_reaches_who_has_no_handle(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        link = await people.world.relay.invite()
        await Client.register(people.home("quiet"), link)
        alice, quiet = await people.enter("alice"), await people.enter("quiet")
        reach = await quiet.contact_link()
        assert reach == await quiet.contact_link()
        assert parse_contact(reach).origin == people.world.relay.url
        await alice.send(reach, "found you")
        (message,) = await waiting(quiet)
        await message.reply("by the token in your message")
        (answer,) = await waiting(alice)
        assert answer.name == answer.account == quiet.whoami().account
        await alice.send(answer.account, "again")
        assert await texts(quiet) == ["again"]


async def test_both_see_the_same_safety_number(tmp_path):
    async with open_people(tmp_path, "alice", "bob", "carol") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        one, other = await alice.safety_number("bob"), await bob.safety_number("alice")
        assert one.digits == other.digits
        assert (len(one.digits), one.digits.isdigit(), one.name) == (60, True, "bob")
        assert (await alice.safety_number("carol")).digits != one.digits


async def test_who_cannot_be_sent_to(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        alice = await people.enter("alice")
        with pytest.raises(UnknownRecipient):
            await alice.send("nobody", "hello")
        with pytest.raises(UnknownRecipient):
            await alice.send("a" * 52, "hello")
        for to in (
            "alice",
            alice.whoami().account,
            "http://other.example/contact#v1.AAAA",
            "no such name",
            "",
        ):
            with pytest.raises(UsageError):
                await alice.send(to, "hello")
        with pytest.raises(UsageError):
            await alice.send("bob", "")
        with pytest.raises(UsageError):
            await alice.send("bob")
        with pytest.raises(UsageError):
            await alice.send("bob", file=tmp_path / "missing")
        with pytest.raises(UsageError):
            await alice.send("bob", "x" * 50_001)
        assert await alice.outbox_size() == 0


async def test_a_removed_token_makes_the_message_refused_not_lost(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        await alice.send("bob", "hello")
        bob = await people.enter("bob")
        account = parse_contact(await bob.contact_link()).account_id
        store = people.world.relay.services.store
        for token in await store.delivery_tokens.list(account):
            await store.delivery_tokens.remove(account, token.token_hash)
        with pytest.raises(NotSent, match="not_allowed"):
            await alice.send("bob", "are you there?")
        last = (await alice.history("bob"))[-1]
        assert (last.state, last.refusal) == (State.REFUSED, "not_allowed")


@pytest.mark.proves("M-AUTH-07")
async def test_a_clock_that_is_an_hour_off_is_shifted_for_signing_only(tmp_path):
    async with open_people(tmp_path, "bob") as people:
        await people.register("late", machine=machine_that_is_late(3_600_000))
        await people.register("early", machine=machine_that_is_late(-3_600_000))
        for name in ("late", "early"):
            client = await people.enter(name)
            sent = await client.send("bob", f"from {name}")
            assert abs(sent.sent_at_ms - people.machines[name].now_ms()) < 60_000
        bob = await people.enter("bob")
        assert await texts(bob) == ["from late", "from early"]


async def test_a_relay_that_is_down_costs_nothing(tmp_path):
    folder = tmp_path / "relay"
    async with open_test_relay(folder=folder, store="sqlite") as relay:
        where = relay.url.removeprefix("http://")
        await Client.register(tmp_path / "alice", relay.owner_invite, handle="alice")
        await Client.register(tmp_path / "bob", await relay.invite(), handle="bob")
    async with Client.open(tmp_path / "alice") as alice:
        with pytest.raises(
            RelayUnreachable,
            match=r"; 1 message waits in the outbox and goes out with the next call that reaches it$",
        ):
            await alice.send("bob", "one", patience_seconds=0.2)
        with pytest.raises(RelayUnreachable):
            await alice.send("bob", "two", patience_seconds=0.2)
        assert await alice.outbox_size() == 2
    async with (
        Client.open(tmp_path / "alice") as alice,
        open_test_relay(folder=folder, store="sqlite", listen=where),
    ):
        assert await alice.flush() == 2
        assert await alice.outbox_size() == 0
        async with Client.open(tmp_path / "bob") as bob:
            assert await texts(bob) == ["one", "two"]


async def test_a_listener_and_a_sender_outlive_a_restart_of_the_relay(tmp_path):
    folder = tmp_path / "relay"
    async with open_test_relay(folder=folder, store="sqlite") as relay:
        where = relay.url.removeprefix("http://")
        await Client.register(tmp_path / "alice", relay.owner_invite, handle="alice")
        await Client.register(tmp_path / "bob", await relay.invite(), handle="bob")
    fast = replace(this_machine(), sleep=lambda seconds: asyncio.sleep(min(seconds, 0.05)))
    async with (
        Client.open(tmp_path / "alice", system=fast) as alice,
        Client.open(tmp_path / "bob", system=fast) as bob,
    ):
        seen: list[str | None] = []
        something = asyncio.Event()

        async def listen():
            async for message in bob.messages():
                seen.append(message.text)
                something.set()
                if len(seen) == 300:
                    return

        listening = asyncio.create_task(listen())
        sending = asyncio.create_task(
            alice.send_lines("bob", [str(number) for number in range(300)], patience_seconds=30)
        )
        for _ in range(2):
            async with open_test_relay(folder=folder, store="sqlite", listen=where, drain_seconds=0.1):
                await something.wait()
            something.clear()
        async with open_test_relay(folder=folder, store="sqlite", listen=where):
            assert (await sending).accepted == 300
            await listening
    assert seen == [str(number) for number in range(300)]


async def test_the_newest_listener_has_the_mailbox(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, first, second = [await people.enter(name) for name in ("alice", "bob", "bob")]
        started = asyncio.Event()

        async def listen():
            async for event in first.events():
                if isinstance(event, CaughtUp):
                    started.set()

        listening = asyncio.create_task(listen())
        await started.wait()
        await alice.send("bob", "for whoever listens")
        seen = await texts(second)
        with pytest.raises(Replaced):
            await listening
        assert [one.text for one in await second.history("alice")] == ["for whoever listens"]
        assert seen in ([], ["for whoever listens"])


async def test_a_full_mailbox_is_told_and_the_message_goes_out_later(tmp_path):
    async with open_people(tmp_path, "alice", "bob", limits={"mailbox_envelopes": 3}) as people:
        alice = await people.enter("alice")
        await alice.send_lines("bob", ["1", "2", "3"])
        with pytest.raises(Refused, match="mailbox_full"):
            await alice.send("bob", "4")
        assert await alice.outbox_size() == 1
        bob = await people.enter("bob")
        seen: list[str | None] = []
        warned = []
        async for event in bob.events(until_caught_up=True):
            if isinstance(event, Message):
                seen.append(event.text)
            elif isinstance(event, Warned):
                warned.append(event.kind)
        assert seen == ["1", "2", "3"]
        async with people.client("alice") as again:
            assert await again.flush() == 1
        assert await texts(bob) == ["4"]


async def test_registering_is_said_no_to_in_one_line_each(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        invite = await people.world.relay.invite()
        with pytest.raises(AccountExists):
            await Client.register(people.home("alice"), invite, handle="alicia")
        with pytest.raises(UsageError):
            await Client.register(people.home("new"), "not a link")
        with pytest.raises(Refused, match="handle_taken"):
            await Client.register(people.home("new"), invite, handle="alice")
        wrong = replace(parse_invite(invite), secret=bytes(16))
        with pytest.raises(Refused, match="invite_invalid"):
            await Client.register(people.home("new"), str(wrong), handle="newcomer")
        other = replace(parse_invite(invite), signing_key=bytes(32))
        with pytest.raises(UsageError, match="begun"):
            await Client.register(people.home("new"), str(other), handle="newcomer")
        with pytest.raises(RelayKeyChanged):
            await Client.register(people.home("stranger"), str(other), handle="newcomer")
        # After all that the folder is good, and the invite is not spent.
        assert (await Client.register(people.home("new"), invite, handle="newcomer")).handle == "newcomer"


async def test_registering_again_after_a_cut_takes_the_same_account(tmp_path):
    async with open_people(tmp_path) as people:
        invite = await people.world.relay.invite()
        real = this_machine()
        calls = 0

        def random(size: int) -> bytes:
            nonlocal calls
            calls += size == 64  # the seeds of ML-KEM prekeys: the account is at the relay by then
            if calls == 10:
                raise ConnectionAbortedError
            return real.random(size)

        with pytest.raises(ConnectionAbortedError):
            await Client.register(
                people.home("alice"), invite, handle="alice", system=replace(real, random=random)
            )
        await Client.register(people.home("alice"), invite, handle="alice")
        await people.register("bob")
        bob, alice = await people.enter("bob"), await people.enter("alice")
        await bob.send("alice", "here you are")
        assert await texts(alice) == ["here you are"]
