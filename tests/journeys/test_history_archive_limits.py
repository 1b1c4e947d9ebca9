"""The history archive where room and time end: a full log, a month after a deletion, a process that dies while it reads."""

from pathlib import Path

import pytest

from client.archive import following
from client.client import Client
from client.contents import decode_text
from client.errors import Refused
from client.logs import append_account_log, read_account_log
from client.message import Warned
from client.system import System
from crypto.limits import DAY_MS
from relay.wire import limits
from tests.chatting import People, machine_that_is_late, open_people, texts
from tests.journeys.test_history_archive import WISHES, confirmed, events_of, log_of, restored

FULL = 4 * limits.MAX_LOG_ENTRY_BYTES


async def told(client: Client) -> list[str]:
    return [one.kind for one in await events_of(client) if isinstance(one, Warned)]


async def say(people: People, *said: str) -> None:
    """Bob writes to alice, and each text gets an entry of its own in her archive."""
    bob = await people.enter("bob")
    for text in said:
        async with people.client("alice") as alice:
            await bob.send("alice", text)
            assert await texts(alice) == [text]
            await alice.history_archive.turn_on()


async def fill(client: Client, log: str, bytes_left: int) -> None:
    """Let something else take the room that is left of the account's quota."""
    transport = client._account._transport
    used = FULL - bytes_left
    while True:
        page = await read_account_log(transport, log, 2**53)
        size = min(limits.MAX_LOG_ENTRY_BYTES, used)
        try:
            await append_account_log(transport, log, page.next_index, bytes(size))
        except Refused:  # by the quota: less fits
            used //= 2
            if used < bytes_left:
                return


async def test_a_full_log_loses_its_oldest_part_and_says_so(tmp_path):
    async with open_people(tmp_path, "alice", "bob", limits={"account_log_bytes": FULL}) as people:
        await say(people, "one", "two", "three")
        async with people.client("alice") as alice:
            await fill(alice, "other", 300)
        await say(people, "four", "five")
        async with people.client("alice") as alice:
            page = await log_of(alice)
            assert page.first_index > 0
            assert page.next_index == page.first_index + len(page.entries)
            assert (await alice.history_archive.status()).waiting == 0
            assert [one.text for one in await alice.history("bob")] == ["one", "two", "three", "four", "five"]
            assert "history_full" in await told(alice)


async def test_a_backup_goes_before_old_history(tmp_path):
    async with open_people(tmp_path, "alice", "bob", limits={"account_log_bytes": FULL}) as people:
        async with people.client("alice") as alice:
            words = await confirmed(alice)
            await alice.send("bob", "hello")
        await say(people, *(f"text {number}" for number in range(12)))
        async with people.client("alice") as alice:
            await fill(alice, "other", 300)
            before = await log_of(alice)
            assert await alice.recovery.back_up()
            assert (await log_of(alice)).first_index > before.first_index
            assert "history_full" in await told(alice)
        again = await restored(people, words, tmp_path / "again")
        assert [one.handle for one in await again.contacts()] == ["bob"]


async def test_without_any_history_to_give_up_the_user_hears_that_there_is_no_backup(tmp_path):
    async with (
        open_people(tmp_path, "alice", "bob", limits={"account_log_bytes": FULL}) as people,
        people.client("alice") as alice,
    ):
        await confirmed(alice)
        await fill(alice, "other", 300)
        await alice.send("bob", "somebody new")
        with pytest.raises(Refused) as refused:
            await alice.recovery.back_up()
        assert refused.value.reason == "quota_exceeded"
        assert "backup_no_room" in await told(alice)


def late(days: float) -> System:
    return machine_that_is_late(-round(days * DAY_MS))


async def test_what_was_deleted_goes_from_the_log_a_month_after_the_last_time(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        await say(people, "one", "wrong", "three")
        bob = await people.enter("bob")
        async with people.client("alice") as alice:
            await alice.history_archive.save()
            (_, wrong, _) = await alice.history("bob")
            (mine,) = [one for one in await bob.history("alice") if one.text == "wrong"]
            await bob.delete(mine.id)
            await events_of(alice)
            await alice.history_archive.save()
            held = await log_of(alice)
            assert await opened(alice, held.entries) >= {"wrong"}
        for days, is_gone in ((29, False), (31, True)):
            people.machines["alice"] = late(days)
            async with people.client("alice") as alice:
                await alice.history_archive.save()
                page = await log_of(alice)
                assert ("wrong" not in await opened(alice, page.entries)) is is_gone
                assert (page.first_index >= held.next_index) is is_gone
        async with people.client("alice") as alice:
            assert await opened(alice, page.entries) == {"one", "three"}
            assert [one.text for one in await alice.history("bob")] == ["one", None, "three"]
            assert wrong.id in {one.id for one in await alice.history("bob")}


async def opened(client: Client, entries) -> set[str]:
    """The texts that lie in these entries."""
    found: set[str] = set()
    for entry in entries:
        content = await client._account._database.read(lambda tx, one=entry: following._open(tx, one))
        assert content is not None
        found |= {decode_text(record.body) for record in content.records if getattr(record, "body", b"")}
    return found


class Crash(BaseException):
    """The process is killed."""


@pytest.mark.parametrize("dies_at", range(1, 5))
async def test_killed_while_the_archive_is_read_nothing_is_twice_or_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
):
    monkeypatch.setattr(following, "_AT_ONCE", 2)
    said = [f"text {number}" for number in range(7)]
    async with open_people(tmp_path, "alice", "bob") as people:
        bob = await people.enter("bob")
        async with people.client("alice") as alice:
            words = await confirmed(alice)
            for text in said:
                await bob.send("alice", text)
            assert await texts(alice) == said
            await alice.history_archive.turn_on()
            await alice.recovery.back_up()
        home = tmp_path / "again"
        await Client.restore(home, people.world.relay.url, words, WISHES)
        kept, count = following.take_records, 0

        def dying(*arguments):
            nonlocal count
            result = kept(*arguments)
            count += 1
            if count == dies_at:
                raise Crash
            return result

        monkeypatch.setattr(following, "take_records", dying)
        async with Client.open(home) as again:
            with pytest.raises(Crash):
                await again.history_archive.save()
        monkeypatch.setattr(following, "take_records", kept)
        async with Client.open(home) as anew:
            await events_of(anew)
            await anew.history_archive.save()
            assert [one.text for one in await anew.history("bob")] == said
            status = await anew.history_archive.status()
            assert (status.archived, status.waiting) == (len(said), 0)
