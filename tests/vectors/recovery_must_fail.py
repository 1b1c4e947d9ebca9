"""What recovery.json holds that must be refused, or warned of: words, backups, signed heads, logs of backups.

`generate_accounts.py` writes them into the file. What is sealed is sealed by the oracle, with randomness from a seed.
"""

from dataclasses import replace
from typing import Any

from client.recovery.backup_content import encode_backup
from client.recovery.backup_parts import parts_of
from crypto import labels
from crypto.keys import LocalDevice
from crypto.manifest import build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.padding import pad, padded_blob_length
from crypto.primitives import sha256
from crypto.recovery import BACKUP_HEAD_BYTES, BackupHead, RecoveryKey, SignedBackup
from crypto.transcript import transcript
from tests.crypto_people import NOW_MS, Person, SeededRandom
from tests.oracle import hpke

CONTENT = b"what a client puts into a backup"
TOO_LARGE = 2**53


class Cases:
    """An account whose list changed once: `second` came, no manager; `removed` is a list of the account without the first."""

    def __init__(self, person: Person, key: RecoveryKey) -> None:
        self.person, self.key, self.random = person, key, SeededRandom("recovery must fail")
        self.device, self.first = person.device, person.manifest
        self.second = LocalDevice.generate(person.account, self.random)
        self.both = self.following([(self.device, True), (self.second, False)])
        self.removed = self.following([(self.second, True)])
        self.of_both = {"manifest_version": 2, "manifest_hash": self.both.hash}
        self.chains = {"first": self.first, "two devices": self.both, "manager removed": self.removed}

    def following(self, listed: list[tuple[LocalDevice, bool]]) -> VerifiedManifest:
        entries = [device_entry(device, added_at_ms=NOW_MS, manager=manager) for device, manager in listed]
        body = build_manifest(self.person.root.public, 2, self.first.hash, entries)
        return verify_chain(self.person.account, self.first, [sign_manifest(body, self.person.root)])

    def backup(
        self,
        device: LocalDevice | None = None,
        *,
        padded: bytes | None = None,
        sealed_as: dict[str, Any] | None = None,
        label: bytes = labels.BACKUP_KEY,
        to: bytes | None = None,
        signed_label: bytes = labels.BACKUP,
        **head: Any,
    ) -> SignedBackup:
        """A backup by the first device for the first list, but for what is given."""
        device = device or self.device
        own = BackupHead(device.account_id, device.device_id, 3, 1, self.first.hash, NOW_MS)
        told = replace(own, **head)
        info = transcript(label, *replace(told, **(sealed_as or {})).fields())
        content = pad(CONTENT, padded_blob_length(len(CONTENT) + 4)) if padded is None else padded
        sealed = hpke.seal(to or self.key.sealing().public_bytes(), info, content, self.random(64))
        signature = device.signing.sign(transcript(signed_label, *told.fields(), sha256(sealed)))
        return SignedBackup(told, signature, sealed)

    def made(self, *who: LocalDevice, **given: Any) -> bytes:
        return self.backup(*who, **given).encode()

    def head(self, *who: LocalDevice, **given: Any) -> bytes:
        return self.backup(*who, **given).signed_head.encode()

    def must_fail(self) -> dict[str, Any]:
        """All cases, and the lists of devices that they name."""
        cases: dict[str, Any] = {
            "chains": {
                name: [signed.encode().hex() for signed in chain.chain] for name, chain in self.chains.items()
            },
            "words": self._words(),
            "backups": self._backups(),
            "heads": self._heads(),
            "logs": self._logs(),
        }
        cases["backups"] += self._padded_otherwise()  # last: what came before keeps its randomness
        return cases

    def _padded_otherwise(self) -> list[dict[str, Any]]:
        sizes = {"padded to the next size": 512, "not padded": len(CONTENT) + 4}
        return [
            {
                "name": name,
                "chain": "first",
                "backup": self.made(padded=pad(CONTENT, size)).hex(),
                "known_counter": 0,
                "error": "InvalidEncoding",
            }
            for name, size in sizes.items()
        ]

    def _words(self) -> list[dict[str, str]]:
        words = list(self.key.words())
        typed = {
            "a word too few": words[:-1],
            "a word too many": [*words, words[-1]],
            "a word that is not in the list": [*words[:2], "tokens", *words[3:]],
            "a word cut to four letters": [words[0][:4], *words[1:]],
            "two words that changed places": [words[1], words[0], *words[2:]],
            "another last word": [*words[:-1], "zoo"],
        }
        return [
            {"name": name, "words": " ".join(each), "error": "InvalidEncoding"}
            for name, each in typed.items()
        ]

    def _backups(self) -> list[dict[str, Any]]:
        good = self.made()
        zeros, of_both = pad(CONTENT, 256), self.of_both
        in_its_name = replace(self.second, device_id=self.device.device_id)
        of_newer = self.made(**of_both)
        to_another = RecoveryKey(bytes(32)).sealing().public_bytes()
        by_first: dict[str, list[tuple[str, bytes]]] = {
            "ManifestGap": [("of a list that is not known yet", of_newer)],
            "ManifestRefused": [
                ("of another account", self.made(account=bytes(32))),
                ("of a list with another hash", self.made(manifest_hash=self.both.hash)),
            ],
            "UnknownDevice": [("by a device in no list", self.made(self.second))],
            "InvalidSignature": [
                ("the signature of another key", self.made(in_its_name)),
                ("the signature of something else", self.made(signed_label=labels.BACKUP_KEY)),
                ("a changed signature", _flipped(good, BACKUP_HEAD_BYTES - 1)),
                ("another time", _flipped(good, 104)),
                ("another counter", _flipped(good, 56)),
                ("a changed byte of what is sealed", _flipped(good, 1_400)),
                ("cut short", good[:-1]),
                ("nothing sealed", good[:BACKUP_HEAD_BYTES]),
            ],
            "Undecryptable": [
                ("sealed for another counter", self.made(sealed_as={"counter": 2})),
                ("sealed for another time", self.made(sealed_as={"made_at_ms": 1})),
                ("sealed under another label", self.made(label=labels.BACKUP)),
                ("sealed to another key", self.made(to=to_another)),
            ],
            "InvalidEncoding": [
                ("padding that is not zeros", self.made(padded=zeros[:-1] + b"\1")),
                ("a length beyond the end", self.made(padded=b"\0\0\1\0" + zeros[4:])),
                ("too short for a length", self.made(padded=b"\0\0\0")),
                ("another suite", b"\2" + good[1:]),
                ("shorter than its head", good[: BACKUP_HEAD_BYTES - 1]),
                ("a counter of 2^53", self.made(counter=TOO_LARGE)),
                ("a version of 2^53", self.made(manifest_version=TOO_LARGE)),
                ("a time of 2^53", self.made(made_at_ms=TOO_LARGE)),
            ],
        }
        cases: list[tuple[str, str, bytes, int, str]] = [
            ("an older one than is known of", "first", good, 4, "BackupOutdated"),
            ("by a manager that was removed since", "manager removed", good, 0, "BackupOutdated"),
            ("of another list of that version", "manager removed", of_newer, 0, "ManifestRefused"),
            ("by no manager", "two devices", self.made(self.second, **of_both), 0, "ManifestRefused"),
        ]
        for kind, named in by_first.items():
            cases += ((name, "first", bad, 0, kind) for name, bad in named)
        return [
            {"name": name, "chain": chain, "backup": bad.hex(), "known_counter": known, "error": kind}
            for name, chain, bad, known, kind in cases
        ]

    def _heads(self) -> list[dict[str, Any]]:
        good, of_both = self.head(), self.of_both
        cases = [
            ("cut short", "first", good[:-1], "InvalidEncoding"),
            ("a byte behind the end", "first", good + b"\0", "InvalidEncoding"),
            ("another suite", "first", b"\2" + good[1:], "InvalidEncoding"),
            ("a counter of 2^53", "first", self.head(counter=TOO_LARGE), "InvalidEncoding"),
            ("of another account", "first", self.head(account=bytes(32)), "ManifestRefused"),
            ("of a list that is not known yet", "first", self.head(**of_both), "ManifestGap"),
            ("of another list of that version", "manager removed", self.head(**of_both), "ManifestRefused"),
            ("by no manager", "two devices", self.head(self.second, **of_both), "ManifestRefused"),
            ("by a device in no list", "first", self.head(self.second), "UnknownDevice"),
            ("another sealed part", "first", _flipped(good, 200), "InvalidSignature"),
            ("another counter", "first", _flipped(good, 56), "InvalidSignature"),
            ("a changed signature", "first", _flipped(good, 105), "InvalidSignature"),
        ]
        return [
            {"name": name, "chain": chain, "head": bad.hex(), "error": kind}
            for name, chain, bad, kind in cases
        ]

    def _logs(self) -> list[dict[str, Any]]:
        """Entries of the account log `backup`, of which the one with the highest counter is to be taken."""
        whole = pad(encode_backup([]), padded_blob_length(len(encode_backup([])) + 4))
        older, newer = self.backup(padded=whole, counter=3), self.backup(padded=whole, counter=4)
        damaged = replace(newer, sealed=_flipped(newer.sealed, 1_300))
        no_content = self.backup(counter=4)
        cases = [
            ("the newest is damaged", "first", [older, damaged], "BackupOutdated"),
            ("the newest holds no items", "first", [older, no_content], "BackupOutdated"),
            ("its manager was removed since", "manager removed", [older], "BackupOutdated"),
            ("the only one is damaged", "first", [damaged], "BackupRefused"),
            ("the only one holds no items", "first", [no_content], "BackupRefused"),
        ]
        return [
            {
                "name": name,
                "chain": chain,
                "entries": [part.hex() for one in backups for part in parts_of(one.encode())],
                "error": kind,
            }
            for name, chain, backups, kind in cases
        ]


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
