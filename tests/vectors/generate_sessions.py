"""Writes sessions.json: prekeys, bundles, set-ups with every intermediate value, set-up envelopes, what must fail.

    python -m tests.vectors.generate_sessions

Everything comes from fixed seeds, but for encapsulations and sealing, which the library makes with randomness of its
own; those already in the file are used again as long as they open, so that running this twice changes nothing.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto import labels, limits, pqxdh
from crypto.errors import CryptoError
from crypto.local_prekeys import LocalPrekey
from crypto.manifest import device_entry
from crypto.padding import LENGTH_BYTES, bucket_for, pad
from crypto.pqxdh import ManifestRef, Party, PrekeysUsed, SetupValues, initiate, session_transcript
from crypto.prekeys import Bundle, KeyClass, KeyKind, SignedKey, prekey_transcript, verify_bundle
from crypto.primitives import ml_kem_768_encapsulate, x25519
from crypto.sealed_first_message import SetupContent, open_setup, seal_setup
from crypto.transcript import transcript, u32
from tests.crypto_people import NOW_MS, Person
from tests.vectors import session_must_fail

FILE = Path(__file__).with_name("sessions.json")
JsonObject = dict[str, Any]
OVERHEAD_BYTES = 1 + 1 + 4 + limits.SEALING_ENC_BYTES + limits.AEAD_TAG_BYTES
MESSAGE = bytes(range(120))  # stands for a ratchet envelope: ratchet.json has those


def recorded() -> JsonObject:
    """The file as it is."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}  # type: ignore[no-any-return]


class Pair:
    """A, who begins, and B, whose keys are published."""

    def __init__(self) -> None:
        self.a, self.b = Person("set-up vectors, A", stock=1), Person("set-up vectors, B", stock=1)
        entry = self.b.manifest.device(self.b.device.device_id)
        self.a_manifest = ManifestRef(1, self.a.manifest.hash)
        self.party_a = Party.local(self.a.device, self.a_manifest)
        self.party_b = Party.peer(self.b.account, entry, ManifestRef(1, self.b.manifest.hash))
        self.known: dict[str, list[str]] = recorded().get("encapsulations", {})

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """A recorded encapsulation to this key, or a new one, recorded."""
        if public.hex() not in self.known:
            self.known[public.hex()] = [each.hex() for each in ml_kem_768_encapsulate(public)]
        secret, ciphertext = map(bytes.fromhex, self.known[public.hex()])
        return secret, ciphertext

    def private(self, key: SignedKey) -> LocalPrekey:
        return self.b.prekeys.find(key.kind, key.key_id)


def prekey_vector(pair: Pair, key: SignedKey) -> JsonObject:
    """One signed prekey with its private half."""
    fields = key.kind, key.key_class, key.key_id, key.made_at_ms, key.key
    return {
        "kind": key.kind,
        "class": key.key_class,
        "id": key.key_id,
        "made_at_ms": key.made_at_ms,
        "seed": pair.private(key).secret.seed.hex(),
        "public": key.key.hex(),
        "transcript": prekey_transcript(pair.b.account, pair.b.device.device_id, *fields).hex(),
        "encoded": key.encode().hex(),
    }


def setup_vector(pair: Pair, bundle: Bundle, number: int) -> tuple[JsonObject, SetupValues]:
    """One agreement with every value on the way."""
    ephemeral_seed = bytes([number]) * 32
    values, secrets = initiate(
        pair.a.device,
        pair.a_manifest,
        pair.party_b,
        bundle,
        setup_number=number,
        random=lambda length: ephemeral_seed[:length],
    )
    one_time = bundle.one_time
    identity_a = pair.a.device.identity.private
    exchanges = [
        x25519(identity_a, bundle.signed.key),
        x25519(ephemeral_seed, pair.party_b.identity_public),
        x25519(ephemeral_seed, bundle.signed.key),
    ]
    if one_time is not None:
        exchanges.append(x25519(ephemeral_seed, one_time.key))
    kem_secret, _ = pair.encapsulate(bundle.kem.key)
    used = PrekeysUsed(bundle.signed.tagged(), one_time.tagged() if one_time else None, bundle.kem.tagged())
    vector: JsonObject = {
        "setup_number": number,
        "signed_id": bundle.signed.key_id,
        "one_time_id": one_time.key_id if one_time else None,
        "kem_id": bundle.kem.key_id,
        "ephemeral_private": ephemeral_seed.hex(),
        "exchanges": [exchange.hex() for exchange in exchanges],
        "kem_secret": kem_secret.hex(),
        "kem_ciphertext": values.kem_ciphertext.hex(),
        "transcript": session_transcript(pair.party_a, pair.party_b, values, used).hex(),
        "ikm": (b"\xff" * 32 + b"".join(exchanges) + kem_secret).hex(),
        "info": (labels.SESSION_KEYS + secrets.session_id).hex(),
        "session_id": secrets.session_id.hex(),
        "root_key": secrets.root_key.hex(),
        "header_key_a": secrets.header_key_a.hex(),
        "next_header_key_b": secrets.next_header_key_b.hex(),
        "values": values.encode().hex(),
        "values_digest": values.digest().hex(),
    }
    return vector, values


def envelope_vector(pair: Pair, bundle: Bundle, content: SetupContent, index: int) -> JsonObject:
    """One set-up envelope; the sealed bytes of the file are kept if they open to this content."""
    account, device_id = pair.b.account, pair.b.device.device_id
    encoded = content.encode()
    size = bucket_for(OVERHEAD_BYTES + LENGTH_BYTES + len(encoded))
    envelope = seal_setup(content, bundle.sealing, account, device_id)
    before = recorded().get("envelopes", [])
    if len(before) > index:
        kept = bytes.fromhex(before[index]["envelope"])
        if error_of_opening(pair, kept) is None and opened(pair, kept) == content:
            envelope = kept
    return {
        "sealing_id": bundle.sealing.key_id,
        "info": transcript(labels.SETUP_ENVELOPE, account, device_id, u32(bundle.sealing.key_id)).hex(),
        "manifests": [signed.encode().hex() for signed in content.manifests],
        "proof": content.proof.hex(),
        "message": content.message.hex(),
        "content": encoded.hex(),
        "padded": pad(encoded, size - OVERHEAD_BYTES).hex(),
        "envelope": envelope.hex(),
    }


def opened(pair: Pair, envelope: bytes) -> SetupContent:
    return open_setup(envelope, pair.b.prekeys, pair.b.account, pair.b.device.device_id)


def error_of_opening(pair: Pair, envelope: bytes) -> str | None:
    """The failure kind, or None if it opens."""
    try:
        opened(pair, envelope)
    except CryptoError as error:
        return type(error).__name__
    return None


def broken_envelopes(pair: Pair, envelope: bytes) -> list[JsonObject]:
    """What must not open."""
    changed = {
        "another kind": b"\x02" + envelope[1:],
        "another suite": envelope[:1] + b"\x02" + envelope[2:],
        "another sealing key id": envelope[:5] + b"\x09" + envelope[6:],
        "a changed encapsulation": envelope[:6] + bytes([envelope[6] ^ 1]) + envelope[7:],
        "a changed tag": envelope[:-1] + bytes([envelope[-1] ^ 1]),
        "no bucket": envelope[:-1],
        "too short": envelope[:256],
    }
    return [
        {"name": name, "envelope": data.hex(), "error": error_of_opening(pair, data)}
        for name, data in changed.items()
    ]


def bundle_vectors(pair: Pair, bundle: Bundle) -> list[JsonObject]:
    """Bundles as they come, when they are looked at, and what they give."""
    keys = {key.kind: key for key in bundle.all_keys()}
    late = NOW_MS + limits.MAX_KEY_AGE_MS
    mallory = Person("set-up vectors, stranger", stock=1).relay.claim()
    cases: list[tuple[str, list[SignedKey], int, dict[tuple[KeyKind, KeyClass], int]]] = [
        ("good", list(keys.values()), NOW_MS, {}),
        ("good without a one-time key", [k for k in keys.values() if k.kind != KeyKind.ONE_TIME], NOW_MS, {}),
        ("good on its last day", list(keys.values()), late, {}),
        ("older than 45 days", list(keys.values()), late + 1, {}),
        (
            "older than one seen",
            list(keys.values()),
            NOW_MS,
            {(KeyKind.SIGNED, KeyClass.ROTATING): NOW_MS + 1},
        ),
        ("from the future", list(keys.values()), NOW_MS - limits.MAX_CLOCK_SKEW_MS - 1, {}),
        ("without ML-KEM key", [k for k in keys.values() if k.kind != KeyKind.KEM], NOW_MS, {}),
        ("with a stranger's ML-KEM key", [mallory.kem, *_others(keys, KeyKind.KEM)], NOW_MS, {}),
        ("two keys of one kind", [*keys.values(), keys[KeyKind.KEM]], NOW_MS, {}),
    ]
    for kind, key in keys.items():
        altered = replace(key, key_id=key.key_id + 1)
        cases.append((f"another id, kind {kind}", [altered, *_others(keys, kind)], NOW_MS, {}))
        altered = replace(key, key=bytes([key.key[0] ^ 1]) + key.key[1:])
        cases.append((f"another key, kind {kind}", [altered, *_others(keys, kind)], NOW_MS, {}))
    entry = device_entry(pair.b.device, added_at_ms=NOW_MS)
    vectors = []
    for name, given, now_ms, seen in cases:
        error = None
        try:
            verify_bundle(Bundle.of(given), pair.b.account, entry, now_ms=now_ms, seen=seen)
        except CryptoError as caught:
            error = type(caught).__name__
        vectors.append(
            {
                "name": name,
                "keys": [key.encode().hex() for key in given],
                "now_ms": now_ms,
                "seen": [[kind, key_class, at_ms] for (kind, key_class), at_ms in seen.items()],
                "error": error,
            }
        )
    return vectors + session_must_fail.bundles(pair.b.device, entry, keys, NOW_MS)


def _others(keys: dict[KeyKind, SignedKey], kind: KeyKind) -> list[SignedKey]:
    return [key for key in keys.values() if key.kind != kind]


def document() -> str:
    """The file's text."""
    pair = Pair()
    last_resort, full = pair.b.relay.claim(one_time=False), pair.b.relay.claim()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pqxdh, "ml_kem_768_encapsulate", pair.encapsulate)
        setups = [setup_vector(pair, full, 1), setup_vector(pair, last_resort, 2)]
    contents = [
        SetupContent(setups[0][1], MESSAGE, pair.a.manifest.chain),
        SetupContent(setups[1][1], MESSAGE, (), b"an inclusion proof"),
    ]
    envelopes = [envelope_vector(pair, full, content, index) for index, content in enumerate(contents)]
    prekeys = {key.encode(): key for key in (*full.all_keys(), *last_resort.all_keys())}
    parties = {
        name: {
            "root_public": person.root.public.hex(),
            "account_id": person.account.hex(),
            "device_id": person.device.device_id.hex(),
            "signing_seed": person.device.signing.seed.hex(),
            "identity_private": person.device.identity.private.hex(),
            "identity_public": person.device.identity.public.hex(),
            "manifest": person.manifest.newest.encode().hex(),
            "manifest_hash": person.manifest.hash.hex(),
        }
        for name, person in (("a", pair.a), ("b", pair.b))
    }
    content: JsonObject = {
        "description": "Prekeys, bundles, session set-up (PQXDH) and set-up envelopes; docs/protocol.md",
        "now_ms": NOW_MS,
        "parties": parties,
        "prekeys": [prekey_vector(pair, key) for key in prekeys.values()],
        "bundles": bundle_vectors(pair, full),
        "encapsulations": pair.known,
        "setups": [vector for vector, _ in setups],
        "envelopes": envelopes,
        "broken_envelopes": broken_envelopes(pair, bytes.fromhex(envelopes[0]["envelope"])),
        "broken_contents": session_must_fail.contents(bytes.fromhex(envelopes[0]["content"])),
    }
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
