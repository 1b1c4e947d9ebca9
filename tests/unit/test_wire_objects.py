"""Manifests, prekeys and transcripts as the relay reads them: exact shape, one kind of error."""

import hashlib
from collections.abc import Callable

import pytest

from relay.wire import limits
from relay.wire.errors import Malformed, MalformedRequest, ManifestInvalid, every_error
from relay.wire.manifests import account_id_of, parse_manifest
from relay.wire.prekeys import CLASSES, KEY_BYTES, PrekeyClass, PrekeyKind, parse_prekey
from relay.wire.transcripts import (
    MANIFEST_LABEL,
    PREKEY_LABEL,
    http_request_transcript,
    parse_transcript,
    transcript,
    websocket_transcript,
)


def device_field(number: int, *, flags: int = 1) -> bytes:
    tag = bytes((number,))
    return (
        tag * 16
        + b"S"
        + tag * 31
        + b"I"
        + tag * 31
        + bytes((flags,))
        + (1_000).to_bytes(8, "big")
        + b"x" * 64
    )


def manifest_body(
    *, version: int = 1, previous: bytes | None = None, devices: tuple[bytes, ...] = (device_field(1),)
) -> bytes:
    return transcript(MANIFEST_LABEL, b"r" * 32, version.to_bytes(8, "big"), previous, *devices)


def test_a_manifest_reads_as_written() -> None:
    body = manifest_body(devices=(device_field(1), device_field(2, flags=6)))
    manifest = parse_manifest(body)
    assert manifest.version == 1
    assert manifest.previous_hash is None
    assert manifest.hash == hashlib.sha256(body).digest()
    assert manifest.account_id == account_id_of(b"r" * 32) == hashlib.sha256(b"\x01" + b"r" * 32).digest()
    assert [device.is_manager for device in manifest.devices] == [True, False]
    second = manifest.device(b"\x02" * 16)
    assert second is not None
    assert second.added_at_ms == 1_000
    assert manifest.device(b"\x03" * 16) is None


BROKEN: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "another label": lambda: manifest_body().replace(b"manifest", b"manifold"),
    "another suite": lambda: manifest_body().replace(
        b"\x00\x01\x00\x00\x00\x20", b"\x00\x02\x00\x00\x00\x20", 1
    ),
    "trailing byte": lambda: manifest_body() + b"\x00",
    "cut": lambda: manifest_body()[:-1],
    "no device": lambda: manifest_body(devices=()),
    "17 devices": lambda: manifest_body(devices=tuple(device_field(n) for n in range(1, 18))),
    "device twice": lambda: manifest_body(devices=(device_field(1), device_field(1))),
    "devices out of order": lambda: manifest_body(devices=(device_field(2), device_field(1))),
    "a9 signing key twice": lambda: manifest_body(
        devices=(device_field(1), b"\x02" * 16 + device_field(1)[16:])
    ),
    "a9 the root key as a signing key": lambda: manifest_body(
        devices=(device_field(1)[:16] + b"r" * 32 + device_field(1)[48:],)
    ),
    "a9 the root key as an identity key": lambda: manifest_body(
        devices=(device_field(1)[:48] + b"r" * 32 + device_field(1)[80:],)
    ),
    "unknown flag": lambda: manifest_body(devices=(device_field(1, flags=8),)),
    "version 0": lambda: manifest_body(version=0),
    "version 1 with predecessor": lambda: manifest_body(previous=b"p" * 32),
    "version 2 without predecessor": lambda: manifest_body(version=2),
    "short predecessor": lambda: manifest_body(version=2, previous=b"p" * 31),
    "short device": lambda: manifest_body(devices=(device_field(1)[:-1],)),
    "too long": lambda: manifest_body() + bytes(limits.MAX_MANIFEST_BYTES),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_manifest_is_refused(case: str) -> None:
    with pytest.raises(ManifestInvalid):
        parse_manifest(BROKEN[case]())


def prekey(kind: int, key_class: int, key: bytes) -> bytes:
    return bytes((kind, key_class)) + (9).to_bytes(4, "big") + (5).to_bytes(8, "big") + b"s" * 64 + key


@pytest.mark.parametrize("kind", PrekeyKind)
def test_a3_a6_a_prekey_has_the_class_and_length_of_its_kind_only(kind: PrekeyKind) -> None:
    for key_class in PrekeyClass:
        for length in sorted(set(KEY_BYTES.values())):
            encoded = prekey(kind, key_class, b"k" * length)
            if key_class in CLASSES[kind] and length == KEY_BYTES[kind]:
                parsed = parse_prekey(encoded)
                assert (parsed.kind, parsed.key_class, parsed.key_id, parsed.made_at_ms) == (
                    kind,
                    key_class,
                    9,
                    5,
                )
                assert parsed.signed_transcript(b"a" * 32, b"d" * 16).startswith(PREKEY_LABEL)
            else:
                with pytest.raises(MalformedRequest):
                    parse_prekey(encoded)


@pytest.mark.parametrize(
    "encoded", [b"", b"\x01" * 77, prekey(0, 1, b"k" * 32), prekey(5, 1, b"k" * 32), prekey(1, 9, b"k" * 32)]
)
def test_what_is_not_a_prekey_is_refused(encoded: bytes) -> None:
    with pytest.raises(MalformedRequest):
        parse_prekey(encoded)


def test_a_transcript_reads_back_and_absent_is_empty() -> None:
    data = transcript(b"tokenim/v1 test\x00", b"one", None, b"")
    assert data == b"tokenim/v1 test\x00\x01" + b"\x00\x00\x00\x03one" + b"\x00\x00\x00\x00" * 2
    assert parse_transcript(b"tokenim/v1 test\x00", data) == (b"one", b"", b"")
    for cut in (1, 2, 3, 5, 6, 7):  # 4 bytes less would be a transcript of two fields
        with pytest.raises(Malformed):
            parse_transcript(b"tokenim/v1 test\x00", data[:-cut])


def test_d7_each_part_of_a_request_is_in_what_is_signed() -> None:
    base = {
        "method": "GET",
        "target": "/v1/mailbox?after=1",
        "body_hash": b"h" * 32,
        "origin": "http://127.0.0.1:8080",
        "device_id": b"d" * 16,
        "time_ms": 1,
        "nonce": b"n" * 16,
        "upload_offset": None,
    }
    other = {
        "method": "PUT",
        "target": "/v1/mailbox?after=2",
        "body_hash": b"i" * 32,
        "origin": "http://127.0.0.1:8081",
        "device_id": b"e" * 16,
        "time_ms": 2,
        "nonce": b"m" * 16,
        "upload_offset": 0,
    }
    seen = {http_request_transcript(**base)}  # type: ignore[arg-type]
    seen |= {http_request_transcript(**(base | {name: value})) for name, value in other.items()}  # type: ignore[arg-type]
    seen.add(websocket_transcript(origin="http://127.0.0.1:8080", device_id=b"d" * 16, challenge=b"c" * 32))
    assert len(seen) == len(base) + 2


def test_each_error_has_its_own_code_and_says_something() -> None:
    errors = every_error()
    codes = [error.code for error in errors]
    assert len(set(codes)) == len(codes) > 20
    assert all(400 <= error.http_status <= 599 and error.detail and error.__doc__ for error in errors)
