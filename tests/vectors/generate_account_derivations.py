"""Writes account_derivations.json: each derivation outside sessions and groups alone, with the bytes that go into it.

python -m tests.vectors.generate_account_derivations
"""

import json
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

from client.contents import DIRECT_CONVERSATION_LABEL, direct_conversation
from crypto import history_archive, labels, linking, profile, recovery
from crypto.history_archive import HistoryKey
from crypto.keys import SigningKeyPair
from crypto.linking import LinkAnswer, ScannedLink, short_code
from crypto.message_references import MessageFacts
from crypto.recovery import BackupHead, RecoveryKey
from crypto.safety_number import safety_number
from crypto.transcript import transcript, u32, u64
from crypto.transparency import handle_subject
from relay.wire.transcripts import PUSH_WEBHOOK_LABEL, webhook_transcript
from tests.crypto_people import NOW_MS, SeededRandom

FILE = Path(__file__).with_name("account_derivations.json")
JsonObject = dict[str, Any]


def laid_out(label: bytes, *fields: bytes) -> JsonObject:
    """A transcript with what it is made of."""
    return {
        "label": label.hex(),
        "fields": [field.hex() for field in fields],
        "transcript": transcript(label, *fields).hex(),
    }


def numbers(random: SeededRandom) -> JsonObject:
    """What people compare."""
    one, other = random(32), random(32)
    scanned, answer = ScannedLink(random(16), random(32)), LinkAnswer(random(32), random(16), random(32))
    safety = laid_out(labels.SAFETY_NUMBER, *sorted((one, other)))
    code = laid_out(labels.LINK_CODE, scanned.request_hash, answer.encode())
    info = laid_out(labels.LINK_ANSWER, scanned.mailbox_id, scanned.request_hash)
    assert info["transcript"] == linking._info(scanned).hex()
    return {
        "safety_number": safety
        | {
            "sha512": sha512(bytes.fromhex(safety["transcript"])).hexdigest(),
            "digits": safety_number(one, other),
        },
        "link_code": code
        | {
            "sha256": sha256(bytes.fromhex(code["transcript"])).hexdigest(),
            "digits": short_code(scanned.request_hash, answer),
        },
        "link_answer": info,
    }


def names(random: SeededRandom) -> JsonObject:
    """Hashes that stand for something."""
    salt, one, other = random(16), random(32), random(32)
    facts = MessageFacts(random(32), one, random(16), random(16), random(32))
    fields = facts.conversation_id, facts.account, facts.device, facts.message_id, facts.content_hash
    return {
        "log_handle": laid_out(labels.LOG_HANDLE, salt, b"anna")
        | {"sha256": handle_subject(salt, "anna").hex()},
        "direct_conversation": laid_out(DIRECT_CONVERSATION_LABEL, *sorted((one, other)))
        | {"sha256": direct_conversation(other, one).hex()},
        "message_reference": laid_out(labels.MESSAGE_REFERENCE, *fields)
        | {"sha256": facts.reference().hex()},
    }


def keys(random: SeededRandom) -> JsonObject:
    """What is derived by HKDF: `salt`, `key` as input keying material, and the transcript, or the label alone, as info."""
    account, key, salt, index, version = random(32), random(32), random(32), 7, 3
    entry_key = HistoryKey(key, NOW_MS)
    by_words = RecoveryKey(key)
    archive = dict(
        zip(
            ("aes_key", "nonce", "commitment"),
            history_archive._derive(key, salt, account, index),
            strict=True,
        )
    )
    shown = dict(
        zip(("aes_key", "nonce", "commitment"), profile._derive(key, salt, account, version), strict=True)
    )
    given = {"salt": salt.hex(), "key": key.hex()}
    return {
        "recovery_root": {
            "label": labels.RECOVERY_ROOT.hex(),
            "key": key.hex(),
            "seed": by_words.root().seed.hex(),
        },
        "recovery_sealing": {
            "label": labels.RECOVERY_SEALING.hex(),
            "key": key.hex(),
            "seed": by_words.sealing().seed.hex(),
        },
        "history_key_id": laid_out(labels.HISTORY_KEY_ID, account)
        | {"key": key.hex(), "key_id": entry_key.id_for(account).hex()},
        "history_entry": laid_out(labels.HISTORY_ENTRY, account, u64(index))
        | given
        | {name: value.hex() for name, value in archive.items()},
        "history_keys": laid_out(labels.HISTORY_KEYS, account),
        "history_gift": laid_out(labels.HISTORY_GIFT, account, key[:16], salt[:16], u32(index)),
        "profile": laid_out(labels.PROFILE, account, u64(version))
        | given
        | {name: value.hex() for name, value in shown.items()},
    }


def signatures(random: SeededRandom) -> JsonObject:
    """What is signed, and what a backup is sealed for."""
    signer = SigningKeyPair.from_seed(random(32))
    account, device, sealed_hash, content = random(32), random(16), random(32), b"what a profile says"
    head = BackupHead(account, device, 4, 2, random(32), NOW_MS)
    origin, target, token = "http://127.0.0.1:8080", "https://push.example/hook?x=1", random(16)

    def signed(laid: JsonObject, as_product: bytes) -> JsonObject:
        assert laid["transcript"] == as_product.hex()
        return laid | {
            "signing_seed": signer.seed.hex(),
            "signature": signer.sign(bytes.fromhex(laid["transcript"])).hex(),
        }

    hook = origin.encode(), target.encode(), u64(NOW_MS), token
    sealing = laid_out(labels.BACKUP_KEY, *head.fields())
    assert sealing["transcript"] == recovery._info(head).hex()
    return {
        "backup_key": sealing,
        "backup": signed(
            laid_out(labels.BACKUP, *head.fields(), sealed_hash), recovery._signed(head, sealed_hash)
        ),
        "profile_signature": signed(
            laid_out(labels.PROFILE_SIGNATURE, account, u64(3), device, content),
            profile._signed(account, 3, device, content),
        ),
        "push_webhook": signed(
            laid_out(PUSH_WEBHOOK_LABEL, *hook),
            webhook_transcript(origin=origin, target=target, time_ms=NOW_MS, token=token),
        ),
    }


def document() -> str:
    random = SeededRandom("account derivations")
    content = {
        "about": "docs/protocol.md, chapters Safety number to Push; bytes in hexadecimal;"
        " made by tests/vectors/generate_account_derivations.py",
        **numbers(random),
        **names(random),
        **keys(random),
        **signatures(random),
    }
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
