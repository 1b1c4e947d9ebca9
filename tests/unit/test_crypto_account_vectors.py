"""linking.json and recovery.json, as the client's code judges them: what holds, and of what must fail the kind of failure."""

import json
from pathlib import Path
from typing import Any

import pytest

from client.devices.joining import _check_listed
from client.errors import ClientError
from client.recovery.backup_parts import parts_of, whole_backups
from client.recovery.restoring import RestoreWishes, _open_newest
from client.store.link_rows import Joining
from crypto.errors import CryptoError
from crypto.keys import IdentityKeyPair, SigningKeyPair
from crypto.linking import LinkAnswer, LinkDesk, LinkOffer, LinkRequest, ScannedLink, confirm_link, short_code
from crypto.manifest import SignedManifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.primitives import HpkePrivateKey, sha256
from crypto.recovery import RecoveryKey, SignedBackup, SignedBackupHead, open_backup, verify_backup_head
from tests.crypto_people import NOW_MS, Person, SeededRandom

FOLDER = Path(__file__).parents[1] / "vectors"
LINKING = json.loads((FOLDER / "linking.json").read_text(encoding="utf-8"))
RECOVERY = json.loads((FOLDER / "recovery.json").read_text(encoding="utf-8"))
WORDS = RecoveryKey.from_words(RECOVERY["words"])


def name_of(case: dict[str, Any]) -> str:
    return str(case["name"])


def data(of: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(of[name]) for name in names]


def walked(encoded: list[str]) -> VerifiedManifest:
    manifests = [SignedManifest.parse(bytes.fromhex(one)) for one in encoded]
    return verify_chain(manifests[0].manifest.account_id, None, manifests)


CHAINS = {name: walked(encoded) for name, encoded in RECOVERY["must_fail"]["chains"].items()}

# Linking


def offer() -> LinkOffer:
    """The new device's side as it is before an answer comes."""
    sealing, signing, identity, request = data(
        LINKING, "sealing_seed", "signing_seed", "identity_private", "request"
    )
    return LinkOffer(
        ScannedLink.parse(bytes.fromhex(LINKING["qr"])),
        LinkRequest.parse(request),
        HpkePrivateKey(sealing),
        SigningKeyPair.from_seed(signing),
        IdentityKeyPair.from_seed(identity),
        NOW_MS,
    )


ANSWER = LinkAnswer.parse(bytes.fromhex(LINKING["answer"]))


def scan(qr: str, request: str, after_ms: int, again: bool) -> None:
    """What a manager does that scanned this code."""
    scanned, desk = ScannedLink.parse(bytes.fromhex(qr)), LinkDesk()
    person, random = Person("manager", stock=0), SeededRandom("answer")
    asked = scanned, bytes.fromhex(request), person.device, random
    if again:
        desk, *_ = desk.answer(*asked, NOW_MS, NOW_MS)
    desk.answer(*asked, NOW_MS, NOW_MS + after_ms)


def listed(manifests: list[str]) -> None:
    """What the new device does with the account's lists, once the relay gives them."""
    local = offer().device(ANSWER.account)
    joining = Joining("https://relay.example", bytes(32), local, ANSWER.device_id, NOW_MS)
    _check_listed(walked(manifests), joining)


def test_the_link_goes_through() -> None:
    scanned = ScannedLink.parse(bytes.fromhex(LINKING["qr"]))
    request, sealed = data(LINKING, "request", "sealed_answer")
    assert scanned.encode().hex() == LINKING["qr"]
    assert scanned.request_hash == sha256(request)
    assert LinkRequest.parse(request).encode() == request
    scan(LINKING["qr"], LINKING["request"], 60_000, again=False)
    used, answer, code = offer().open_answer(sealed, NOW_MS + 60_000)
    assert (answer.encode().hex(), code) == (LINKING["answer"], LINKING["code"])
    assert short_code(scanned.request_hash, answer) == code
    assert confirm_link(used, answer).hex() == LINKING["confirmation"]
    listed(LINKING["manifests"])


@pytest.mark.parametrize("case", LINKING["must_fail"]["requests"], ids=name_of)
def test_a_request_that_must_not_be_answered(case: dict[str, Any]) -> None:
    with pytest.raises(CryptoError) as caught:
        scan(case["qr"], case["request"], case["after_ms"], case["again"])
    assert type(caught.value).__name__ == case["error"]


@pytest.mark.parametrize("case", LINKING["must_fail"]["answers"], ids=name_of)
def test_an_answer_that_must_not_be_taken(case: dict[str, Any]) -> None:
    """And uses nothing up: the good one opens after it."""
    before, (sealed,) = offer(), data(LINKING, "sealed_answer")
    if case["again"]:
        before, *_ = before.open_answer(sealed, NOW_MS)
    with pytest.raises(CryptoError) as caught:
        before.open_answer(bytes.fromhex(case["sealed_answer"]), NOW_MS + case["after_ms"])
    assert type(caught.value).__name__ == case["error"]
    assert case["again"] or before.open_answer(sealed, NOW_MS)


@pytest.mark.parametrize("case", LINKING["must_fail"]["confirmations"], ids=name_of)
def test_a_confirmation_that_lists_nothing(case: dict[str, Any]) -> None:
    person = Person("link vectors", stock=0)
    assert person.account == ANSWER.account
    request = offer().request.encode()
    _, answered, _ = LinkDesk().answer(offer().scanned, request, person.device, person.random, NOW_MS, NOW_MS)
    assert answered.entry(bytes.fromhex(LINKING["confirmation"]), NOW_MS + 60_000)
    with pytest.raises(CryptoError) as caught:
        answered.entry(bytes.fromhex(case["confirmation"]), NOW_MS + case["after_ms"])
    assert type(caught.value).__name__ == case["error"]


@pytest.mark.parametrize("case", LINKING["must_fail"]["lists"], ids=name_of)
def test_a_list_that_the_new_device_does_not_go_by(case: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        listed(case["manifests"])
    assert type(caught.value).__name__ == case["error"]


# Recovery


def test_the_backup_encodes_identically_and_opens() -> None:
    newest = walked([RECOVERY["manifest"]])
    encoded, head = data(RECOVERY, "backup", "signed_head")
    backup = SignedBackup.parse(encoded)
    assert backup.encode() == encoded
    assert backup.signed_head.encode() == SignedBackupHead.parse(head).encode() == head
    manager = verify_backup_head(SignedBackupHead.parse(head), newest)
    assert manager.signing_public.hex() == RECOVERY["signing_public"]
    assert backup.head.counter == RECOVERY["counter"]
    opened = open_backup(backup, WORDS, newest, known_counter=RECOVERY["counter"])
    assert opened.hex() == RECOVERY["content"]
    assert [part.hex() for part in parts_of(encoded)] == RECOVERY["entries"]
    assert whole_backups(parts_of(encoded)) == [backup]


def test_the_keys_follow_from_the_words() -> None:
    assert (WORDS.key.hex(), " ".join(WORDS.words())) == (RECOVERY["key"], RECOVERY["words"])
    assert WORDS.root().seed.hex() == RECOVERY["root_seed"]
    assert WORDS.root().public.hex() == RECOVERY["root_public"]
    assert WORDS.sealing().seed.hex() == RECOVERY["sealing_seed"]
    assert WORDS.sealing().public_bytes().hex() == RECOVERY["sealing_public"]


@pytest.mark.parametrize("case", RECOVERY["must_fail"]["words"], ids=name_of)
def test_words_that_are_no_key(case: dict[str, Any]) -> None:
    with pytest.raises(CryptoError) as caught:
        RecoveryKey.from_words(case["words"])
    assert type(caught.value).__name__ == case["error"]


@pytest.mark.proves("M-RECOV-05")
@pytest.mark.parametrize("case", RECOVERY["must_fail"]["backups"], ids=name_of)
def test_a_backup_that_is_refused_or_warned_of(case: dict[str, Any]) -> None:
    encoded, known = bytes.fromhex(case["backup"]), case["known_counter"]
    with pytest.raises(CryptoError) as caught:
        open_backup(SignedBackup.parse(encoded), WORDS, CHAINS[case["chain"]], known_counter=known)
    assert type(caught.value).__name__ == case["error"]
    if case["error"] == "BackupOutdated":
        backup = SignedBackup.parse(encoded)
        assert open_backup(backup, WORDS, CHAINS[case["chain"]], known_counter=known, outdated_is_fine=True)


@pytest.mark.parametrize("case", RECOVERY["must_fail"]["heads"], ids=name_of)
def test_a_head_that_says_nothing(case: dict[str, Any]) -> None:
    with pytest.raises(CryptoError) as caught:
        verify_backup_head(SignedBackupHead.parse(bytes.fromhex(case["head"])), CHAINS[case["chain"]])
    assert type(caught.value).__name__ == case["error"]


@pytest.mark.parametrize("case", RECOVERY["must_fail"]["logs"], ids=name_of)
def test_a_log_of_which_no_backup_is_taken_unasked(case: dict[str, Any]) -> None:
    backups = whole_backups(bytes.fromhex(entry) for entry in case["entries"])
    with pytest.raises(ClientError) as caught:
        _open_newest(backups, WORDS, CHAINS[case["chain"]], RestoreWishes("restored"))
    assert type(caught.value).__name__ == case["error"]
