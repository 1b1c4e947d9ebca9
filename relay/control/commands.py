"""What the command line can ask of a relay: names, arguments, answers. The same whether over the socket or in process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

from relay.ports.accounts import Account
from relay.ports.directory import ListedAccount, Wanted
from relay.ports.invites import Invite
from relay.services.administration import Administration
from relay.services.audit import Act, Audit
from relay.services.audit_records import told_head, told_row
from relay.services.invites import Invites, invite_name
from relay.services.roles import Role
from relay.services.transparency import Head, Transparency
from relay.wire import limits
from relay.wire.audit_rows import NOBODY, Party
from relay.wire.errors import MalformedRequest
from relay.wire.links import decode_id, encode_bytes, encode_id

from .table import Answer, Arguments, CommandTable


class InviteCreate(Arguments):
    """Arguments of `invite.create`."""

    role: str = "member"
    uses: int = 1
    ttl_seconds: int | None = None


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


class RoleGrant(AccountNamed):
    """Arguments of `role.grant`."""

    role: Annotated[str, Field(min_length=1, max_length=64)]


class BackupMade(Arguments):
    """Arguments of `backup`: what the command has written."""

    bytes: Annotated[int, Field(ge=0, lt=2**63)]


class AuditList(Arguments):
    """Arguments of `audit.list`: rows from this time on, newest first; `before`: the row where the last page ended."""

    since_ms: Annotated[int, Field(ge=0, lt=2**63)] = 0
    before: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs a command by its name."""

    audit: Audit
    administration: Administration
    invites: Invites
    transparency: Transparency

    async def run(self, name: str, arguments: Mapping[str, Any], *, uid: int) -> Answer:
        """The answer, fit for JSON, to this user of the machine; raises RelayError."""
        return await TABLE.run(self, self.audit, name, arguments, actor=Party.operator(uid))


TABLE: Final[CommandTable[Commands]] = CommandTable()


@TABLE.changes("invite.create", InviteCreate)
async def _invite_create(commands: Commands, given: InviteCreate, act: Act) -> Answer:
    link = await commands.invites.create(
        role=given.role, uses=given.uses, ttl_seconds=given.ttl_seconds, act=act
    )
    return {"link": str(link), "role": given.role, "uses": given.uses}


@TABLE.changes_nothing("invite.list", Arguments)
async def _invite_list(commands: Commands, _given: Arguments) -> Answer:
    return {"invites": [_told_invite(invite) for invite in await commands.invites.list()]}


@TABLE.changes("invite.revoke", InviteRevoke)
async def _invite_revoke(commands: Commands, given: InviteRevoke, act: Act) -> Answer:
    return _told_invite(await commands.invites.revoke(given.name, act=act))


@TABLE.changes_nothing("account.list", AccountList)
async def _account_list(commands: Commands, given: AccountList) -> Answer:
    try:
        after = decode_id(given.after, limits.ACCOUNT_ID_BYTES) if given.after else b""
    except ValueError as error:
        raise MalformedRequest("after: not the id of an account") from error
    wanted = Wanted(given.role, given.suspended, given.handle_begins)
    page = await commands.administration.page(wanted, after=after, limit=given.limit)
    return {"accounts": [_told_listed(account) for account in page]}


@TABLE.changes("account.suspend", AccountNamed)
async def _account_suspend(commands: Commands, given: AccountNamed, act: Act) -> Answer:
    return _told_account(await commands.administration.suspend(given.account, act=act))


@TABLE.changes("account.resume", AccountNamed)
async def _account_resume(commands: Commands, given: AccountNamed, act: Act) -> Answer:
    return _told_account(await commands.administration.resume(given.account, act=act))


@TABLE.changes("account.delete", AccountNamed)
async def _account_delete(commands: Commands, given: AccountNamed, act: Act) -> Answer:
    return _told_account(await commands.administration.delete(given.account, act=act))


@TABLE.changes("role.grant", RoleGrant)
async def _role_grant(commands: Commands, given: RoleGrant, act: Act) -> Answer:
    return _told_account(await commands.administration.grant(given.account, given.role, act=act))


@TABLE.changes("role.revoke", AccountNamed)
async def _role_revoke(commands: Commands, given: AccountNamed, act: Act) -> Answer:
    return _told_account(await commands.administration.grant(given.account, Role.MEMBER, act=act))


@TABLE.changes("backup", BackupMade)
async def _backup(_commands: Commands, given: BackupMade, act: Act) -> Answer:
    """Made by who has the data folder's files, beside the relay: what is asked of it is a row about that."""
    act.about(NOBODY, detail=str(given.bytes))
    return {}


@TABLE.changes_nothing("transparency.head", Arguments)
async def _transparency_head(commands: Commands, _given: Arguments) -> Answer:
    return _told_transparency_head(await commands.transparency.head())


@TABLE.changes_nothing("audit.head", Arguments)
async def _audit_head(commands: Commands, _given: Arguments) -> Answer:
    return told_head(await commands.audit.head())


@TABLE.changes_nothing("audit.list", AuditList)
async def _audit_list(commands: Commands, given: AuditList) -> Answer:
    rows = await commands.audit.newest(since_ms=given.since_ms, before=given.before, limit=given.limit)
    return {"rows": [told_row(row) for row in rows]}


def _told_account(account: Account) -> Answer:
    return {
        "account": encode_id(account.account_id),
        "handle": account.handle,
        "role": account.role,
        "suspended": account.suspended,
    }


def _told_listed(account: ListedAccount) -> Answer:
    return {
        "account": encode_id(account.account_id),
        "handle": account.handle,
        "role": account.role,
        "suspended": account.suspended,
        "created_at_ms": account.created_at_ms,
        "devices": account.devices,
        "seen_day": account.seen_day,
        "envelopes": account.envelopes,
        "envelope_bytes": account.envelope_bytes,
        "blob_bytes": account.blob_bytes,
    }


def _told_invite(invite: Invite) -> Answer:
    return {
        "name": invite_name(invite),
        "role": invite.role,
        "uses_left": invite.uses_left,
        "created_at_ms": invite.created_at_ms,
        "expires_at_ms": invite.expires_at_ms,
    }


def _told_transparency_head(head: Head) -> Answer:
    return {
        "log_id": encode_bytes(head.log_id),
        "size": head.size,
        "root": encode_bytes(head.root),
        "time_ms": head.time_ms,
        "head": encode_bytes(head.signed),
    }
