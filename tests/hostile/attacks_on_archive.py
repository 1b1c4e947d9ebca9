"""A relay that lies about the history archive: to who comes back with the words, and to a device that has read it before."""

import os
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from client import Client
from client.archive.following import LOG_NAME
from client.logs import account_log_entries
from client.recovery.restoring import RestoreWishes
from client.store.archive_rows import oldest_due_ms
from client.store.database import Transaction
from client.transport import Transport
from crypto.errors import CryptoError
from crypto.history_archive import HistoryKey, open_entry
from relay.wire.frames import Deliver, RelayFrame
from relay.wire.links import encode_bytes
from tests.hostile.attacks import Guard, attack, nothing
from tests.hostile.attacks_on_answers import YEAR_3000_MS
from tests.hostile.attacks_on_backups import confirms
from tests.hostile.attacks_on_device_lists import account_of
from tests.hostile.middleman import Exchange, Line
from tests.hostile.stage import Person, Stage

ARCHIVE = f"/v1/logs/{LOG_NAME}"
SAID = ("one", "two", "three")
_PLACES = 8


def _opens_anywhere(entry: bytes, keys: Iterable[HistoryKey], account: bytes, _index: int) -> bytes:
    """An entry opens wherever it stands."""
    for place in range(_PLACES):
        try:
            return open_entry(entry, keys, account, place)
        except CryptoError:
            continue
    return open_entry(entry, keys, account, _PLACES)


NO_GAPS_IN_THE_ARCHIVE = Guard("client.archive.following._tell_gap", nothing)
IN_ANY_PLACE = Guard("client.archive.following.open_entry", _opens_anywhere)
NOTHING_IS_TOLD_OF_IT = Guard("client.archive.following._tell", nothing)


async def _entries_of(stage: Stage, person: Person) -> list[bytes]:
    """As they lie at the relay."""
    account = await account_of(person)
    async with Transport(stage.relay.origin, person.system, account) as transport:
        return [one.entry async for one in account_log_entries(transport, LOG_NAME)]


async def _archived(stage: Stage) -> tuple[Person, Person, str]:
    """Bob, to whom alice wrote three texts, each in an entry of its own; alice; and bob's words."""
    bob, alice = await stage.people("bob", "alice")
    words = await confirms(bob)
    for text in SAID:
        await alice.says(bob, text)
        await bob.listens()
        async with bob.client() as client:
            await client.history_archive.turn_on()
    async with bob.client() as client:
        await client.recovery.back_up()
    return bob, alice, words


def _gives(stage: Stage, entries: Iterable[bytes], *, first_index: int = 0, missing: int = -1) -> None:
    """From now on the archive's log is these entries, the first of them at `first_index`; `missing` is left out of pages."""
    log = dict(enumerate(entries, first_index))
    end = first_index + len(log)

    def answer(exchange: Exchange) -> None:
        begin = int(exchange.target.partition("?from=")[2])
        page = [
            {"index": index, "entry": encode_bytes(entry), "at_ms": 1}
            for index, entry in log.items()
            if index >= begin and index != missing
        ]
        exchange.json = {"entries": page, "next_index": end, "first_index": first_index}

    stage.relay.changes_answers("GET", ARCHIVE, answer)


async def _comes_back(stage: Stage, words: str, told: str) -> Person:
    """Bob on a new phone, with nothing but the words, until this is told."""
    new = stage.stranger("bob's new phone")
    restored = await Client.restore(
        new.home, stage.relay.origin, words, RestoreWishes("new phone"), system=new.system
    )
    new.is_(restored.identity)
    async with new.online() as live:
        await live.is_told(told, within_seconds=10)
    return new


@attack(NO_GAPS_IN_THE_ARCHIVE)
async def trims_the_history_archive(stage: Stage) -> None:
    """takes the oldest entries of the history archive away before somebody comes back with the words"""
    bob, alice, words = await _archived(stage)
    _gives(stage, (await _entries_of(stage, bob))[1:], first_index=1)
    new = await _comes_back(stage, words, "history_gap")
    stage.tells(new, "history_gap")
    stage.holds(await new.history(alice) == ["two", "three"], "what is there comes back")


@attack(IN_ANY_PLACE, NO_GAPS_IN_THE_ARCHIVE, NOTHING_IS_TOLD_OF_IT)
async def reorders_the_history_archive(stage: Stage) -> None:
    """exchanges two entries of the history archive"""
    bob, _, words = await _archived(stage)
    first, second, third = await _entries_of(stage, bob)
    _gives(stage, [second, first, third])
    new = await _comes_back(stage, words, "history_refused")
    stage.tells(new, "history_refused")


@attack(IN_ANY_PLACE, NO_GAPS_IN_THE_ARCHIVE, NOTHING_IS_TOLD_OF_IT)
async def repeats_entries_of_the_history_archive(stage: Stage) -> None:
    """gives the first entry of the history archive once more as the newest one"""
    bob, alice, words = await _archived(stage)
    entries = await _entries_of(stage, bob)
    _gives(stage, [*entries, entries[0]])
    new = await _comes_back(stage, words, "history_refused")
    stage.tells(new, "history_refused")
    stage.holds(await new.history(alice) == list(SAID), "nothing comes back twice")


@attack(NOTHING_IS_TOLD_OF_IT)
async def invents_entries_of_the_history_archive(stage: Stage) -> None:
    """puts an entry of its own into the history archive, in the place of one that it keeps back"""
    bob, alice, words = await _archived(stage)
    first, _, third = await _entries_of(stage, bob)
    _gives(stage, [first, b"\x01" + os.urandom(600), third])
    new = await _comes_back(stage, words, "history_refused")
    stage.tells(new, "history_refused")
    stage.holds(await new.history(alice) == ["one", "three"], "what is there comes back")


@attack(NOTHING_IS_TOLD_OF_IT)
async def gives_the_history_archive_of_another_account(stage: Stage) -> None:
    """gives the entries of another account's archive"""
    _, alice, words = await _archived(stage)
    mallory, _, _ = await _archived(stage)
    _gives(stage, await _entries_of(stage, mallory))
    new = await _comes_back(stage, words, "history_refused")
    stage.tells(new, "history_refused")
    stage.holds(await new.history(alice) == [], "nothing of another account comes")


@attack(Guard("client.archive.history_archive.tell_misbehaviour", nothing))
async def leaves_an_entry_of_the_history_archive_out(stage: Stage) -> None:
    """leaves an entry in the middle of the history archive out"""
    bob, _, words = await _archived(stage)
    _gives(stage, await _entries_of(stage, bob), missing=1)
    new = await _comes_back(stage, words, "history_gap")
    stage.tells(new, "history_gap")


@attack(NO_GAPS_IN_THE_ARCHIVE)
async def gives_an_older_history_archive(stage: Stage) -> None:
    """gives a device the history archive as it was before the last entries, which that device has read"""
    bob, _, _ = await _archived(stage)
    _gives(stage, (await _entries_of(stage, bob))[:1])
    async with bob.online() as live:
        await live.is_told("history_gap", within_seconds=10)
    stage.tells(bob, "history_gap")


@attack(
    cannot="who has nothing but the words cannot know of newer entries; the time of the newest message is told"
)
async def cuts_the_end_of_the_history_archive_off(stage: Stage) -> None:
    """keeps the newest entries of the history archive from somebody who comes back with the words"""
    bob, alice, words = await _archived(stage)
    _gives(stage, (await _entries_of(stage, bob))[:2])
    new = await _comes_back(stage, words, "history_restored")
    stage.tells(new, "history_restored")
    stage.holds(await new.history(alice) == ["one", "two"], "what is there comes back")


def _whenever_it_came(tx: Transaction, floor: int, limit: int, now_ms: int) -> int | None:
    """The relay's time of a message is believed, also if it is to come."""
    return oldest_due_ms(tx, floor, limit, max(now_ms, YEAR_3000_MS))


@attack(Guard("client.archive.writing.oldest_due_ms", _whenever_it_came))
async def lies_about_the_time_to_the_history_archive(stage: Stage) -> None:
    """says that messages come in the year 3000, so that they would wait until then for the history archive"""
    bob, alice = await stage.people("bob", "alice")
    words = await confirms(bob)
    async with bob.client() as client:
        await client.history_archive.turn_on()

    def in_the_year_3000(line: Line, frames: Sequence[RelayFrame]) -> Iterable[RelayFrame]:
        for frame in frames:
            yield replace(frame, received_at_ms=YEAR_3000_MS) if isinstance(frame, Deliver) else frame

    stage.relay.changes_frames(in_the_year_3000)
    for text in SAID:
        await alice.says(bob, text)
    await bob.listens()
    async with bob.client() as client:
        await client.history_archive.save()
        archive = await client.history_archive.status()
        await client.recovery.back_up()
    stage.holds((archive.archived, archive.waiting) == (len(SAID), 0), "every message is in the archive")
    stage.relay.stops()
    new = await _comes_back(stage, words, "history_restored")
    stage.holds(await new.history(alice) == list(SAID), "what was said comes back")
