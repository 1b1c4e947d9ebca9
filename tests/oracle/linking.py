"""How a device is linked; docs/protocol.md, "Linking"."""

from tests.oracle import ed25519, hpke
from tests.oracle.manifests import device_transcript
from tests.oracle.refusals import require
from tests.oracle.transcripts import fields_of, number, sha256, split, transcript

REQUEST = b"tokenim/v1 link request\0"


def request(
    sealing_public: bytes, device: bytes, signing_seed: bytes, identity_public: bytes, name: str
) -> bytes:
    keys = sealing_public, device, ed25519.public_of(signing_seed), identity_public
    signed = transcript(REQUEST, *keys, name.encode())
    return ed25519.sign(signing_seed, signed) + signed


def parse_request(data: bytes, scanned_hash: bytes) -> tuple[bytes, ...]:
    """X-Wing key, device id, signing key, identity key, name."""
    require(sha256(data) == scanned_hash, "not the one that was scanned")
    sealing, device, signing, identity, name = fields_of(REQUEST, data[64:])
    require([len(each) for each in (sealing, device, identity)] == [1_216, 16, 32], "lengths")
    require(1 <= len(name) <= 64, "name")
    ed25519.verify(signing, data[64:], data[:64])
    return sealing, device, signing, identity, name


def answer_info(mailbox: bytes, asked: bytes) -> bytes:
    return transcript(b"tokenim/v1 link answer\0", mailbox, sha256(asked))


def open_answer(
    sealed: bytes, sealing_seed: bytes, mailbox: bytes, asked: bytes
) -> tuple[bytes, bytes, bytes]:
    """Account id, manager's device id, nonce."""
    opened = hpke.unseal(sealing_seed, answer_info(mailbox, asked), sealed)
    account, device, nonce = split(opened, 32, 16, 32)
    return account, device, nonce


def digits(asked: bytes, answer: bytes) -> str:
    digest = sha256(transcript(b"tokenim/v1 link code\0", sha256(asked), answer))
    return f"{number(digest[:8]) % 10**8:08}"


def confirmation(account: bytes, device: bytes, signing_seed: bytes, identity_public: bytes) -> bytes:
    signed = device_transcript(account, device, ed25519.public_of(signing_seed), identity_public)
    return ed25519.sign(signing_seed, signed)
