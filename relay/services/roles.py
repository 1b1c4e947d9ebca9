"""Who may do what: one table of roles and operations, the only place that says yes or no to somebody who is known.

Reach (delivery tokens) says who may write to whom; this says what an account may do on this relay at all, and who may run it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from relay.services.devices import KnownDevice
from relay.wire.audit_rows import RELAY, Party
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
    """What somebody asks for: on the public listener, and, from LIST_ACCOUNTS on, of those who run the relay."""

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
    LIST_ACCOUNTS = "list_accounts"
    SUSPEND_ACCOUNTS = "suspend_accounts"
    REMOVE_ACCOUNTS = "remove_accounts"
    GRANT_ROLES = "grant_roles"
    MANAGE_INVITES = "manage_invites"
    READ_AUDIT = "read_audit"
    READ_FIGURES = "read_figures"
    READ_SETTINGS = "read_settings"
    APPOINT_OWNERS = "appoint_owners"  # what an admin lacks: nobody gives a role, or shuts one out, that may do more than itself
    RUN_THE_MACHINE = "run_the_machine"  # who can open the data folder; no role has it


_ADMINISTRATION: Final = frozenset(
    {
        Operation.LIST_ACCOUNTS,
        Operation.SUSPEND_ACCOUNTS,
        Operation.REMOVE_ACCOUNTS,
        Operation.GRANT_ROLES,
        Operation.MANAGE_INVITES,
        Operation.READ_AUDIT,
        Operation.READ_FIGURES,
        Operation.READ_SETTINGS,
    }
)
EVERYTHING: Final = frozenset(Operation)
_MEMBER: Final = EVERYTHING - _ADMINISTRATION - {Operation.APPOINT_OWNERS, Operation.RUN_THE_MACHINE}

PERMISSIONS: Final[Mapping[Role, frozenset[Operation]]] = MappingProxyType(
    {
        Role.OWNER: EVERYTHING - {Operation.RUN_THE_MACHINE},
        Role.ADMIN: _MEMBER | _ADMINISTRATION,
        Role.MODERATOR: _MEMBER
        | {Operation.LIST_ACCOUNTS, Operation.SUSPEND_ACCOUNTS, Operation.MANAGE_INVITES},
        Role.AUDITOR: _MEMBER | {Operation.LIST_ACCOUNTS, Operation.READ_AUDIT, Operation.READ_FIGURES},
        Role.OPERATOR: _MEMBER | {Operation.READ_FIGURES, Operation.READ_SETTINGS},
        Role.MEMBER: _MEMBER,
        # A guest comes by a link to one conversation: it is neither listed in the directory nor searches there.
        Role.GUEST: _MEMBER - {Operation.SET_HANDLE, Operation.LOOK_UP_HANDLE},
        Role.BOT: _MEMBER,
    }
)

SUSPENDED: Final = frozenset({Operation.CHANGE_MANIFEST, Operation.MANAGE_TOKENS, Operation.SUBMIT})
"""What is left to a suspended account: it receives nothing, but can put its devices in order and write to whom it knows."""


def permissions_of(role: str) -> frozenset[Operation]:
    """What the table says of this role; nothing for one that this version does not know."""
    return PERMISSIONS[Role(role)] if role in [*Role] else frozenset()


def require(device: KnownDevice, operation: Operation) -> None:
    """Raise NotAllowed unless the device's account may do this."""
    if operation not in permissions_of(device.role) or (device.suspended and operation not in SUSPENDED):
        raise NotAllowed


@dataclass(frozen=True, slots=True)
class Authority:
    """Somebody who asks for a command: `party` as the audit log names it, and what it may do."""

    party: Party
    permissions: frozenset[Operation]

    @classmethod
    def of_machine(cls, uid: int) -> "Authority":
        """Whoever can open the data folder, as this user of the machine: there is no other check."""
        return cls(Party.operator(uid), EVERYTHING)

    @classmethod
    def of_account(cls, account_id: bytes, role: str, *, suspended: bool) -> "Authority":
        """An account (32 B id) with what its role may now; a suspended one runs nothing."""
        return cls(Party.account(account_id), frozenset() if suspended else permissions_of(role))

    def require(self, operation: Operation) -> None:
        """Raise NotAllowed unless it may do this."""
        if operation not in self.permissions:
            raise NotAllowed("this takes a right that you do not have")

    def require_all_of(self, role: str) -> None:
        """Raise NotAllowed unless it may do all that this role may: so nobody gives, or takes away, more than it has."""
        if not (permissions_of(role) if role in [*Role] else EVERYTHING) <= self.permissions:
            raise NotAllowed("this takes every right of the role that it is about")


THE_RELAY: Final = Authority(RELAY, EVERYTHING)
"""The relay, of its own accord."""
