"""Who may do what: one table of roles and operations, the only place that says yes or no to a known device.

Reach (delivery tokens) says who may write to whom; this says what an account may do on this relay at all.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from relay.services.devices import KnownDevice
from relay.wire.errors import NotAllowed


class Role(StrEnum):
    """What an account is on this relay; given by its invite."""

    OWNER = "owner"
    ADMIN = "admin"
    MODERATOR = "moderator"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    MEMBER = "member"
    GUEST = "guest"
    BOT = "bot"


class Operation(StrEnum):
    """What a device asks for by a signed request or on its own connection."""

    CHANGE_MANIFEST = "change_manifest"
    DELETE_ACCOUNT = "delete_account"
    SET_HANDLE = "set_handle"
    LOOK_UP_HANDLE = "look_up_handle"
    MANAGE_TOKENS = "manage_tokens"
    PUBLISH_PREKEYS = "publish_prekeys"
    FETCH_BUNDLES = "fetch_bundles"
    READ_MAILBOX = "read_mailbox"
    SUBMIT = "submit"
    UPLOAD_BLOB = "upload_blob"
    KEEP_LOGS = "keep_logs"
    CREATE_GROUP_LOG = "create_group_log"


_EVERYTHING: Final = frozenset(Operation)

PERMISSIONS: Final[Mapping[Role, frozenset[Operation]]] = MappingProxyType(
    {
        Role.OWNER: _EVERYTHING,
        Role.ADMIN: _EVERYTHING,
        Role.MODERATOR: _EVERYTHING,
        Role.AUDITOR: _EVERYTHING,
        Role.OPERATOR: _EVERYTHING,
        Role.MEMBER: _EVERYTHING,
        # A guest comes by a link to one conversation: it is neither listed in the directory nor searches there.
        Role.GUEST: _EVERYTHING - {Operation.SET_HANDLE, Operation.LOOK_UP_HANDLE},
        Role.BOT: _EVERYTHING,
    }
)

SUSPENDED: Final = frozenset({Operation.CHANGE_MANIFEST, Operation.MANAGE_TOKENS, Operation.SUBMIT})
"""What is left to a suspended account: it receives nothing, but can put its devices in order and write to whom it knows."""


def require(device: KnownDevice, operation: Operation) -> None:
    """Raise NotAllowed unless the device's account may do this."""
    try:
        allowed = PERMISSIONS[Role(device.role)]
    except ValueError as error:  # a role that this version does not know
        raise NotAllowed from error
    if operation not in allowed or (device.suspended and operation not in SUSPENDED):
        raise NotAllowed
