"""The recovery key as words, and backups; docs/protocol.md, "Recovery"."""

from pathlib import Path
from typing import Any

from tests.oracle import ed25519, hpke, message_pack
from tests.oracle.blobs import unpad_exactly
from tests.oracle.manifests import Manifest, account_id
from tests.oracle.refusals import Refused, require
from tests.oracle.transcripts import hkdf, number, sha256, split, transcript, u16

# The English list of BIP-39: a text of others, of which `test_recovery_words` pins the published hash.
WORD_LIST = Path(__file__).parents[2] / "crypto" / "bip39_english.txt"
WORDS = WORD_LIST.read_text(encoding="ascii").split()
FIELDS = (1, 32, 16, 8, 8, 32, 8, 64)


def words_of(key: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in key + sha256(key)[:1])
    return " ".join(WORDS[int(bits[at : at + 11], 2)] for at in range(0, len(bits), 11))


def key_of(words: str) -> bytes:
    listed = words.lower().split()
    require(len(listed) == 24 and set(listed) <= set(WORDS), "words")
    bits = "".join(f"{WORDS.index(word):011b}" for word in listed)
    whole = int(bits, 2).to_bytes(33, "big")
    require(sha256(whole[:32])[0] == whole[32], "checksum")
    return whole[:32]


def seeds(key: bytes) -> tuple[bytes, bytes]:
    """(Seed of the root key, seed of the sealing key)."""
    root = hkdf(b"", key, b"tokenim/v1 recovery root\0", 32)
    return root, hkdf(b"", key, b"tokenim/v1 recovery sealing\0", 32)


def signed_head(backup: bytes) -> bytes:
    return backup[:169] + sha256(backup[169:])


def verify_head(head: bytes, chain: list[Manifest]) -> int:
    """The counter in the signed head of a backup (201 B), whose manager and manifest are on the chain."""
    require(len(head) == 201, "length")
    suite, account, device, counter, version, manifest_hash, at, signature, sealed_hash = split(
        head, *FIELDS, 32
    )
    require(suite == b"\x01", "suite")
    require(max(number(counter), number(version), number(at)) < 2**53, "a number")
    require(account == account_id(chain[-1].root), "another account", "ManifestRefused")
    require(number(version) <= chain[-1].version, "not known yet", "ManifestGap")
    named = [one for one in chain if (one.version, one.hash) == (number(version), manifest_hash)]
    require(named, "not on the chain", "ManifestRefused")
    require(device in named[0].devices, "not listed", "UnknownDevice")
    require(named[0].devices[device].manager, "no manager", "ManifestRefused")
    fields = account, device, counter, version, manifest_hash, at
    signed = transcript(b"tokenim/v1 backup\0", *fields, sealed_hash)
    ed25519.verify(named[0].devices[device].signing, signed, signature)
    return number(counter)


def open_backup(backup: bytes, sealing_seed: bytes, chain: list[Manifest]) -> tuple[int, bytes]:
    """(Counter, content) of a backup whose manifest is on the chain, by a manager that it lists."""
    require(len(backup) >= 169, "length")
    sealed = backup[169:]
    counter = verify_head(signed_head(backup), chain)
    _, *fields, _ = split(backup[:169], *FIELDS)
    padded = hpke.unseal(sealing_seed, transcript(b"tokenim/v1 backup key\0", *fields), sealed)
    return counter, unpad_exactly(padded)


def require_newest(backup: bytes, chain: list[Manifest], known_counter: int) -> None:
    """What a user has to be warned of: a higher counter that somebody knows, a manager that was removed since."""
    device, counter = backup[33:49], number(backup[49:57])
    require(counter >= known_counter, "an older one", "BackupOutdated")
    listed = chain[-1].devices.get(device)
    require(listed and listed.manager, "its manager was removed", "BackupOutdated")


def parts_of(backup: bytes) -> list[bytes]:
    """The entries of the account log `backup`."""
    size = 240 * 1_024
    cut = [backup[at : at + size] for at in range(0, len(backup), size)]
    return [b"\x01" + sha256(backup) + u16(part) + u16(len(cut)) + data for part, data in enumerate(cut)]


def whole_backups(entries: list[bytes]) -> list[bytes]:
    """The backups of which all parts are there."""
    parts: dict[bytes, dict[int, bytes]] = {}
    for entry in entries:
        if entry[:1] == b"\x01" and len(entry) > 37:
            parts.setdefault(entry[1:33] + entry[35:37], {})[number(entry[33:35])] = entry[37:]
    whole = []
    for name, of in parts.items():
        joined = b"".join(of[at] for at in sorted(of))
        if sorted(of) == list(range(number(name[32:]))) and sha256(joined) == name[:32]:
            whole.append(joined)
    return whole


def restore(entries: list[bytes], sealing_seed: bytes, chain: list[Manifest]) -> list[Any]:
    """The items of the backup with the highest counter, if it is the newest there was."""
    damaged = False
    for backup in sorted(whole_backups(entries), key=lambda one: one[49:57], reverse=True):
        try:
            _, content = open_backup(backup, sealing_seed, chain)
            items = items_of(content)
        except Refused:
            damaged = True
            continue
        require_newest(backup, chain, 0)
        require(not damaged, "a newer one is damaged", "BackupOutdated")
        return items
    raise Refused("no backup opens", "BackupRefused" if damaged else "InvalidEncoding")


def items_of(content: bytes) -> list[Any]:
    """The shared items in a backup."""
    fields = message_pack.decode(content)
    require(isinstance(fields, list) and len(fields) >= 2 and type(fields[0]) is int, "no items")
    require(fields[0] >= 1 and isinstance(fields[1], list), "no items")
    return list(fields[1])
