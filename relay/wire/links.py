"""Links that people pass on: to a relay, an account, a group, a new device; docs/protocol.md, "Links".

`<origin>/invite#v1.<base64url(secret 16 ‖ relay signing key 32)>`
`<origin>/contact#v1.<base64url(account id 32 ‖ delivery token 16)>`
`<origin>/group#v1.<base64url(group id 32 ‖ inviter's account id 32 ‖ delivery token 16 ‖ secret 16)>`
`<origin>/link#v1.<base64url(link mailbox id 16 ‖ SHA-256 of the request 32)>`
What is secret stands behind `#`: a browser that opens the link does not send it.
"""

import base64
import re
from dataclasses import dataclass, field
from typing import Final

from . import limits

_ORIGIN: Final = re.compile(r"https?://[^\s/?#]+")
_INVITE_MARK: Final = "/invite#v1."
_CONTACT_MARK: Final = "/contact#v1."
_GROUP_MARK: Final = "/group#v1."
_GROUP_PARTS: Final = (
    limits.HASH_BYTES,
    limits.ACCOUNT_ID_BYTES,
    limits.DELIVERY_TOKEN_BYTES,
    limits.INVITE_SECRET_BYTES,
)
_DEVICE_MARK: Final = "/link#v1."


def encode_bytes(data: bytes) -> str:
    """Unpadded base64url (RFC 4648 section 5), the form of bytes in JSON, headers and links."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_bytes(text: str) -> bytes:
    """The bytes of unpadded base64url; raises ValueError for padding, other characters and non-canonical last ones."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:  # binascii.Error is one, and what is not ASCII is another
        raise ValueError("not unpadded base64url") from error
    if encode_bytes(data) != text:
        raise ValueError("not canonical base64url")
    return data


def encode_id(identifier: bytes) -> str:
    """The text form of an account, device or blob id: base32, lower case, unpadded."""
    return base64.b32encode(identifier).rstrip(b"=").decode("ascii").lower()


def decode_id(text: str, length: int) -> bytes:
    """The id of `length` bytes in its canonical text form; raises ValueError."""
    try:
        identifier = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except ValueError as error:
        raise ValueError("not an id") from error
    if len(identifier) != length or encode_id(identifier) != text:
        raise ValueError("not an id")
    return identifier


@dataclass(frozen=True, slots=True)
class InviteLink:
    """An invite: the relay's public origin and signing key (pinned from here on), and the secret that registers."""

    origin: str
    signing_key: bytes
    secret: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"{self.origin}{_INVITE_MARK}{encode_bytes(self.secret + self.signing_key)}"


@dataclass(frozen=True, slots=True)
class ContactLink:
    """How to reach an account: its relay's origin, its id, a delivery token of class `link`."""

    origin: str
    account_id: bytes
    token: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"{self.origin}{_CONTACT_MARK}{encode_bytes(self.account_id + self.token)}"


@dataclass(frozen=True, slots=True)
class GroupLink:
    """The way into a group: whom to ask, a delivery token of theirs of class `group`, and the secret that lets in."""

    origin: str
    group_id: bytes
    inviter: bytes
    """32 B account id."""
    token: bytes = field(repr=False)
    secret: bytes = field(repr=False)

    def __str__(self) -> str:
        payload = self.group_id + self.inviter + self.token + self.secret
        return f"{self.origin}{_GROUP_MARK}{encode_bytes(payload)}"


@dataclass(frozen=True, slots=True)
class DeviceLink:
    """A device that wants into an account: its relay's origin, the link mailbox, SHA-256 of what it put there. Good for 60 s."""

    origin: str
    mailbox_id: bytes
    request_hash: bytes

    def __str__(self) -> str:
        return f"{self.origin}{_DEVICE_MARK}{encode_bytes(self.mailbox_id + self.request_hash)}"


def _split(link: str, mark: str, length: int) -> tuple[str, bytes]:
    origin, found, payload = link.strip().partition(mark)
    if not found or _ORIGIN.fullmatch(origin) is None:
        raise ValueError("not a link of this kind")
    data = decode_bytes(payload)
    if len(data) != length:
        raise ValueError("the link is cut short or too long: copy it whole")
    return origin, data


def parse_invite(link: str) -> InviteLink:
    """The invite in `link`; raises ValueError that says what is wrong."""
    origin, data = _split(link, _INVITE_MARK, limits.INVITE_SECRET_BYTES + limits.PUBLIC_KEY_BYTES)
    return InviteLink(origin, data[limits.INVITE_SECRET_BYTES :], data[: limits.INVITE_SECRET_BYTES])


def parse_contact(link: str) -> ContactLink:
    """The contact in `link`; raises ValueError that says what is wrong."""
    origin, data = _split(link, _CONTACT_MARK, limits.ACCOUNT_ID_BYTES + limits.DELIVERY_TOKEN_BYTES)
    return ContactLink(origin, data[: limits.ACCOUNT_ID_BYTES], data[limits.ACCOUNT_ID_BYTES :])


def parse_group(link: str) -> GroupLink:
    """The way into a group in `link`; raises ValueError that says what is wrong."""
    origin, data = _split(link, _GROUP_MARK, sum(_GROUP_PARTS))
    parts, at = [], 0
    for length in _GROUP_PARTS:
        parts.append(data[at : at + length])
        at += length
    return GroupLink(origin, *parts)


def parse_device(link: str) -> DeviceLink:
    """The new device in `link`; raises ValueError that says what is wrong."""
    origin, data = _split(link, _DEVICE_MARK, limits.LINK_ID_BYTES + limits.HASH_BYTES)
    return DeviceLink(origin, data[: limits.LINK_ID_BYTES], data[limits.LINK_ID_BYTES :])
