"""The changes that commits are made of, and what members ask for themselves.

Each is a difference, with a type byte before it in a commit. Checks shapes and encodings; whether a change may be made
is for `group_rules`. docs/protocol.md, "Groups", "Changes".
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Any, Final

from . import labels, limits
from .errors import GroupTooNew, InvalidEncoding
from .group_rights import Role
from .group_state import Setting
from .keys import LocalDevice
from .transcript import parse_transcript, transcript, u64

__all__ = [
    "Add",
    "Answer",
    "Ban",
    "Change",
    "ChangeSetting",
    "Give",
    "NewManifest",
    "Remove",
    "Request",
    "RequestKind",
    "SetRole",
    "SignedRequest",
    "Unban",
    "encode_change",
    "parse_change",
    "sign_request",
]

_ACCOUNT: Final = limits.ACCOUNT_ID_BYTES
_ADD: Final = Struct(">32sQBII")
_ROLE: Final = Struct(">32sB")
_RIGHTS: Final = Struct(">32sI")
_VERSION: Final = Struct(">32sQB")


class RequestKind(IntEnum):
    """What a member may ask for itself, whoever commits it."""

    LEAVE = 1
    WANT = 2  # the value holds the rights that it wants from now on


def _unpack(layout: Struct, data: bytes) -> tuple[Any, ...]:
    if len(data) != layout.size:
        raise InvalidEncoding("a change of the wrong length")
    return layout.unpack(data)


def _role(value: int) -> Role:
    try:
        return Role(value)
    except ValueError as error:
        raise GroupTooNew("a change names a role that this build does not know") from error


def _account(data: bytes) -> bytes:
    if len(data) != _ACCOUNT:
        raise InvalidEncoding("a change of the wrong length")
    return data


@dataclass(frozen=True, slots=True)
class Add:
    """A new member."""

    account: bytes
    manifest_version: int
    role: Role
    wants: int
    given: int

    def encode(self) -> bytes:
        """49 B: account ‖ manifest version u64 ‖ role u8 ‖ wants u32 ‖ given u32."""
        return _ADD.pack(self.account, self.manifest_version, self.role, self.wants, self.given)

    @classmethod
    def parse(cls, data: bytes) -> "Add":
        """Inverse of `encode`."""
        account, version, role, wants, given = _unpack(_ADD, data)
        return cls(account, version, _role(role), wants, given)


@dataclass(frozen=True, slots=True)
class Remove:
    """A member is out."""

    account: bytes

    def encode(self) -> bytes:
        """32 B."""
        return self.account

    @classmethod
    def parse(cls, data: bytes) -> "Remove":
        """Inverse of `encode`."""
        return cls(_account(data))


@dataclass(frozen=True, slots=True)
class SetRole:
    """A member's role; it is given all rights of it."""

    account: bytes
    role: Role

    def encode(self) -> bytes:
        """33 B: account ‖ role u8."""
        return _ROLE.pack(self.account, self.role)

    @classmethod
    def parse(cls, data: bytes) -> "SetRole":
        """Inverse of `encode`."""
        account, role = _unpack(_ROLE, data)
        return cls(account, _role(role))


@dataclass(frozen=True, slots=True)
class Give:
    """The rights that a member is given, within its role: without SEND it is muted."""

    account: bytes
    given: int

    def encode(self) -> bytes:
        """36 B: account ‖ rights u32."""
        return _RIGHTS.pack(self.account, self.given)

    @classmethod
    def parse(cls, data: bytes) -> "Give":
        """Inverse of `encode`."""
        account, given = _unpack(_RIGHTS, data)
        return cls(account, given)


@dataclass(frozen=True, slots=True)
class Ban(Remove):
    """An account may not be added any more; a member is out too."""

    @classmethod
    def parse(cls, data: bytes) -> "Ban":
        """Inverse of `encode`."""
        return cls(_account(data))


@dataclass(frozen=True, slots=True)
class Unban(Remove):
    """A ban is lifted."""

    @classmethod
    def parse(cls, data: bytes) -> "Unban":
        """Inverse of `encode`."""
        return cls(_account(data))


@dataclass(frozen=True, slots=True)
class ChangeSetting:
    """A setting takes this value; with an empty one it is gone."""

    setting: Setting

    def encode(self) -> bytes:
        """As in a state."""
        return self.setting.encode()

    @classmethod
    def parse(cls, data: bytes) -> "ChangeSetting":
        """Inverse of `encode`."""
        setting, end = Setting.parse_from(data, 0)
        if end != len(data):
            raise InvalidEncoding("bytes behind a setting")
        return cls(setting)


@dataclass(frozen=True, slots=True)
class NewManifest:
    """The manifest version by which the group knows a member rises; `device_left`: one is no longer in it."""

    account: bytes
    version: int
    device_left: bool

    def encode(self) -> bytes:
        """41 B: account ‖ version u64 ‖ device left u8."""
        return _VERSION.pack(self.account, self.version, self.device_left)

    @classmethod
    def parse(cls, data: bytes) -> "NewManifest":
        """Inverse of `encode`."""
        account, version, left = _unpack(_VERSION, data)
        if left > 1:
            raise InvalidEncoding("an unknown flag")
        return cls(account, version, bool(left))


@dataclass(frozen=True, slots=True)
class Request:
    """What a member asks for itself: signed by one of its devices, good for this membership, and once."""

    group_id: bytes
    account: bytes
    device: bytes
    since: int
    """Epoch in which the member was added."""
    kind: RequestKind
    value: int
    asked_at_ms: int

    def encode(self) -> bytes:
        """The transcript that is signed."""
        fields = u64(self.since), bytes((self.kind,)), u64(self.value), u64(self.asked_at_ms)
        return transcript(labels.GROUP_REQUEST, self.group_id, self.account, self.device, *fields)

    @classmethod
    def parse(cls, data: bytes) -> "Request":
        """Inverse of `encode`, or InvalidEncoding."""
        group_id, account, device, *numbers = parse_transcript(labels.GROUP_REQUEST, data, 7)
        if [len(field) for field in (group_id, account, device, *numbers)] != [32, 32, 16, 8, 1, 8, 8]:
            raise InvalidEncoding("a request with a field of another length")
        since, kind, value, asked_at_ms = (int.from_bytes(field, "big") for field in numbers)
        if kind not in (RequestKind.LEAVE, RequestKind.WANT) or value >= 2**32:
            raise InvalidEncoding("an unknown request")
        return cls(group_id, account, device, since, RequestKind(kind), value, asked_at_ms)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it travels to those who may commit."""

    body: bytes
    signature: bytes

    def encode(self) -> bytes:
        """64 B signature ‖ body."""
        return self.signature + self.body

    @classmethod
    def parse(cls, data: bytes) -> "SignedRequest":
        """Inverse of `encode`, or InvalidEncoding."""
        signed = cls(data[limits.ED25519_SIGNATURE_BYTES :], data[: limits.ED25519_SIGNATURE_BYTES])
        Request.parse(signed.body)
        return signed

    @property
    def request(self) -> Request:
        """The parsed body."""
        return Request.parse(self.body)


def sign_request(request: Request, device: LocalDevice) -> SignedRequest:
    """The request of this device."""
    body = request.encode()
    return SignedRequest(body, device.signing.sign(body))


@dataclass(frozen=True, slots=True)
class Answer:
    """A member's own request is granted."""

    signed: SignedRequest

    def encode(self) -> bytes:
        """The signed request."""
        return self.signed.encode()

    @classmethod
    def parse(cls, data: bytes) -> "Answer":
        """Inverse of `encode`."""
        return cls(SignedRequest.parse(data))


Change = Add | Remove | SetRole | Give | Ban | Unban | ChangeSetting | NewManifest | Answer

_PARSERS: Final[dict[int, Callable[[bytes], Change]]] = {
    1: Add.parse,
    2: Remove.parse,
    3: SetRole.parse,
    4: Give.parse,
    5: Ban.parse,
    6: Unban.parse,
    7: ChangeSetting.parse,
    8: NewManifest.parse,
    9: Answer.parse,
}
CHANGE_TYPES: Final[dict[type, int]] = {
    Add: 1,
    Remove: 2,
    SetRole: 3,
    Give: 4,
    Ban: 5,
    Unban: 6,
    ChangeSetting: 7,
    NewManifest: 8,
    Answer: 9,
}


def encode_change(change: Change) -> bytes:
    """Type u8 ‖ the change."""
    return bytes((CHANGE_TYPES[type(change)],)) + change.encode()


def parse_change(data: bytes) -> Change:
    """Inverse of `encode_change`; InvalidEncoding, or GroupTooNew for a type or role that is not known here."""
    if not data:
        raise InvalidEncoding("an empty change")
    if (parse := _PARSERS.get(data[0])) is None:
        raise GroupTooNew(f"a change of type {data[0]}, which this build does not know")
    return parse(data[1:])
