"""The exact bytes that are signed; docs/protocol.md, "Transcripts".

Layout: purpose label (ends in a zero byte) ‖ suite byte ‖ each field as u32 big-endian length ‖ bytes; an absent one
has length 0. A transcript is built, never parsed back, except a manifest's.
"""

import hashlib
from typing import Final

from . import limits
from .errors import Malformed

MANIFEST_LABEL: Final = b"tokenim/v1 manifest\x00"
DEVICE_LABEL: Final = b"tokenim/v1 device\x00"
PREKEY_LABEL: Final = b"tokenim/v1 prekey\x00"
HTTP_REQUEST_LABEL: Final = b"tokenim/v1 http-request\x00"
WEBSOCKET_LABEL: Final = b"tokenim/v1 websocket\x00"
RELAY_DOCUMENT_LABEL: Final = b"tokenim/v1 relay-document\x00"
LOG_APPEND_LABEL: Final = b"tokenim/v1 log append\x00"
WORK_LABEL: Final = b"tokenim/v1 work\x00"
REGISTRATION_WORK_LABEL: Final = b"tokenim/v1 registration work\x00"
LOG_HEAD_LABEL: Final = b"tokenim/v1 log head\x00"
LOG_LEAF_LABEL: Final = b"tokenim/v1 log leaf\x00"
LOG_HANDLE_LABEL: Final = b"tokenim/v1 log handle\x00"
RECOVERY_REQUEST_LABEL: Final = b"tokenim/v1 recovery request\x00"
PUSH_WEBHOOK_LABEL: Final = b"tokenim/v1 push webhook\x00"
VAPID_LABEL: Final = b"tokenim/v1 vapid key\x00"  # of the relay alone: its key at push services
# Of the relay's own audit log, which no client sees (audit_rows.py).
AUDIT_PARTY_LABEL: Final = b"tokenim/v1 audit party\x00"
AUDIT_ROW_LABEL: Final = b"tokenim/v1 audit row\x00"
AUDIT_HEAD_LABEL: Final = b"tokenim/v1 audit head\x00"

STREAMED: Final = b"streamed"
"""Stands where the body's hash would, for an upload whose whole hash was signed at its creation."""


def transcript(label: bytes, *fields: bytes | None) -> bytes:
    """The bytes to sign or hash for `label`."""
    parts = [label, bytes((limits.SUITE,))]
    for field in fields:
        value = field or b""
        parts += (len(value).to_bytes(4, "big"), value)
    return b"".join(parts)


def parse_transcript(label: bytes, data: bytes) -> tuple[bytes, ...]:
    """The fields of a transcript; raises Malformed unless it is exactly one of this label and suite."""
    head = label + bytes((limits.SUITE,))
    if not data.startswith(head):
        raise Malformed("not a transcript of this kind")
    fields: list[bytes] = []
    at = len(head)
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        if at + 4 > len(data) or end > len(data):
            raise Malformed("a transcript ends early")
        fields.append(data[at + 4 : end])
        at = end
    return tuple(fields)


def http_request_transcript(
    *,
    method: str,
    target: str,
    body_hash: bytes,
    origin: str,
    device_id: bytes,
    time_ms: int,
    nonce: bytes,
    upload_offset: int | None = None,
) -> bytes:
    """What a signed HTTP request's signature covers.

    `target` is the request target exactly as sent (path and query), `body_hash` 32 B SHA-256 of the body or the word
    `streamed`, `origin` the relay's configured public origin, `nonce` 16 B, times and offset u64 big-endian.
    """
    return transcript(
        HTTP_REQUEST_LABEL,
        method.encode("ascii"),
        target.encode("utf-8", "surrogateescape"),
        body_hash,
        origin.encode(),
        device_id,
        time_ms.to_bytes(8, "big"),
        nonce,
        None if upload_offset is None else upload_offset.to_bytes(8, "big"),
    )


def websocket_transcript(*, origin: str, device_id: bytes, challenge: bytes) -> bytes:
    """What `authenticate` signs: the relay's public origin, the 16 B device id, the 32 B challenge of this connection."""
    return transcript(WEBSOCKET_LABEL, origin.encode(), device_id, challenge)


def relay_document_transcript(body: bytes) -> bytes:
    """What the relay signs of `/.well-known/tokenim`: SHA-256 of the exact body."""
    return transcript(RELAY_DOCUMENT_LABEL, hashlib.sha256(body).digest())


def log_append_transcript(
    *,
    log_id: bytes,
    index: int,
    entry: bytes,
    next_write_key: bytes | None = None,
    next_read_token_hash: bytes | None = None,
) -> bytes:
    """What an append to a group log signs, by the write key (32 B Ed25519) that is in place before it.

    `log_id` 32 B, `index` u64 big-endian, of `entry` its SHA-256; the next write key and SHA-256 of the next read token,
    32 B each, are absent where they stay.
    """
    return transcript(
        LOG_APPEND_LABEL,
        log_id,
        index.to_bytes(8, "big"),
        hashlib.sha256(entry).digest(),
        next_write_key,
        next_read_token_hash,
    )


def work_transcript(*, envelope_id: bytes, account_id: bytes, token: bytes, work: bytes) -> bytes:
    """What the proof of work of a grant hashes: 16 B envelope id, 32 B account id, SHA-256 of the 16 B token, 8 B work."""
    return transcript(WORK_LABEL, envelope_id, account_id, hashlib.sha256(token).digest(), work)


def registration_work_transcript(
    *, origin: str, account_id: bytes, manifest_hash: bytes, time_ms: int, work: bytes
) -> bytes:
    """What the work for an account hashes: the relay's public origin, 32 B id, SHA-256 of manifest 1, time u64, 8 B work."""
    return transcript(
        REGISTRATION_WORK_LABEL, origin.encode(), account_id, manifest_hash, time_ms.to_bytes(8, "big"), work
    )


def recovery_request_transcript(*, origin: str, account_id: bytes, time_ms: int, nonce: bytes) -> bytes:
    """What the root key signs to get its account's chain: the relay's public origin, 32 B id, time u64 big-endian, 16 B nonce."""
    return transcript(RECOVERY_REQUEST_LABEL, origin.encode(), account_id, time_ms.to_bytes(8, "big"), nonce)


def webhook_transcript(*, origin: str, target: str, time_ms: int, token: bytes) -> bytes:
    """What the relay signs of a wakeup to a webhook: its public origin, the URL as registered, time u64, 16 B token."""
    return transcript(PUSH_WEBHOOK_LABEL, origin.encode(), target.encode(), time_ms.to_bytes(8, "big"), token)
