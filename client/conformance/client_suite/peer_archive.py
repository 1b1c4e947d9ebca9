"""Entries of the history archive as the kit seals and opens them (docs/protocol.md, History archive)."""

import hmac
import os
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from client.conformance.report import Failed
from client.conformance.wire import transcript, u64

from .peer_blobs import padded_size
from .peer_keys import NO_SALT, derive, seal, seal_to, unseal
from .peer_setup import Key

_SUITE: Final = b"\x01"
_HEAD_BYTES: Final = 73
_MESSAGE: Final = 1
_MESSAGE_FIELDS: Final = (
    "account",
    "message_id",
    "conversation_id",
    "partner",
    "device",
    "content_hash",
    "content_type",
    "body",
    "sent_at_ms",
    "received_at_ms",
    "order_ms",
)


@dataclass(frozen=True)
class Archived:
    """The content of an entry. `messages`: its records of messages, a dict each."""

    previous_hash: bytes
    device: bytes
    messages: list[dict[str, Any]]


def _keys(key: bytes, account_id: bytes, index: int, salt: bytes) -> tuple[bytes, bytes, bytes]:
    """AES key, nonce, commitment."""
    derived = derive(salt, key, transcript("tokenim/v1 history entry", account_id, u64(index)), 76)
    return derived[:32], derived[32:44], derived[44:]


def _named(key: bytes, account_id: bytes) -> bytes:
    return _SUITE + derive(NO_SALT, key, transcript("tokenim/v1 history key id", account_id), 8)


def seal_entry(
    messages: list[dict[str, Any]],
    key: bytes,
    account_id: bytes,
    index: int,
    *,
    device: bytes,
    previous_hash: bytes = b"",
    commitment: bytes = b"",
) -> bytes:
    """An entry for this place of the log; another `commitment` makes what the document has refused."""
    records = [[_MESSAGE, *(one[name] for name in _MESSAGE_FIELDS)] for one in messages]
    written_at_ms = max((one["order_ms"] for one in messages), default=0)
    content = msgspec.msgpack.encode([1, previous_hash, 0, device, written_at_ms, records])
    salt = os.urandom(32)
    aes, nonce, committed = _keys(key, account_id, index, salt)
    head = _named(key, account_id) + salt + (commitment or committed)
    padded = len(content).to_bytes(4, "big") + content.ljust(padded_size(4 + len(content)) - 4, b"\0")
    return head + seal(aes, nonce, padded, head)


def key_id(key: bytes, account_id: bytes) -> bytes:
    """8 B by which entries name the key."""
    return _named(key, account_id)[1:]


def sealed_gift(
    key: bytes, made_at_ms: int, sealing: Key, account_id: bytes, giver: bytes, receiver: bytes
) -> bytes:
    """One key for a device of the account, sealed to its sealing key."""
    u32 = sealing.key_id.to_bytes(4, "big")
    content = key + u64(made_at_ms)
    padded = len(content).to_bytes(4, "big") + content.ljust(padded_size(4 + len(content)) - 4, b"\0")
    return seal_to(
        sealing.public, transcript("tokenim/v1 history gift", account_id, giver, receiver, u32), padded
    )


def open_entry(entry: bytes, key: bytes, account_id: bytes, index: int) -> Archived:
    """Raises Failed for anything that is not as the document says."""
    head, sealed = entry[:_HEAD_BYTES], entry[_HEAD_BYTES:]
    if head[:9] != _named(key, account_id):
        raise Failed("an entry of the archive begins with the suite and the id of the newest history key")
    aes, nonce, commitment = _keys(key, account_id, index, head[9:41])
    if not hmac.compare_digest(commitment, head[41:]):
        raise Failed(f"the commitment of entry {index} of the archive is not that of key, account and place")
    padded = unseal(aes, nonce, sealed, head)
    if padded is None:
        raise Failed(f"entry {index} of the archive does not open by the key that the adapter told")
    length = int.from_bytes(padded[:4], "big")
    if len(padded) != padded_size(4 + length) or any(padded[4 + length :]):
        raise Failed(f"entry {index} of the archive is not padded with zeros to the size of a blob")
    return _read(padded[4 : 4 + length])


def _read(content: bytes) -> Archived:
    try:
        fields = msgspec.msgpack.decode(content)
    except msgspec.DecodeError as error:
        raise Failed(
            f"the content of an entry of the archive is not one MessagePack value: {error}"
        ) from error
    shapes = [int, bytes, int, bytes, int, list]
    if not isinstance(fields, list) or [type(one) for one in fields[:6]] != shapes or fields[0] != 1:
        raise Failed(
            f"the content of an entry of the archive is version 1 and five fields, got {fields!r:.80}"
        )
    messages = []
    for record in fields[5]:
        if not isinstance(record, list) or not record:
            raise Failed("a record of the archive is an array that begins with its kind")
        if record[0] == _MESSAGE:
            messages.append(dict(zip(_MESSAGE_FIELDS, record[1:], strict=False)))
    if any(len(one) != len(_MESSAGE_FIELDS) for one in messages):
        raise Failed(f"the record of a message has {len(_MESSAGE_FIELDS)} fields after its kind")
    return Archived(fields[1], fields[3], messages)
