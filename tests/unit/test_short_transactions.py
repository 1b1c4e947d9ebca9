"""What a client does in its store at one stretch is bounded, so that nothing else waits long: counted, not timed."""

import asyncio
import os
import threading
from contextlib import asynccontextmanager
from hashlib import sha256
from itertools import pairwise
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from client.contents import FilePointer
from client.errors import FileDamaged, Refused
from client.groups import hand_outs, log_reader, rooms, state_blobs, welcomes
from client.mailbox_batch import SETUP_WEIGHT, WEIGHT_AT_ONCE, in_parts
from client.store.group_sending import given
from crypto.group_changes import ChangeSetting
from crypto.group_proposals import add
from crypto.group_rights import Role
from crypto.group_state import Setting
from relay.wire.frames import Deliver, EnvelopeClass, Missed, MissedReason
from tests.group_town import open_town
from tests.unit.test_client_group_broadcast import SETTINGS, drafted, encrypt, listeners


def delivered(sequence: int, kind: int) -> Deliver:
    return Deliver(sequence, os.urandom(16), 1, EnvelopeClass.DURABLE, bytes((kind,)) + bytes(255))


def test_a_mailbox_is_opened_in_parts_of_bounded_work_and_in_order():
    kinds = [2] * 300 + [1] * 40 + [3, 1, 2] * 60
    mail = [delivered(number, kind) for number, kind in enumerate(kinds, start=1)]
    mail.insert(5, Missed(2, 4, MissedReason.EXPIRED))
    parts = list(in_parts(mail))
    assert [frame for part in parts for frame in part] == mail

    def weight(part) -> int:
        setups = sum(isinstance(frame, Deliver) and frame.ciphertext[0] == 1 for frame in part)
        return len(part) + (SETUP_WEIGHT - 1) * setups

    assert max(map(weight, parts)) <= WEIGHT_AT_ONCE
    # No part could have been joined with the next one.
    assert all(weight([*part, following[0]]) > WEIGHT_AT_ONCE for part, following in pairwise(parts))
    assert list(in_parts([])) == []
    assert list(in_parts(mail[:1])) == [mail[:1]]


async def test_of_a_large_group_few_log_entries_are_read_in_one_transaction(tmp_path, monkeypatch):
    taken = []
    apply_entries = log_reader.apply_entries

    def count(tx, *, entries, **others):
        taken.append(len(entries))
        return apply_entries(tx, entries=entries, **others)

    monkeypatch.setattr(log_reader, "apply_entries", count)
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        for members_at_once, expected in ((100, [3]), (4, [2, 1]), (1, [1, 1, 1])):
            monkeypatch.setattr(log_reader, "MEMBERS_AT_ONCE", members_at_once)
            town.offline = {"bob"}
            for number in range(3):
                about = f"{members_at_once} {number}".encode()
                await alice.want(group, ChangeSetting(Setting("about", about)))
                await town.settle()
            town.offline = set()
            town.clock.ms += 60_000
            taken.clear()
            await bob.look(group)
            assert [count for count in taken if count] == expected
            assert (await bob.row(group)).view.state.setting("about") == about


async def test_who_has_the_chain_already_is_not_looked_at_again(tmp_path, monkeypatch):
    async with open_town(tmp_path, "alice") as (_, (alice,)):
        group = await alice.create(*SETTINGS)
        await alice.care.look()
        *most, last = await listeners(alice, group, 400)
        looked_at = []
        lacks = hand_outs._lacks
        monkeypatch.setattr(
            hand_outs,
            "_lacks",
            lambda tx, handed, one, own: looked_at.append(one) or lacks(tx, handed, one, own),
        )
        for joined, at_most in ((most, 1_000), ([last], 2)):  # the own account, and the new one
            await alice.want(group, *(add(one, 1, Role.LISTENER) for one in joined))
            await alice.care.look()
            await drafted(alice)
            looked_at.clear()
            await alice.say(group, "to all")
            for _ in range(4):
                await encrypt(alice, group)
                await drafted(alice)
            assert 0 < len(looked_at) <= at_most
        handed = await alice.do(lambda tx: given(tx, group))
        assert handed.keys() == set(most) | {last}


class Answering:
    """A transport that gives these bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @asynccontextmanager
    async def stream(self, method, target):
        reader = asyncio.StreamReader()
        reader.feed_data(self._content)
        reader.feed_eof()
        yield SimpleNamespace(content=Chunks(reader))


class Chunks:
    """As the content of an aiohttp response."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def iter_chunked(self, size: int):
        while chunk := await self._reader.read(size):
            yield chunk


async def test_what_takes_long_with_thousands_of_members_is_done_outside_the_event_loop(
    tmp_path, monkeypatch
):
    threads: dict[str, set[str]] = {}

    def watch(module, name: str) -> None:
        work = getattr(module, name)

        def noted(*arguments, **others):
            threads.setdefault(name, set()).add(threading.current_thread().name)
            return work(*arguments, **others)

        monkeypatch.setattr(module, name, noted)

    monkeypatch.setattr(hand_outs, "MAX_INLINE_STATE_BYTES", 10)
    for module, name in (
        (welcomes, "parse_state"),
        (state_blobs, "_seal"),
        (state_blobs, "_open"),
        (rooms, "show_group"),
    ):
        watch(module, name)
    sealed = []

    async def refuse(transport, upload):
        sealed.append((tmp_path / "spool" / upload.spool).read_bytes())
        raise Refused("quota_exceeded", "no room")

    monkeypatch.setattr(state_blobs, "create_upload", refuse)
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        person, view = alice.person, (await alice.row(group)).view
        groups = rooms.Groups(
            person.account,
            None,
            person.database,
            person.system,
            tmp_path,
            on_drafts=lambda: None,
            on_news=lambda: None,
        )
        assert len((await groups.info(group)).members) == 2
        with pytest.raises(Refused):
            await state_blobs.store_state(None, person.system, tmp_path / "spool", view)
        assert list((tmp_path / "spool").iterdir()) == []  # nor does a copy stay
        pointer = FilePointer(bytes(32), bytes(32), 1, sha256(sealed[0]).digest(), "state", "")
        with pytest.raises(FileDamaged):
            await state_blobs.fetch_state(
                Answering(sealed[0]), replace(pointer, size_bytes=len(view.state.encode()))
            )
    assert threads.keys() == {"parse_state", "_seal", "_open", "show_group"}
    assert threading.main_thread().name not in set().union(*threads.values())
