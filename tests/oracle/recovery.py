"""The recovery key as words, and backups; docs/protocol.md, "Recovery"."""

from pathlib import Path

from tests.oracle import ed25519, hpke
from tests.oracle.blobs import padded_length
from tests.oracle.manifests import Manifest
from tests.oracle.padding import unpad
from tests.oracle.refusals import require
from tests.oracle.transcripts import hkdf, number, sha256, split, transcript

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
    named = [one for one in chain if (one.version, one.hash) == (number(version), manifest_hash)]
    require(named and device in named[0].devices and named[0].devices[device].manager, "no manager")
    fields = account, device, counter, version, manifest_hash, at
    signed = transcript(b"tokenim/v1 backup\0", *fields, sealed_hash)
    ed25519.verify(named[0].devices[device].signing, signed, signature)
    return number(counter)


def open_backup(backup: bytes, sealing_seed: bytes, chain: list[Manifest]) -> tuple[int, bytes]:
    """(Counter, content) of a backup whose manifest is on the chain, by a manager that it lists."""
    sealed = backup[169:]
    counter = verify_head(signed_head(backup), chain)
    _, *fields, _ = split(backup[:169], *FIELDS)
    padded = hpke.unseal(sealing_seed, transcript(b"tokenim/v1 backup key\0", *fields), sealed)
    content = unpad(padded)
    require(len(padded) == padded_length(4 + len(content)), "size")
    return counter, content
