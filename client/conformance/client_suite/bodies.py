"""Bodies and queries of requests, and frames of a client, field by field as docs/protocol.md has them."""

import json
from collections.abc import Mapping
from typing import Any, Final

from client.conformance.report import Failed
from client.conformance.wire import ACK, ANONYMOUS, AUTHENTICATE, RESUME, SUBMIT

from .limits import LIMITS
from .shapes import MOST, SEQUENCE, Shape, array, base64, binary, fields, flag, or_null, row, whole, words

JSON: Final = "application/json"
_U32: Final = 2**32 - 1
_ENVELOPE: Final = LIMITS["max_envelope_bytes"]
_ENTRY: Final = LIMITS["max_log_entry_bytes"]
_TTL: Final = LIMITS["max_ttl_seconds"]
_TARGETS: Final = LIMITS["max_targets_per_submit"]
_MANIFEST: Final = fields(
    {"body": base64(1, LIMITS["max_manifest_bytes"]), "signer": base64(0, 16), "signature": base64(64)}
)
_CLASSES: Final = ("contact", "group", "link", "public")
_PUSH_KINDS: Final = ("web", "unifiedpush", "apns", "fcm", "webhook")
_TARGET: Final = {"ciphertext": whole(0, _TARGETS - 1), "grant": whole(0, _TARGETS - 1)}

FRAMES: Final[Mapping[int, Shape]] = {
    SUBMIT: row(
        {
            "request_id": whole(0, _U32),
            "envelope_id": binary(16),
            "envelope_class": whole(1, 2),
            "urgent": flag,
            "ttl_seconds": whole(0, _TTL),
            "ciphertexts": array(binary(1, _ENVELOPE), 1, LIMITS["max_ciphertexts_per_submit"]),
            "targets": array(row({"device_id": binary(16), **_TARGET}), 1, _TARGETS),
            "grants": array(
                row({"account_id": binary(32), "token": binary(0, 16), "manifest_version": whole(0)}),
                1,
                LIMITS["max_grants_per_submit"],
            ),
        },
        {"work": array(binary(0, 8), 0, LIMITS["max_grants_per_submit"])},
    ),
    ACK: row(
        {"up_to": whole(0, SEQUENCE)},
        {"also": array(whole(0, SEQUENCE), 0, LIMITS["max_ack_also"])},
    ),
    RESUME: row({"after": whole(0, SEQUENCE)}),
    AUTHENTICATE: row({"device_id": binary(16), "signature": binary(64)}),
    ANONYMOUS: row({}),
}

BODIES: Final[Mapping[str, Shape]] = {
    "POST /v1/accounts": fields(
        {"manifest": _MANIFEST},
        {
            "invite": or_null(base64(16)),
            "work": or_null(fields({"time_ms": whole(0), "work": base64(8)})),
            "handle": or_null(words()),
            "public_token": or_null(base64(16)),
        },
    ),
    "POST /v1/accounts/self/manifests": fields({"manifest": _MANIFEST}),
    "POST /v1/accounts/{account}/manifests": fields({"manifest": _MANIFEST}),
    "PUT /v1/profile": fields({"version": whole(1), "profile": base64(1, LIMITS["max_profile_bytes"])}),
    "PUT /v1/push": fields(
        {"kind": words(*_PUSH_KINDS), "target": words()}, {"p256dh": base64(0, 65), "auth": base64(0, 16)}
    ),
    "POST /v1/accounts/{account}/bundles": fields(
        {}, {"token": or_null(base64(16)), "devices": or_null(array(base64(16), 0, LIMITS["max_devices"]))}
    ),
    "PUT /v1/handle": fields({"handle": words()}, {"public_token": or_null(base64(16))}),
    "POST /v1/delivery-tokens": fields(
        {"token_hash": base64(32), "token_class": words(*_CLASSES)}, {"expires_at_ms": or_null(whole(0))}
    ),
    "POST /v1/prekeys": fields(
        {"keys": array(base64(1, MOST), 1, LIMITS["max_prekeys_per_append"])},
    ),
    "POST /v1/envelopes": fields(
        {
            "envelope_id": base64(16),
            "envelope_class": whole(1, 2),
            "ttl_seconds": whole(0, _TTL),
            "ciphertexts": array(base64(1, _ENVELOPE), 1, LIMITS["max_ciphertexts_per_submit"]),
            "targets": array(fields({"device_id": base64(16), **_TARGET}), 1, _TARGETS),
            "grants": array(
                fields({"account_id": base64(32), "token": base64(0, 16), "manifest_version": whole(0)}),
                1,
                LIMITS["max_grants_per_submit"],
            ),
        },
        {"urgent": flag, "work": array(base64(0, 8), 0, LIMITS["max_grants_per_submit"])},
    ),
    "POST /v1/mailbox/ack": fields(
        {"up_to": whole(0, SEQUENCE)},
        {"also": array(whole(0, SEQUENCE), 0, LIMITS["max_ack_also"])},
    ),
    "POST /v1/logs/{name}": fields({"index": whole(0), "entry": base64(1, _ENTRY)}),
    "POST /v1/group-logs": fields(
        {
            "log_id": base64(32),
            "write_key": base64(32),
            "read_token_hash": base64(32),
            "entry": base64(1, _ENTRY),
        }
    ),
    "POST /v1/group-logs/{log}/entries": fields(
        {"index": whole(0), "entry": base64(1, _ENTRY), "signature": base64(64)},
        {"next_write_key": or_null(base64(32)), "next_read_token_hash": or_null(base64(32))},
    ),
}
"""By the door; a request to any other has no body, but for the bytes of an upload."""

QUERIES: Final[Mapping[str, Mapping[str, Shape]]] = {
    "GET /v1/accounts/{account}/manifests": {"from": whole(1)},
    "GET /v1/mailbox": {"after": whole(0, SEQUENCE), "wait_seconds": whole(0, 60)},
    "GET /v1/mailbox/quarantine": {"after": whole(0, SEQUENCE)},
    "GET /v1/transparency/consistency": {"from": whole(0), "to": whole(0)},
    "GET /v1/logs/{name}": {"from": whole(0)},
    "DELETE /v1/logs/{name}": {"before": whole(0)},
    "GET /v1/group-logs/{log}": {"from": whole(0)},
}
"""By the door: what may stand in its query."""

UPLOAD: Final = "PATCH /v1/blobs/{blob}"


def check_body(door: str, content_type: str, body: bytes) -> None:
    """Raises Failed for another media type or field than the document has for this door."""
    if door == UPLOAD:
        return
    shape = BODIES.get(door)
    if shape is None:
        if body:
            raise Failed(f"this request has no body, and {len(body)} B came")
        return
    if len(body) > LIMITS["max_request_body_bytes"]:
        raise Failed(f"a body of {len(body)} B is above 1 MiB")
    if content_type != JSON:
        raise Failed(f"the body is {JSON}, and came as {content_type}")
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Failed(f"the body is no JSON: {error}") from None
    shape(told, "the body")


def check_query(door: str, query: Mapping[str, str]) -> None:
    """Raises Failed for what may not stand in the query of this door."""
    known = QUERIES.get(door, {})
    if unknown := query.keys() - known.keys():
        raise Failed(f"the document has no {', '.join(sorted(unknown))} in this query")
    if len(set(query)) != len(query):
        raise Failed("the same name stands twice in the query")
    for name, text in query.items():
        is_number = text.isascii() and text.isdigit() and len(text) <= 19
        known[name](int(text) if is_number else text, f"the query's {name}")


def check_frame(kind: int, frame_fields: list[Any]) -> None:
    """Raises Failed unless a client sends such a frame, with just these fields."""
    if kind not in FRAMES:
        raise Failed(f"no frame of a client has the type {kind}")
    FRAMES[kind](frame_fields, "the frame")
