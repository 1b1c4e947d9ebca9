"""Writes linking.json, recovery.json and transparency.json.

python -m tests.vectors.generate_accounts

Sealing draws randomness of its own: what is sealed is kept from the file as long as it opens to the same.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from client.recovery.backup_parts import parts_of
from crypto.errors import CryptoError
from crypto.keys import SigningKeyPair
from crypto.linking import LinkDesk, begin_link, confirm_link
from crypto.recovery import RecoveryKey, SignedBackup, open_backup, seal_backup
from crypto.transparency import Inclusion, LeafType, SignedHead, handle_subject, head_body, leaf
from tests.crypto_people import NOW_MS, Person, SeededRandom
from tests.merkle_log import consistency, inclusion, root_of
from tests.vectors import link_must_fail, log_must_fail
from tests.vectors.recovery_must_fail import CONTENT, Cases

FOLDER = Path(__file__).parent
ABOUT = "docs/protocol.md, chapter {}; bytes in hexadecimal; made by tests/vectors/generate_accounts.py"


def recorded(name: str) -> dict[str, Any]:
    path = FOLDER / name
    return json.loads(path.read_text()) if path.exists() else {}  # type: ignore[no-any-return]


def linking() -> dict[str, Any]:
    """One link, from the request to the new device's signature."""
    person, offer = (
        Person("link vectors", stock=0),
        begin_link("laptop", SeededRandom("link vectors"), NOW_MS),
    )
    _, shown, sealed = LinkDesk().answer(
        offer.scanned, offer.request.encode(), person.device, person.random, NOW_MS, NOW_MS
    )
    kept = bytes.fromhex(recorded("linking.json").get("sealed_answer", ""))
    try:
        sealed = kept if offer.open_answer(kept, NOW_MS)[1] == shown.answer else sealed
    except CryptoError:
        kept = b""
    _, answer, code = offer.open_answer(sealed, NOW_MS)
    assert offer.sealing is not None
    return {
        "about": ABOUT.format("Linking"),
        "sealing_seed": offer.sealing.seed.hex(),
        "signing_seed": offer.signing.seed.hex(),
        "identity_private": offer.identity.private.hex(),
        "device_id": offer.request.device_id.hex(),
        "name": offer.request.name,
        "request": offer.request.encode().hex(),
        "mailbox_id": offer.scanned.mailbox_id.hex(),
        "qr": offer.scanned.encode().hex(),
        "account": answer.account.hex(),
        "manager": answer.device_id.hex(),
        "nonce": answer.nonce.hex(),
        "answer": answer.encode().hex(),
        "sealed_answer": sealed.hex(),
        "code": code,
        "confirmation": confirm_link(offer, answer).hex(),
        "manifests": link_must_fail.listed(offer, person),
        "must_fail": link_must_fail.must_fail(offer, person, answer, sealed),
    }


def recovery() -> dict[str, Any]:
    """Keys of words, and a backup."""
    person, key = Person("recovery vectors", stock=0), RecoveryKey(bytes(range(32)))
    content = CONTENT
    sealing = key.sealing()
    public = sealing.public_bytes()
    backup = seal_backup(content, public, person.device, person.manifest, 3, NOW_MS)
    kept = bytes.fromhex(recorded("recovery.json").get("backup", ""))
    try:
        old = SignedBackup.parse(kept)
        if old.head == backup.head and open_backup(old, key, person.manifest) == content:
            backup = old
    except CryptoError:
        kept = b""
    return {
        "about": ABOUT.format("Recovery"),
        "key": key.key.hex(),
        "words": " ".join(key.words()),
        "root_seed": key.root().seed.hex(),
        "root_public": key.root().public.hex(),
        "sealing_seed": sealing.seed.hex(),
        "sealing_public": public.hex(),
        "manifest": person.manifest.newest.encode().hex(),
        "signing_public": person.device.signing.public.hex(),
        "content": content.hex(),
        "counter": 3,
        "backup": backup.encode().hex(),
        "signed_head": backup.signed_head.encode().hex(),
        "entries": [part.hex() for part in parts_of(backup.encode())],
        "must_fail": Cases(person, key).must_fail(),
    }


def transparency() -> dict[str, Any]:
    """Leaves, heads, proofs of a small log."""
    relay, random = SigningKeyPair.generate(SeededRandom("log vectors")), SeededRandom("log leaves")
    values = [(LeafType(1 + number % 2), random(32), 1 + number, random(32)) for number in range(11)]
    leaves = [leaf(*value) for value in values]
    log_id = random(32)
    heads = []
    for size in (0, 1, 4, 7, 11):
        body = head_body(log_id, size, root_of(leaves[:size]), NOW_MS + size)
        newest = SignedHead.parse(relay.sign(body) + body)
        heads.append(
            {
                "size": size,
                "root": newest.root.hex(),
                "time_ms": newest.time_ms,
                "head": newest.encode().hex(),
            }
        )
    return {
        "about": ABOUT.format("Transparency"),
        "relay_public": relay.public.hex(),
        "log_id": log_id.hex(),
        "leaves": [
            {
                "type": int(kind),
                "subject": subject.hex(),
                "version": version,
                "value_hash": value.hex(),
                "leaf": made.hex(),
            }
            for (kind, subject, version, value), made in zip(values, leaves, strict=True)
        ],
        "handle": _handle(),
        "heads": heads,
        "inclusion_encoded": Inclusion(newest, 7, tuple(inclusion(leaves, 7))).encode().hex(),
        "inclusion": [
            {"index": index, "size": 11, "proof": [each.hex() for each in inclusion(leaves, index)]}
            for index in (0, 3, 7, 8, 10)
        ],
        "consistency": [
            {"from": old, "to": 11, "proof": [each.hex() for each in consistency(leaves, old)]}
            for old in (0, 1, 4, 7, 11)
        ],
        "must_fail": log_must_fail.must_fail(leaves, log_id, relay),
    }


def _handle() -> dict[str, Any]:
    """The two leaves of a handle that was bound and given back."""
    salt, account = bytes(range(16)), bytes(range(32))
    subject = handle_subject(salt, "anna")
    return {
        "handle": "anna",
        "salt": salt.hex(),
        "account": account.hex(),
        "subject": subject.hex(),
        "bound": leaf(LeafType.HANDLE, subject, 1, sha256(account).digest()).hex(),
        "given_back": leaf(LeafType.HANDLE, subject, 2, sha256(b"").digest()).hex(),
    }


FILES = {"linking.json": linking, "recovery.json": recovery, "transparency.json": transparency}

if __name__ == "__main__":
    for name, make in FILES.items():
        (FOLDER / name).write_text(json.dumps(make(), indent=1) + "\n")
