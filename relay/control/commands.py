"""What the command line can ask of a relay: names, arguments, answers. The same whether over the socket or in process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

from relay.ports.invites import Invite
from relay.services.audit import Act, Audit
from relay.services.audit_records import told_head, told_row
from relay.services.invites import Invites, invite_name
from relay.services.transparency import Head, Transparency
from relay.wire.audit_rows import Party
from relay.wire.links import encode_bytes

from .table import Answer, Arguments, CommandTable


class InviteCreate(Arguments):
    """Arguments of `invite.create`."""

    role: str = "member"
    uses: int = 1
    ttl_seconds: int | None = None


class InviteRevoke(Arguments):
    """Arguments of `invite.revoke`."""

    name: Annotated[str, Field(min_length=1, max_length=64)]


class AuditList(Arguments):
    """Arguments of `audit.list`: rows from this time on, newest first; `before`: the row where the last page ended."""

    since_ms: Annotated[int, Field(ge=0, lt=2**63)] = 0
    before: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs a command by its name."""

    audit: Audit
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
