"""Writes contents.json: contents with every byte shown. `python -m tests.vectors.generate_contents`."""

import json
from pathlib import Path
from typing import Any

import msgspec

from client.act_bodies import DeleteBody, EditBody, ReactionBody, ReceiptBody, ReceiptEntry
from client.contents import (
    EMPTY_BODY,
    BackupHeads,
    Content,
    ContentType,
    FilePointer,
    Introduction,
    Reference,
    Text,
    content_hash,
    decode_content,
    direct_conversation,
    encode_body,
    encode_content,
)
from client.passing_contents import PresenceBody, TypingBody
from client.resends import ResendBody
from crypto.errors import CryptoError
from crypto.message_references import MessageFacts
from tests.vectors import content_bodies
from tests.vectors.content_bodies import TIME_MS, seed

FILE = Path(__file__).with_name("contents.json")


def failure_of(encoded: bytes) -> str:
    """The kind of failure of what must not be taken."""
    try:
        decode_content(encoded)
    except CryptoError as error:
        return type(error).__name__
    raise AssertionError("it was taken")


def acts_on(name: Reference) -> list[tuple[str, ContentType, bytes, None]]:
    """An answer, and each act, on a message of this name."""
    entries = [ReceiptEntry(name.message_id, name.reference)]
    return [
        ("answer", ContentType.TEXT, encode_body(Text("yes", name)), None),
        ("reaction", ContentType.REACTION, encode_body(ReactionBody(name, "👍")), None),
        ("reaction that is taken back", ContentType.REACTION, encode_body(ReactionBody(name, "")), None),
        ("edit", ContentType.EDIT, encode_body(EditBody(name, "hello, all")), None),
        ("delete", ContentType.DELETE, encode_body(DeleteBody(name)), None),
        ("receipt", ContentType.RECEIPT, encode_body(ReceiptBody(name.account, entries, entries)), None),
    ]


def other_signals(conversation: bytes) -> list[tuple[str, ContentType, bytes, None]]:
    """What asks for missing contents and says that some are gone; and what passes, which is not counted."""
    resend = ResendBody(seed("device", 16), conversation, [2, 3], [])
    gone = ResendBody(seed("device", 16), conversation, [], [2])
    return [
        ("request for missing contents", ContentType.RESEND, encode_body(resend), None),
        ("what cannot be given again", ContentType.RESEND, encode_body(gone), None),
        ("typing", ContentType.TYPING, encode_body(TypingBody(conversation, True)), None),
        ("presence", ContentType.PRESENCE, encode_body(PresenceBody(False)), None),
    ]


def made() -> dict[str, Any]:
    """The whole file."""
    one, other = seed("an account"), seed("another account")
    conversation = direct_conversation(one, other)
    bodies = [
        (
            "text with an introduction",
            ContentType.TEXT,
            encode_body(Text("hello")),
            Introduction(seed("t", 16), "alice"),
        ),
        ("empty text", ContentType.TEXT, encode_body(Text("")), None),
        (
            "file",
            ContentType.FILE,
            encode_body(
                FilePointer(seed("blob"), seed("key"), 1_500_000, seed("sha"), "照片.png", "image/png")
            ),
            None,
        ),
        ("nothing to show", ContentType.EMPTY, EMPTY_BODY, None),
        ("what goes along: gossip and the heads of backups", ContentType.TEXT, encode_body(Text("hi")), None),
        ("a type of the future", 4_711, msgspec.msgpack.encode(["what", 1]), None),
    ]
    told = dict(content_bodies.gossip(one, other))
    contents = []
    previous, counted = b"", 0
    for number, (name, content_type, body, introduction) in enumerate(bodies, 1):
        passes = content_type in (ContentType.TYPING, ContentType.PRESENCE)
        counted += not passes
        counter = 0 if passes else counted
        goes_along = name.startswith("what goes along")
        gossip = b"gossip" if goes_along else told.get(name, b"")
        content = Content(
            type=content_type,
            conversation_id=conversation,
            message_id=seed(name, 16),
            counter=counter,
            previous_hash=b"" if passes else previous,
            sent_at_ms=TIME_MS + number,
            expires_after_seconds=0,
            introduction=introduction,
            body=msgspec.Raw(body),
            gossip=gossip,
            backups=BackupHeads(bytes(201), b"") if goes_along else None,
        )
        encoded = encode_content(content)
        contents.append(
            {
                "about": name,
                "type": int(content_type),
                "message_id": content.message_id.hex(),
                "counter": counter,
                "previous_hash": content.previous_hash.hex(),
                "sent_at_ms": content.sent_at_ms,
                "token": introduction.token.hex() if introduction else None,
                "handle": introduction.handle if introduction else None,
                "body": body.hex(),
                "encoded": encoded.hex(),
                "hash": content_hash(encoded).hex(),
            }
        )
        previous = previous if passes else content_hash(encoded)
        if number == 1:
            target = MessageFacts(conversation, one, seed("device", 16), content.message_id, previous)
            bodies += acts_on(Reference(one, content.message_id, target.reference()))
            bodies += other_signals(conversation)
            further = [
                *((name, ContentType.TEXT, encode_body(Text(name))) for name in told),
                *content_bodies.of_own_devices(other, encoded),
                *content_bodies.of_contacts(one),
                *content_bodies.of_groups(one),
            ]
            bodies += ((*each, None) for each in further)
    fields = msgspec.msgpack.decode(bytes.fromhex(contents[1]["encoded"]))
    wrong = {
        "a second content without a predecessor": [*fields[:4], b"", *fields[5:]],
        "a first content with a predecessor": [*fields[:3], 1, *fields[4:]],
        "a conversation id of 31 bytes": [fields[0], bytes(31), *fields[2:]],
        "not counted, with a predecessor": [*fields[:3], 0, *fields[4:]],
        "not counted, though it came by the mailbox": [*fields[:3], 0, b"", *fields[5:]],
        "a field is missing": fields[:8],
        "the head of a backup of 202 bytes": [*fields, b"", [bytes(202), b""]],
    }
    return {
        "accounts": [one.hex(), other.hex()],
        "conversation_id": conversation.hex(),
        "reference_of_the_first": {
            "account": one.hex(),
            "device": seed("device", 16).hex(),
            "reference": target.reference().hex(),
        },
        "contents": contents,
        "must_fail": [
            {"about": about, "encoded": encoded.hex(), "error": failure_of(encoded)}
            for about, encoded in ((about, msgspec.msgpack.encode(fields)) for about, fields in wrong.items())
        ],
        "bodies_that_must_fail": content_bodies.must_fail(),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(made(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
