"""The small parts of the client, each alone: contents, names, waits, file names."""

import asyncio
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from client.connection import run_together
from client.contents import (
    EMPTY_BODY,
    BackupHeads,
    Content,
    FilePointer,
    Introduction,
    Text,
    decode_content,
    decode_file,
    decode_text,
    direct_conversation,
    encode_body,
    encode_content,
)
from client.deliveries import Deliveries
from client.errors import ClientError, DistributorUnreachable, NotSent, RelayUnreachable, UsageError
from client.media import safe_name, seal_file
from client.message import CaughtUp, Gap, Message, Missed, SharedFile, State, Unopened, Warned
from client.recipients import parse_recipient
from client.reconnect import LONGEST_WAIT_SECONDS, Backoff
from client.system import this_machine
from client.times import iso_time
from crypto.blob_cipher import ciphertext_length, open_blob
from crypto.errors import InvalidEncoding
from relay.wire.links import ContactLink, encode_id

CONTENT = Content(1, bytes(32), bytes(16), 1, b"", 1_000, 0, None, msgspec.Raw(encode_body(Text("hello"))))


def test_a_content_survives_its_encoding():
    for content in (
        CONTENT,
        msgspec.structs.replace(CONTENT, introduction=Introduction(bytes(16), "alice")),
        msgspec.structs.replace(CONTENT, counter=7, previous_hash=bytes(32), expires_after_seconds=60),
        msgspec.structs.replace(CONTENT, type=0, body=msgspec.Raw(EMPTY_BODY)),
    ):
        again = decode_content(encode_content(content))
        assert bytes(again.body) == bytes(content.body)
        assert msgspec.structs.replace(again, body=content.body) == content
    assert decode_text(bytes(CONTENT.body)) == "hello"


def test_fields_after_the_last_one_are_for_the_future():
    fields = msgspec.msgpack.decode(encode_content(CONTENT))
    assert decode_content(msgspec.msgpack.encode([*fields, b"", None, {"new": 1}])).message_id == bytes(16)


def test_heads_of_backups_stand_after_the_gossip_which_is_empty_if_there_is_none():
    heads = BackupHeads(bytes(201), b"")
    fields = msgspec.msgpack.decode(encode_content(msgspec.structs.replace(CONTENT, backups=heads)))
    assert fields[9:] == [b"", [bytes(201), b""]]
    assert decode_content(msgspec.msgpack.encode(fields)).backups == heads
    with pytest.raises(InvalidEncoding):
        decode_content(msgspec.msgpack.encode([*fields[:10], [bytes(202), b""]]))


def test_gossip_stands_after_the_body_and_is_left_out_if_there_is_none():
    with_gossip = msgspec.structs.replace(CONTENT, gossip=b"g" * 80)
    fields = msgspec.msgpack.decode(encode_content(with_gossip))
    assert fields[9:] == [b"g" * 80]
    assert fields[:9] == msgspec.msgpack.decode(encode_content(CONTENT))
    assert decode_content(encode_content(with_gossip)) == with_gossip
    with pytest.raises(InvalidEncoding):
        decode_content(encode_content(msgspec.structs.replace(CONTENT, gossip=bytes(513))))


@pytest.mark.parametrize(
    ("index", "value"),
    [(0, -1), (0, 65_536), (1, bytes(31)), (2, bytes(17)), (3, 0), (4, bytes(31)), (4, bytes(32)), (5, -1), (6, -1),
     (7, [bytes(15), ""]), (7, [bytes(16), "x" * 33])],
)  # fmt: skip
def test_a_content_that_is_not_shaped_as_said_is_refused(index, value):
    fields = msgspec.msgpack.decode(encode_content(CONTENT))
    fields[index] = value
    with pytest.raises(InvalidEncoding):
        decode_content(msgspec.msgpack.encode(fields))


def test_bodies_are_checked_by_their_type():
    pointer = FilePointer(bytes(32), bytes(32), 5, bytes(32), "a.png", "image/png")
    assert decode_file(encode_body(pointer)) == pointer
    for wrong in (replace_pointer(pointer, size_bytes=-1), replace_pointer(pointer, key=bytes(31))):
        with pytest.raises(InvalidEncoding):
            decode_file(encode_body(wrong))
    with pytest.raises(InvalidEncoding):
        decode_text(encode_body(pointer))
    with pytest.raises(InvalidEncoding):
        decode_text(b"\xc1")


def replace_pointer(pointer: FilePointer, **fields) -> FilePointer:
    return msgspec.structs.replace(pointer, **fields)


def test_secrets_in_contents_have_no_voice():
    assert "\\x07" not in repr(Introduction(b"\x07" * 16, "alice"))
    assert "\\x07" not in repr(FilePointer(bytes(32), b"\x07" * 32, 5, bytes(32), "a", "b"))


def test_both_sides_compute_one_conversation():
    one, other, third = bytes(32), b"\x01" * 32, b"\x02" * 32
    assert direct_conversation(one, other) == direct_conversation(other, one)
    assert direct_conversation(one, other) != direct_conversation(one, third)


def test_what_a_recipient_may_be():
    assert parse_recipient(" Bob ") == "bob"
    assert parse_recipient("@bob.builder-2") == "bob.builder-2"
    assert parse_recipient(encode_id(bytes(32))) == bytes(32)
    link = ContactLink("http://relay.example", bytes(32), bytes(16))
    assert parse_recipient(str(link)) == link
    for wrong in (
        "",
        "b",
        "-bob",
        "bob bob",
        "b" * 33,
        "bób",
        str(link)[:-1],
        "https://relay.example/invite#v1.AA",
    ):
        with pytest.raises(UsageError):
            parse_recipient(wrong)


def test_waits_double_to_a_bound_with_jitter_and_begin_anew():
    low, high = Backoff(bytes), Backoff(lambda n: b"\xff" * n)
    lows = [low.next_seconds() for _ in range(10)]
    highs = [high.next_seconds() for _ in range(10)]
    assert lows[:4] == [0.125, 0.25, 0.5, 1.0]
    assert all(a < b < 2 * a + 0.001 for a, b in zip(lows, highs, strict=True))
    assert max(highs) <= LONGEST_WAIT_SECONDS
    assert low.next_seconds(at_least_seconds=99) == 99
    low.reset()
    assert low.next_seconds() == 0.125


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a.png", "a.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\x.dll", "x.dll"),
        (".bashrc", "bashrc"),
        ("..", "file"),
        ("", "file"),
        ("a\x1b[2Jb\n.txt", "a[2Jb.txt"),
        ("x" * 300 + ".txt", "x" * 196 + ".txt"),
        ("照片.jpg", "照片.jpg"),
    ],
)
def test_a_file_name_stays_in_its_folder(given, kept):
    assert safe_name(given) == kept


def test_a_file_is_sealed_under_a_key_of_its_own(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"hello" * 50_000)
    one = seal_file(path, tmp_path / "1", this_machine().random)
    other = seal_file(path, tmp_path / "2", this_machine().random)
    assert one.pointer.key != other.pointer.key
    assert one.spool.read_bytes() != other.spool.read_bytes()
    assert one.spool.stat().st_mode & 0o077 == 0
    assert one.length == one.spool.stat().st_size == ciphertext_length(250_000)
    assert b"".join(open_blob(one.pointer.key, 250_000, [one.spool.read_bytes()])) == path.read_bytes()
    for missing in (tmp_path / "missing", tmp_path):
        with pytest.raises(UsageError):
            seal_file(missing, tmp_path / "3", this_machine().random)
        assert not (tmp_path / "3").exists()


def test_every_shown_thing_is_one_json_object():
    message = Message("m", "c", "a", "alice", "text", 0, 1, False, State.RECEIVED, text="hi")
    assert (
        message.as_json() | {"from": "alice", "text": "hi", "sent_at": "1970-01-01T00:00:00.000Z"}
        == message.as_json()
    )
    file = SharedFile("a.png", "image/png", 3, Path("/x/a.png"), "ab")
    assert replace(message, text=None, file=file).as_json()["file"] == {
        "name": "a.png", "media_type": "image/png", "size": 3, "path": "/x/a.png", "sha256": "ab"
    }  # fmt: skip
    for event in (
        CaughtUp(),
        Missed(1, "expired"),
        Gap("c", "a", "alice", 2),
        Unopened("x"),
        Warned("k", "d"),
    ):
        assert event.as_json()["type"] in {"caught_up", "missed", "gap", "unopened", "warning"}
    assert iso_time(1_500) == "1970-01-01T00:00:01.500Z"


async def test_a_message_of_no_open_client_says_so():
    message = Message("m", "c", "a", "alice", "text", 0, 1, False, State.RECEIVED, text="hi")
    with pytest.raises(RuntimeError):
        await message.reply("x")
    with pytest.raises(RuntimeError):
        await message.fetch()


async def test_the_first_direction_that_ends_ends_both_and_its_error_is_raised_as_it_is():
    stopped = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def fails() -> None:
        raise RelayUnreachable("gone")

    with pytest.raises(RelayUnreachable, match="gone"):
        await run_together(forever(), fails())
    assert stopped.is_set()


async def nothing() -> None:
    """No other process did anything."""


async def test_a_caller_waits_until_all_is_decided_or_its_patience_ends():
    now = 0.0
    deliveries = Deliveries(replace(this_machine(), monotonic_seconds=lambda: now))
    waiter = deliveries.watch([1, 2, 3])
    deliveries.accepted([1, 9])
    deliveries.failed([2], NotSent("no"))
    deliveries.failed([9], NotSent("of another"))
    assert (waiter.accepted, waiter.refused, waiter.left) == (1, 1, {3})
    assert isinstance(waiter.error, NotSent)
    await waiter.until(1, 5.0, nothing)
    deliveries.lost(RelayUnreachable("down"))
    waiting = asyncio.create_task(waiter.until(0, 5.0, nothing))
    await asyncio.sleep(0)
    assert not waiting.done()
    now = 4.9
    deliveries.lost(RelayUnreachable("down still"))
    await asyncio.sleep(0)
    assert not waiting.done()
    now = 5.0
    deliveries.lost(RelayUnreachable("down still"))
    with pytest.raises(
        RelayUnreachable, match=r"^down still; 1 message waits in the outbox and goes out with the next call"
    ):
        await waiting
    deliveries.found()
    deliveries.accepted([3])
    await waiter.until(0, 0.0, nothing)
    deliveries.forget(waiter)
    deliveries.accepted([3])
    assert waiter.accepted == 2


async def test_a_worker_that_breaks_fails_its_waiters():
    deliveries = Deliveries(this_machine())
    waiter = deliveries.watch([1])

    async def broken() -> None:
        raise ClientError("a defect")

    worker = asyncio.create_task(broken())
    worker.add_done_callback(deliveries.worker_ended)
    with pytest.raises(ClientError, match="a defect"):
        await waiter.until(0, 60.0, nothing)


def test_each_error_has_a_code_of_its_own_and_an_exit_status():
    found: list[type[ClientError]] = [ClientError]
    for error in found:
        found.extend(error.__subclasses__())
    assert len({error.code for error in found}) == len(found)
    assert {error.exit_status for error in found} == {1, 2, 3}
    assert [error for error in found if error.exit_status == 3] == [RelayUnreachable, DistributorUnreachable]
