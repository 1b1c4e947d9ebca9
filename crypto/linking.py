"""Linking a device: what it asks for by QR, what a manager answers, and the digits that both show.

The QR names the request by its hash, so no relay can put another device in its place; the answer is sealed to a key of
this one request, so nobody else can compute the digits. Good for 60 s and once (D5). How the two reach each other, and
who presses yes, is for the client. docs/protocol.md, "Linking".
"""

from dataclasses import dataclass, field, replace
from typing import Final

from . import labels, limits
from .errors import InvalidEncoding, LinkRefused
from .keys import IdentityKeyPair, LocalDevice, SigningKeyPair
from .manifest import DeviceEntry, device_entry
from .primitives import (
    HpkePrivateKey,
    RandomBytes,
    ed25519_check,
    ed25519_verify,
    hpke_check,
    hpke_open,
    hpke_seal,
    sha256,
    x25519_check,
)
from .transcript import parse_transcript, transcript

__all__ = [
    "Answered",
    "LinkAnswer",
    "LinkDesk",
    "LinkOffer",
    "LinkRequest",
    "ScannedLink",
    "begin_link",
    "confirm_link",
    "short_code",
]

_ANSWER_BYTES: Final = limits.ACCOUNT_ID_BYTES + limits.DEVICE_ID_BYTES + limits.LINK_NONCE_BYTES


@dataclass(frozen=True, slots=True)
class ScannedLink:
    """What the QR holds: 16 B id of the link mailbox, 32 B SHA-256 of the request."""

    mailbox_id: bytes
    request_hash: bytes

    def encode(self) -> bytes:
        """48 B."""
        return self.mailbox_id + self.request_hash

    @classmethod
    def parse(cls, data: bytes) -> "ScannedLink":
        """Inverse of `encode`, or InvalidEncoding."""
        if len(data) != limits.LINK_MAILBOX_ID_BYTES + limits.HASH_BYTES:
            raise InvalidEncoding("a link code has 48 bytes")
        return cls(data[: limits.LINK_MAILBOX_ID_BYTES], data[limits.LINK_MAILBOX_ID_BYTES :])


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """What the new device puts into the link mailbox."""

    sealing_public: bytes
    """1,216 B X-Wing, for this request alone."""
    device_id: bytes
    signing_public: bytes
    identity_public: bytes
    name: str
    """What the user called the device: at most 64 B of UTF-8."""
    signature: bytes
    """64 B by the device's signing key over all before."""

    def signed_part(self) -> bytes:
        """The transcript that is signed."""
        keys = self.sealing_public, self.device_id, self.signing_public, self.identity_public
        return transcript(labels.LINK_REQUEST, *keys, self.name.encode())

    def encode(self) -> bytes:
        """64 B signature ‖ transcript."""
        return self.signature + self.signed_part()

    @classmethod
    def parse(cls, data: bytes) -> "LinkRequest":
        """Inverse of `encode`, verified; InvalidEncoding, InvalidKey for a key that A7 refuses, InvalidSignature."""
        signature, signed = data[:64], data[64:]
        sealing, device_id, signing, identity, name = parse_transcript(labels.LINK_REQUEST, signed, 5)
        if len(device_id) != limits.DEVICE_ID_BYTES or not 0 < len(name) <= limits.MAX_DEVICE_NAME_BYTES:
            raise InvalidEncoding("a link request with an impossible device id or name")
        try:
            text = name.decode()
        except UnicodeDecodeError as error:
            raise InvalidEncoding("the device's name is not UTF-8") from error
        hpke_check(sealing)
        x25519_check(identity)
        ed25519_check(signing)
        ed25519_verify(signing, signed, signature)
        return cls(sealing, device_id, signing, identity, text, signature)


@dataclass(frozen=True, slots=True)
class LinkAnswer:
    """What the manager tells the new device, sealed."""

    account: bytes
    device_id: bytes
    """16 B: the manager."""
    nonce: bytes = field(repr=False)
    """32 B random: what makes the digits unguessable."""

    def encode(self) -> bytes:
        """80 B."""
        return self.account + self.device_id + self.nonce

    @classmethod
    def parse(cls, data: bytes) -> "LinkAnswer":
        """Inverse of `encode`, or InvalidEncoding."""
        if len(data) != _ANSWER_BYTES:
            raise InvalidEncoding(f"a link answer has {_ANSWER_BYTES} bytes")
        return cls(data[:32], data[32:48], data[48:])


def short_code(request_hash: bytes, answer: LinkAnswer) -> str:
    """The 8 digits that both devices show: the first 8 B of SHA-256 over request and answer, mod 10⁸."""
    digest = sha256(transcript(labels.LINK_CODE, request_hash, answer.encode()))
    number = int.from_bytes(digest[:8], "big") % 10**limits.LINK_CODE_DIGITS
    return f"{number:0{limits.LINK_CODE_DIGITS}d}"


def _info(scanned: ScannedLink) -> bytes:
    return transcript(labels.LINK_ANSWER, scanned.mailbox_id, scanned.request_hash)


# The new device


@dataclass(frozen=True, slots=True, eq=False)
class LinkOffer:
    """The new device's side, until it is answered. Its keys are made before it knows its account."""

    scanned: ScannedLink
    request: LinkRequest
    sealing: HpkePrivateKey | None = field(repr=False)
    """None once an answer was opened: single use."""
    signing: SigningKeyPair = field(repr=False)
    identity: IdentityKeyPair = field(repr=False)
    made_at_ms: int

    def open_answer(self, sealed: bytes, now_ms: int) -> tuple["LinkOffer", LinkAnswer, str]:
        """(The offer, used up; the answer; the digits to show).

        Raises LinkRefused after 60 s or a first answer, Undecryptable, InvalidEncoding. An answer that does not open
        uses nothing up: anybody can put one into the mailbox.
        """
        if self.sealing is None:
            raise LinkRefused("this link was answered before: start a new one")
        _require_in_time(self.made_at_ms, now_ms)
        answer = LinkAnswer.parse(hpke_open(self.sealing, _info(self.scanned), sealed))
        return replace(self, sealing=None), answer, short_code(self.scanned.request_hash, answer)

    def device(self, account: bytes) -> LocalDevice:
        """This device, once it knows its account."""
        return LocalDevice(account, self.request.device_id, self.signing, self.identity)


def begin_link(name: str, random: RandomBytes, now_ms: int) -> LinkOffer:
    """A fresh device and its request.

    Draws device id 16, signing seed 32, identity key 32, X-Wing seed 32, mailbox id 16. Raises InvalidEncoding for a
    name that is empty or too long.
    """
    device_id = random(limits.DEVICE_ID_BYTES)
    signing, identity = SigningKeyPair.generate(random), IdentityKeyPair.generate(random)
    sealing = HpkePrivateKey(random(limits.SEALING_SEED_BYTES))
    unsigned = LinkRequest(
        sealing.public_bytes(), device_id, signing.public, identity.public, name, bytes(64)
    )
    request = replace(unsigned, signature=signing.sign(unsigned.signed_part()))
    LinkRequest.parse(request.encode())
    scanned = ScannedLink(random(limits.LINK_MAILBOX_ID_BYTES), sha256(request.encode()))
    return LinkOffer(scanned, request, sealing, signing, identity, now_ms)


def confirm_link(offer: LinkOffer, answer: LinkAnswer) -> bytes:
    """64 B for the mailbox, once the user has seen equal digits: the device's signature for its manifest entry."""
    return device_entry(offer.device(answer.account), added_at_ms=0).signature


# The manager


@dataclass(frozen=True, slots=True)
class Answered:
    """What a manager has answered and not yet confirmed."""

    scanned: ScannedLink
    request: LinkRequest
    answer: LinkAnswer
    code: str
    """The 8 digits to show."""
    scanned_at_ms: int

    def entry(self, confirmation: bytes, now_ms: int, *, manager: bool = False) -> DeviceEntry:
        """The new device's manifest entry, after the user's yes.

        Raises LinkRefused after 60 s, InvalidSignature if the confirmation is not of that device for this account.
        """
        _require_in_time(self.scanned_at_ms, now_ms)
        request = self.request
        entry = DeviceEntry(
            device_id=request.device_id,
            signing_public=request.signing_public,
            identity_public=request.identity_public,
            manager=manager,
            bot=False,
            archive=False,
            added_at_ms=now_ms,
            signature=confirmation,
        )
        entry.verify(self.answer.account)
        return entry


@dataclass(frozen=True, slots=True)
class LinkDesk:
    """The manager's side: which requests it has answered, so that each is answered once."""

    answered: tuple[tuple[bytes, int], ...] = ()
    """(Request hash, scanned at ms) of the last 60 s."""

    def answer(
        self,
        scanned: ScannedLink,
        request: bytes,
        manager: LocalDevice,
        random: RandomBytes,
        scanned_at_ms: int,
        now_ms: int,
    ) -> tuple["LinkDesk", Answered, bytes]:
        """(The desk after it, what to show and keep, the sealed answer for the mailbox); draws the 32 B nonce.

        Raises LinkRefused for another request than the one that was scanned, a late or a second answer; InvalidEncoding,
        InvalidKey, InvalidSignature.
        """
        if sha256(request) != scanned.request_hash:
            raise LinkRefused("the mailbox holds another request than the code names")
        _require_in_time(scanned_at_ms, now_ms)
        recent = tuple(each for each in self.answered if 0 <= now_ms - each[1] <= limits.LINK_LIFETIME_MS)
        if any(each[0] == scanned.request_hash for each in recent):
            raise LinkRefused("this request was answered before")
        parsed = LinkRequest.parse(request)
        answer = LinkAnswer(manager.account_id, manager.device_id, random(limits.LINK_NONCE_BYTES))
        sealed = hpke_seal(parsed.sealing_public, _info(scanned), answer.encode())
        code = short_code(scanned.request_hash, answer)
        desk = LinkDesk((*recent, (scanned.request_hash, scanned_at_ms)))
        return desk, Answered(scanned, parsed, answer, code, scanned_at_ms), sealed


def _require_in_time(began_at_ms: int, now_ms: int) -> None:
    if not 0 <= now_ms - began_at_ms <= limits.LINK_LIFETIME_MS:
        raise LinkRefused("a link is good for 60 seconds: start a new one")
