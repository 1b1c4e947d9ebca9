"""Chapter History archive, as a client does it: the level history. Its adapter tells the history key, for the kit computes."""

import os
from typing import Any, Final

import msgspec

from client.conformance.client_suite.cases.peer import with_peer
from client.conformance.client_suite.checks import now_ms
from client.conformance.client_suite.peer import Peer
from client.conformance.client_suite.peer_archive import key_id, open_entry, seal_entry, sealed_gift
from client.conformance.client_suite.peer_contents import TEXT, conversation
from client.conformance.client_suite.person import Person
from client.conformance.client_suite.setting import Setting
from client.conformance.client_suite.suite import CLIENT_SUITE
from client.conformance.report import Failed
from client.conformance.wire import from_base64, sha256, to_base64

_LOG: Final = "history"


async def _archived(setting: Setting) -> tuple[Peer, Person, bytes]:
    """Ann, who wrote with the peer and keeps it in the archive; the key."""
    peer, ann = await with_peer(setting)
    await ann.call("send", to="peer", text="the first word")
    await peer.read("the first word")
    peer.write("the second word")
    await peer.shown("the second word")
    return peer, ann, await _write(ann)


async def _write(ann: Person) -> bytes:
    key = from_base64(await ann.ask("archive"))
    if len(key) != 32:
        raise Failed(f"a history key has 32 B, got {len(key)}")
    return key


def _bodies(peer: Peer, key: bytes) -> list[tuple[bool, Any]]:
    """Of each message in the log, in order: whether the client wrote it, and its body. Raises Failed for what is odd."""
    log, found, before = peer.theirs.log(_LOG), [], b""
    account_id = peer.client.party.account_id
    for one in log.entries:
        entry = from_base64(one["entry"])
        told = open_entry(entry, key, account_id, one["index"])
        if before and told.previous_hash != sha256(before):
            raise Failed(f"entry {one['index']} of the archive does not name the hash of the one before")
        if told.device != peer.client.party.device_id:
            raise Failed("an entry of the archive names another device than the one that wrote it")
        before = entry
        for message in told.messages:
            partner = (message["conversation_id"], message["partner"])
            if partner != (conversation(account_id, peer.us.party.account_id), peer.us.party.account_id):
                raise Failed("a message in the archive names another conversation or partner")
            if message["content_type"] == TEXT:
                body = msgspec.msgpack.decode(message["body"])
                found.append((message["account"] == account_id, body[0]))
    return found


@CLIENT_SUITE.case("client-history-sealed", level="history")
async def sealed(setting: Setting) -> None:
    """What was said lies in the log `history` as the document seals it, for key, account and place alone, hashes in a row."""
    peer, ann, key = await _archived(setting)
    expected = [(True, "the first word"), (False, "the second word")]
    if (found := _bodies(peer, key)) != expected:
        raise Failed(f"expected {expected} in the archive, got {found}")
    peer.write("the third word")
    await peer.shown("the second word", "the third word")
    if await _write(ann) != key:
        raise Failed("expected the same history key as long as no device is out")
    if (found := _bodies(peer, key)) != [*expected, (False, "the third word")]:
        raise Failed(f"expected the third word in another entry of the archive, got {found}")


@CLIENT_SUITE.case("client-history-odd-entries", level="history", proves=("M-HIST-01",))
async def odd_entries(setting: Setting) -> None:
    """Of what another device wrote it shows what opens, and passes over a wrong commitment, another place, and damage."""
    peer, ann, key = await _archived(setting)
    log, account_id = peer.theirs.log(_LOG), peer.client.party.account_id

    def put(text: str, *, place: int = 0, damage: int = 0, commitment: bytes = b"") -> None:
        at_ms = now_ms()
        message = {
            "account": peer.us.party.account_id,
            "message_id": os.urandom(16),
            "conversation_id": conversation(account_id, peer.us.party.account_id),
            "partner": peer.us.party.account_id,
            "device": peer.us.party.device_id,
            "content_hash": sha256(text.encode()),
            "content_type": TEXT,
            "body": msgspec.msgpack.encode([text]),
            "sent_at_ms": at_ms,
            "received_at_ms": at_ms,
            "order_ms": at_ms,
        }
        device, before = os.urandom(16), sha256(from_base64(log.entries[-1]["entry"]))
        entry = bytearray(
            seal_entry(
                [message],
                key,
                account_id,
                log.end + place,
                device=device,
                previous_hash=before,
                commitment=commitment,
            )
        )
        if damage:
            entry[damage] ^= 1
        log.entries.append({"index": log.end, "entry": to_base64(bytes(entry)), "at_ms": at_ms})

    put("from another device")
    put("of a wrong commitment", commitment=bytes(32))
    put("for another place", place=1)
    put("damaged", damage=-1)
    put("from another device, too")
    await _write(ann)
    shown = await ann.texts()
    expected = ["the second word", "from another device", "from another device, too"]
    if shown != expected:
        raise Failed(f"expected {expected} after the archive was read, got {shown}")


@CLIENT_SUITE.case("client-history-keys-of-another", level="history", proves=("M-HIST-05",))
async def keys_of_another(setting: Setting) -> None:
    """A contact gives a key of the history archive, newer than the client's and well sealed to its device: it is not taken."""
    peer, ann, key = await _archived(setting)
    account_id, device, odd = peer.client.party.account_id, peer.client.party.device_id, os.urandom(32)
    sealed = sealed_gift(odd, now_ms() + 1, peer.sealing, account_id, peer.us.party.device_id, device)
    peer.give_keys([[device, peer.sealing.key_id, sealed]], key_id(odd, account_id))
    peer.write("the third word")
    await peer.shown("the second word", "the third word")
    if await _write(ann) != key:
        raise Failed("the client seals its archive under a key that a contact gave")
    expected = [(True, "the first word"), (False, "the second word"), (False, "the third word")]
    if (found := _bodies(peer, key)) != expected:
        raise Failed(f"expected {expected} in the archive, got {found}")
