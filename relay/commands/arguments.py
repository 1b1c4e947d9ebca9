"""What the commands of operators are told."""

from typing import Annotated

from pydantic import Field

from relay.services.retention import MAX_HOLD_DAYS
from relay.services.usage import USAGE_DAYS

from .table import Arguments


class InviteCreate(Arguments):
    """Arguments of `invite.create`; the last two are for the role `guest` alone."""

    role: str = "member"
    uses: int = 1
    ttl_seconds: int | None = None
    hosts: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=64, default_factory=list)
    ]
    """For guests: accounts that they may write to."""
    stay_seconds: int | None = None


class InviteRevoke(Arguments):
    """Arguments of `invite.revoke`."""

    name: Annotated[str, Field(min_length=1, max_length=64)]


class AccountList(Arguments):
    """Arguments of `account.list`: those that fit all of these, with ids above `after`, where the last page ended."""

    role: Annotated[str, Field(max_length=64)] = ""
    suspended: bool | None = None
    handle_begins: Annotated[str, Field(max_length=64)] = ""
    after: Annotated[str, Field(max_length=64)] = ""
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100


class AccountNamed(Arguments):
    """Arguments of commands about one account: its handle, its id, or the beginning of that (8 characters or more)."""

    account: Annotated[str, Field(min_length=1, max_length=64)]


class AccountExportPage(AccountNamed):
    """Arguments of `account.export_page`: rows from where the last page ended; empty: from the first."""

    after: Annotated[str, Field(max_length=512)] = ""
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class RetentionHold(AccountNamed):
    """Arguments of `retention.hold`: a word that says why, and for how many days."""

    reason: Annotated[str, Field(min_length=1, max_length=64)]
    days: Annotated[int, Field(ge=1, le=MAX_HOLD_DAYS)]


class RoleGrant(AccountNamed):
    """Arguments of `role.grant`."""

    role: Annotated[str, Field(min_length=1, max_length=64)]


class KeysRotate(Arguments):
    """Arguments of `keys.rotate`; `begin` false: go on with what the last call did not get to the end of."""

    begin: bool = True


class BackupMade(Arguments):
    """Arguments of `backup`: what the command has written."""

    bytes: Annotated[int, Field(ge=0, lt=2**63)]


class AuditList(Arguments):
    """Arguments of `audit.list`: rows from this time on, newest first; `before`: the row where the last page ended."""

    since_ms: Annotated[int, Field(ge=0, lt=2**63)] = 0
    before: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100


class DashboardLink(Arguments):
    """Arguments of `dashboard.link`: the account that it speaks for; empty: who asks."""

    account: Annotated[str, Field(max_length=64)] = ""


class UsageShow(Arguments):
    """Arguments of `usage.show`: of so many days before today."""

    days: Annotated[int, Field(ge=1, le=USAGE_DAYS)] = 30


class PushTest(Arguments):
    """Arguments of `push.test`: a device's id, or an account as `AccountNamed` names it."""

    device: Annotated[str, Field(min_length=1, max_length=64)]


class HandleNamed(Arguments):
    """Arguments of commands about one handle."""

    handle: Annotated[str, Field(min_length=1, max_length=64)]


class HandleReserve(HandleNamed):
    """Arguments of `handle.reserve`; `account`: who alone may take it, empty for nobody."""

    account: Annotated[str, Field(max_length=64)] = ""


class HandleList(Arguments):
    """Arguments of `handle.list`: those above `after`, where the last page ended."""

    after: Annotated[str, Field(max_length=64)] = ""
    limit: Annotated[int, Field(ge=1, le=1_000)] = 1_000
