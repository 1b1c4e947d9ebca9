"""The one table of roles and operations: what may be asked of a relay, what each role may, and roles that settings define.

`relay.services.roles` decides by it; it stands here because settings name permissions, and are refused for one that there is not.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias

from pydantic import BeforeValidator


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
    SET_PROFILE = "set_profile"
    MANAGE_TOKENS = "manage_tokens"
    PUBLISH_PREKEYS = "publish_prekeys"
    FETCH_BUNDLES = "fetch_bundles"
    READ_MAILBOX = "read_mailbox"
    SUBMIT = "submit"
    UPLOAD_BLOB = "upload_blob"
    KEEP_LOGS = "keep_logs"
    CREATE_GROUP_LOG = "create_group_log"
    INVITE = "invite"  # members and own guests, where the relay lets accounts invite
    LIST_ACCOUNTS = "list_accounts"
    SUSPEND_ACCOUNTS = "suspend_accounts"
    REMOVE_ACCOUNTS = "remove_accounts"
    MANAGE_RETENTION = "manage_retention"
    GRANT_ROLES = "grant_roles"
    MANAGE_INVITES = "manage_invites"
    RESERVE_HANDLES = "reserve_handles"
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
        Operation.MANAGE_RETENTION,
        Operation.GRANT_ROLES,
        Operation.MANAGE_INVITES,
        Operation.RESERVE_HANDLES,
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
        # A guest comes by a link to some accounts: it is not listed in the directory, finds only those there, and gets bundles of
        # theirs alone (`KnownDevice.may_reach`).
        Role.GUEST: _MEMBER - {Operation.SET_HANDLE, Operation.CREATE_GROUP_LOG, Operation.INVITE},
        Role.BOT: _MEMBER - {Operation.INVITE},
    }
)

SUSPENDED: Final = frozenset({Operation.CHANGE_MANIFEST, Operation.MANAGE_TOKENS, Operation.SUBMIT})
"""What is left to a suspended account: it receives nothing, but can put its devices in order and write to whom it knows."""

NEVER_DEFINED: Final = frozenset({Operation.APPOINT_OWNERS, Operation.RUN_THE_MACHINE})
"""What a role of the settings cannot have: the last owner is told by its role, and the machine is nobody's role."""
MAX_DEFINED: Final = 64
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def nearest(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """The known name that was probably meant, as a question; empty if none is like it. `prefix`: what all begin with."""
    # Without it: what all share would make any two alike.
    bare = [one.removeprefix(prefix) for one in known]
    near = difflib.get_close_matches(name.removeprefix(prefix), bare, n=1, cutoff=0.5)
    return f"; did you mean `{prefix}{near[0]}`?" if near else ""


def _permission(role: str, name: object) -> Operation:
    allowed = EVERYTHING - NEVER_DEFINED
    if name in NEVER_DEFINED:
        raise ValueError(f"role `{role}`: `{name}` is for no role that settings define")
    if name not in allowed:
        told = nearest(str(name), sorted(allowed)) or f": there are {', '.join(sorted(allowed))}"
        raise ValueError(f"role `{role}`: there is no permission `{name}`{told}")
    return Operation(str(name))


def _defined(value: object) -> object:
    """Role name → its permissions, in the order of the table. The environment holds the same as one inline table of TOML."""
    if isinstance(value, str):
        try:
            value = tomllib.loads(f"roles = {value}")["roles"]
        except tomllib.TOMLDecodeError as error:
            raise ValueError(
                f'not a table of TOML like {{ helpdesk = ["list_accounts"] }}: {error}'
            ) from None
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(  # noqa: TRY004  (pydantic tells it)
            'a table of roles, each with a list of permissions, like helpdesk = ["list_accounts"]'
        )
    if len(value) > MAX_DEFINED:
        raise ValueError(f"at most {MAX_DEFINED} roles are defined")
    found: dict[str, tuple[Operation, ...]] = {}
    for role, names in value.items():
        if role == "suspended":
            raise ValueError(
                "role `suspended`: this says how an account stands, and is no role: choose another name"
            )
        if role in [*Role]:
            raise ValueError(f"role `{role}` is there already, and stays as it is: choose another name")
        if not _NAME.fullmatch(str(role)):
            raise ValueError(
                f"role `{role}`: a name is of 1 to 32 of a-z, 0-9, - and _, and begins with a letter"
            )
        if not isinstance(names, list | tuple):
            raise ValueError(f"role `{role}`: its permissions are a list")  # noqa: TRY004
        given = {_permission(role, name) for name in names}
        found[role] = tuple(one for one in Operation if one in given)
    return found


DefinedRoles: TypeAlias = Annotated[dict[str, tuple[Operation, ...]] | None, BeforeValidator(_defined)]
"""Roles of the settings: name → operations; None if there are none."""
