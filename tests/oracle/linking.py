"""How a device is linked; docs/protocol.md, "Linking"."""

from tests.oracle import ed25519, hpke, x25519
from tests.oracle.manifests import Manifest, device_transcript
from tests.oracle.refusals import require
from tests.oracle.transcripts import fields_of, is_utf8, number, sha256, split, transcript

REQUEST = b"tokenim/v1 link request\0"
LIFETIME_MS = 60_000


def require_good(after_ms: int, again: bool = False) -> None:
    """Once, and within 60 s: of the request, its answer, and the user's yes."""
    require(0 <= after_ms <= LIFETIME_MS and not again, "late or used", "LinkRefused")


def parse_qr(data: bytes) -> tuple[bytes, bytes]:
    """Id of the link mailbox, hash of the request."""
    mailbox, hashed = split(data, 16, 32)
    return mailbox, hashed


def request(
    sealing_public: bytes, device: bytes, signing_seed: bytes, identity_public: bytes, name: str
) -> bytes:
    keys = sealing_public, device, ed25519.public_of(signing_seed), identity_public
    signed = transcript(REQUEST, *keys, name.encode())
    return ed25519.sign(signing_seed, signed) + signed


def parse_request(data: bytes, scanned_hash: bytes) -> tuple[bytes, ...]:
    """X-Wing key, device id, signing key, identity key, name."""
    require(sha256(data) == scanned_hash, "not the one that was scanned", "LinkRefused")
    fields = fields_of(REQUEST, data[64:])
    require([len(each) for each in fields[:4]] == [1_216, 16, 32, 32] and len(fields) == 5, "lengths")
    sealing, device, signing, identity, name = fields
    require(1 <= len(name) <= 64 and is_utf8(name), "name")
    hpke.check(sealing)
    x25519.check(identity)
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


def verify_confirmation(account: bytes, asked: tuple[bytes, ...], signature: bytes) -> None:
    """The manager's check; `asked` is the request that was answered, as it was read."""
    _, device, signing, identity, _ = asked
    ed25519.verify(signing, device_transcript(account, device, signing, identity), signature)


def require_listed(chain: list[Manifest], manager: bytes, asked: tuple[bytes, ...]) -> None:
    """The new device's check: with its own keys, first in the version that the answering manager signed."""
    _, device, *keys, _ = asked
    first = next((one for one in chain if device in one.devices), None)
    require(first and first.signer == manager, "not listed by that manager", "DevicesRefused")
    newest = chain[-1].devices.get(device)
    same = newest and [newest.signing, newest.identity] == keys
    require(same, "not listed, or with other keys", "DevicesRefused")
