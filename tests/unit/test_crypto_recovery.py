"""Recovery: words after BIP-39, keys that follow from them, backups that only they open and that cannot pass for newer."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from crypto import labels, limits
from crypto.errors import (
    BackupOutdated,
    CryptoError,
    InvalidEncoding,
    ManifestGap,
    ManifestRefused,
    TooLarge,
    Undecryptable,
)
from crypto.keys import LocalDevice
from crypto.manifest import build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.recovery import (
    BACKUP_HEAD_BYTES,
    RecoveryKey,
    SignedBackup,
    SignedBackupHead,
    open_backup,
    seal_backup,
    verify_backup_head,
)
from crypto.recovery_words import key_of_words, word_list, words_of_key
from crypto.transcript import transcript
from tests.crypto_people import NOW_MS, Person, SeededRandom

BIP39 = json.loads((Path(__file__).parents[1] / "vectors" / "bip39.json").read_text())["vectors"]


def test_the_word_list_is_that_of_bip_39() -> None:
    words = word_list()
    assert (len(words), len(set(words)), words[0], words[-1]) == (2_048, 2_048, "abandon", "zoo")
    assert len({word[:4] for word in words}) == 2_048
    assert list(words) == sorted(words)


@pytest.mark.parametrize("vector", BIP39, ids=lambda vector: vector["entropy"][:8])
def test_the_vectors_of_bip_39(vector: dict[str, str]) -> None:
    key = bytes.fromhex(vector["entropy"])
    assert " ".join(words_of_key(key)) == vector["words"]
    assert key_of_words(vector["words"]) == key
    assert key_of_words("  " + vector["words"].upper().replace(" ", "\n ")) == key


def test_a_slip_of_the_pen_is_seen() -> None:
    words = list(words_of_key(bytes(range(32))))
    with pytest.raises(InvalidEncoding, match="24 words are needed, not 23"):
        key_of_words(" ".join(words[1:]))
    with pytest.raises(InvalidEncoding, match="word 3 is not in the list"):
        key_of_words(" ".join([*words[:2], "zzz", *words[3:]]))
    with pytest.raises(InvalidEncoding, match="checksum"):
        key_of_words(" ".join([words[1], words[0], *words[2:]]))
    for length in (0, 16, 31, 33):
        with pytest.raises(InvalidEncoding):
            words_of_key(bytes(length))


def test_root_and_sealing_key_follow_from_the_key_and_differ() -> None:
    recovery = RecoveryKey.generate(SeededRandom("recovery"))
    again = RecoveryKey.from_words(" ".join(recovery.words()))
    assert again.key == recovery.key
    assert again.root().public == recovery.root().public
    assert again.sealing().public_bytes() == recovery.sealing().public_bytes()
    assert len({recovery.key, recovery.root().seed, recovery.sealing().seed}) == 3
    assert recovery.key.hex() not in repr(recovery)


class Owner(Person):
    """An account whose root key comes from words."""

    def __init__(self) -> None:
        super().__init__("owner", stock=0)
        self.recovery = RecoveryKey.generate(SeededRandom("words of the owner"))
        self.sealing_public = self.recovery.sealing().public_bytes()

    def back_up(self, content: bytes, counter: int = 1) -> SignedBackup:
        return seal_backup(content, self.sealing_public, self.device, self.manifest, counter, NOW_MS)

    def replaced_by(self, other: LocalDevice, *, manager: bool = True) -> VerifiedManifest:
        listed = [device_entry(other, added_at_ms=NOW_MS, manager=manager)]
        body = build_manifest(self.root.public, self.manifest.version + 1, self.manifest.hash, listed)
        return verify_chain(self.account, self.manifest, [sign_manifest(body, self.root)])


def test_a_backup_opens_with_the_words_alone() -> None:
    owner = Owner()
    content = b"contacts and groups" * 100
    encoded = owner.back_up(content).encode()
    backup = SignedBackup.parse(encoded)
    assert open_backup(backup, owner.recovery, owner.manifest) == content
    with pytest.raises(Undecryptable):
        open_backup(backup, RecoveryKey(bytes(32)), owner.manifest)
    assert content[:19] not in encoded


@pytest.mark.parametrize("length", [0, 1, 252, 253, 5_000])
def test_the_size_of_a_backup_says_little(length: int) -> None:
    owner = Owner()
    sizes = {
        len(owner.back_up(bytes(length)).encode()),
        len(owner.back_up(bytes(max(0, length - 1))).encode()),
    }
    assert open_backup(owner.back_up(bytes(length)), owner.recovery, owner.manifest) == bytes(length)
    assert len(sizes) == (2 if length == 253 else 1)


@pytest.mark.proves("M-RECOV-02")
def test_d3_an_older_backup_warns_and_opens_if_the_user_says_so() -> None:
    owner = Owner()
    old = owner.back_up(b"old", 3)
    with pytest.raises(BackupOutdated) as caught:
        open_backup(old, owner.recovery, owner.manifest, known_counter=5)
    assert (caught.value.counter, caught.value.known_counter) == (3, 5)
    fine = open_backup(old, owner.recovery, owner.manifest, known_counter=5, outdated_is_fine=True)
    assert fine == b"old"
    assert open_backup(old, owner.recovery, owner.manifest, known_counter=3) == b"old"


@pytest.mark.proves("M-RECOV-02")
def test_d3_a_backup_by_a_manager_that_was_removed_since_warns() -> None:
    owner = Owner()
    backup = owner.back_up(b"of the one that was stolen", 9)
    newest = owner.replaced_by(LocalDevice.generate(owner.account, owner.random))
    with pytest.raises(BackupOutdated, match="removed since"):
        open_backup(backup, owner.recovery, newest, known_counter=2)
    assert open_backup(backup, owner.recovery, newest, outdated_is_fine=True)


def test_d3_a_contact_is_told_of_backups_by_a_manager_of_the_account_alone() -> None:
    """Or a device that makes none could call a good backup an old one."""
    owner = Owner()
    head = owner.back_up(b"mine").signed_head
    assert verify_backup_head(head, owner.manifest).device_id == owner.device.device_id
    with pytest.raises(ManifestRefused, match="another account"):
        verify_backup_head(head, Person("x", stock=0).manifest)
    other = LocalDevice.generate(owner.account, owner.random)
    demoted = owner.replaced_by(other, manager=False)
    made_up = replace(
        head.head,
        device=other.device_id,
        manifest_version=demoted.version,
        manifest_hash=demoted.hash,
        counter=9,
    )
    signature = other.signing.sign(transcript(labels.BACKUP, *made_up.fields(), head.sealed_hash))
    with pytest.raises(ManifestRefused, match="no manager"):
        verify_backup_head(SignedBackupHead(made_up, signature, head.sealed_hash), demoted)


@pytest.mark.proves("M-RECOV-01")
def test_d3_a_backup_that_names_an_unknown_manifest_is_not_believed() -> None:
    owner = Owner()
    other = LocalDevice.generate(owner.account, owner.random)
    newest = owner.replaced_by(other)
    backup = seal_backup(b"newer", owner.sealing_public, other, newest, 1, NOW_MS)
    with pytest.raises(ManifestGap):
        open_backup(backup, owner.recovery, owner.manifest)
    assert open_backup(backup, owner.recovery, newest) == b"newer"
    with pytest.raises(ManifestRefused):
        open_backup(backup, owner.recovery, Person("x", stock=0).manifest)


def test_only_a_manager_makes_backups() -> None:
    owner = Owner()
    bot = LocalDevice.generate(owner.account, owner.random)
    newest = owner.replaced_by(bot, manager=False)
    with pytest.raises(ManifestRefused):
        seal_backup(b"x", owner.sealing_public, bot, newest, 1, NOW_MS)


def test_each_flipped_byte_of_a_backup_is_refused() -> None:
    owner = Owner()
    encoded = owner.back_up(b"intact").encode()
    places = [*range(BACKUP_HEAD_BYTES + 4), *range(BACKUP_HEAD_BYTES + 4, len(encoded), 97)]
    for at in places:
        altered = encoded[:at] + bytes((encoded[at] ^ 1,)) + encoded[at + 1 :]
        with pytest.raises(CryptoError):
            open_backup(SignedBackup.parse(altered), owner.recovery, owner.manifest)
    with pytest.raises(InvalidEncoding):
        SignedBackup.parse(encoded[: BACKUP_HEAD_BYTES - 1])


def test_a_backup_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BACKUP_BYTES", 100)
    with pytest.raises(TooLarge):
        Owner().back_up(bytes(101))
