"""The derivations outside sessions and groups, compared with the oracle; the function reads the whole of its file."""

import hashlib

from tests.oracle import contents, ed25519, history, linking, manifests, profiles, recovery, transparency
from tests.oracle.transcripts import hkdf, number, sha256, transcript
from tests.oracle.vector_files import Part

LABELS = {
    "safety_number": b"tokenim/v1 safety number\0",
    "link_code": b"tokenim/v1 link code\0",
    "link_answer": b"tokenim/v1 link answer\0",
    "log_handle": b"tokenim/v1 log handle\0",
    "direct_conversation": b"tokenim/v1 direct conversation\0",
    "message_reference": b"tokenim/v1 message reference\0",
    "recovery_root": b"tokenim/v1 recovery root\0",
    "recovery_sealing": b"tokenim/v1 recovery sealing\0",
    "history_key_id": b"tokenim/v1 history key id\0",
    "history_entry": b"tokenim/v1 history entry\0",
    "history_keys": b"tokenim/v1 history keys\0",
    "history_gift": b"tokenim/v1 history gift\0",
    "profile": b"tokenim/v1 profile\0",
    "backup_key": b"tokenim/v1 backup key\0",
    "backup": b"tokenim/v1 backup\0",
    "profile_signature": b"tokenim/v1 profile signature\0",
    "push_webhook": b"tokenim/v1 push webhook\0",
}


def check_laid_out(part: Part, label: bytes) -> list[bytes]:
    """The fields, after the transcript was built of them, and hashed or signed where the file has that."""
    assert part.data("label") == label
    if "fields" not in part:
        return []
    fields = part["fields"].all_data()
    whole = part.data("transcript")
    assert transcript(label, *fields) == whole
    if "sha256" in part:
        assert sha256(whole) == part.data("sha256")
    if "sha512" in part:
        assert hashlib.sha512(whole).digest() == part.data("sha512")
    if "signature" in part:
        seed, signature = part.data("signing_seed", "signature")
        assert ed25519.sign(seed, whole) == signature
        ed25519.verify(ed25519.public_of(seed), whole, signature)
    return fields


def check_account_derivations(file: Part) -> None:
    fields = {name: check_laid_out(file[name], label) for name, label in LABELS.items()}
    check_numbers(file, fields)
    check_names(file, fields)
    check_keys(file, fields)
    account, version, device, content = fields["profile_signature"]
    signed = profiles.signed(account, number(version), device, content)
    assert signed == file["profile_signature"].data("transcript")
    assert fields["backup"][:-1] == fields["backup_key"]
    assert [len(field) for field in fields["push_webhook"]][2:] == [8, 16]


def check_numbers(file: Part, fields: dict[str, list[bytes]]) -> None:
    assert manifests.safety_number(*fields["safety_number"]) == file["safety_number"]["digits"]
    assert manifests.safety_number(*reversed(fields["safety_number"])) == file["safety_number"]["digits"]
    part = file["link_code"]
    assert f"{number(part.data('sha256')[:8]) % 10**8:08}" == part["digits"]
    asked = b"a link request"
    mailbox, _ = fields["link_answer"]
    assert linking.answer_info(mailbox, asked) == transcript(LABELS["link_answer"], mailbox, sha256(asked))


def check_names(file: Part, fields: dict[str, list[bytes]]) -> None:
    salt, handle = fields["log_handle"]
    subject, _ = transparency.handle_leaf(salt, handle.decode(), 1, bytes(32))
    assert subject == file["log_handle"].data("sha256")
    one, other = fields["direct_conversation"]
    assert contents.conversation_id(other, one) == file["direct_conversation"].data("sha256")
    assert len(fields["message_reference"]) == 5


def check_keys(file: Part, fields: dict[str, list[bytes]]) -> None:
    root, sealing = file["recovery_root"], file["recovery_sealing"]
    assert recovery.seeds(root.data("key")) == (root.data("seed"), sealing.data("seed"))
    assert root.data("key") == sealing.data("key")
    part = file["history_key_id"]
    assert history.key_id(part.data("key"), *fields["history_key_id"]) == part.data("key_id")
    for name, derive in (("history_entry", history.derive), ("profile", profiles.derive)):
        part = file[name]
        account, where = fields[name]
        key, salt = part.data("key", "salt")
        made = derive(key, salt, account, number(where))
        assert made == tuple(part.data("aes_key", "nonce", "commitment"))
        assert b"".join(made) == hkdf(salt, key, part.data("transcript"), 76)


CHECKS = {"account_derivations.json": check_account_derivations}
