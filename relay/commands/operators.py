"""What can be asked of a relay: names, arguments, rights, answers.

The same over the socket, in process on a stopped relay, and, but for what belongs to the machine alone, over HTTP.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from relay.config import Settings, options_of, plain
from relay.observe.figures import Figures
from relay.observe.recent import told_now
from relay.ports.directory import Wanted
from relay.services.administration import Administration
from relay.services.audit import Act, Audit
from relay.services.audit_records import told_head, told_row
from relay.services.dashboard_logins import LINK_SECONDS, DashboardLogins
from relay.services.exports import Exports
from relay.services.invites import Invites
from relay.services.key_rotation import KeyRotation
from relay.services.push import Push
from relay.services.reserved_handles import ReservedHandles
from relay.services.retention import KEPT, Retention
from relay.services.roles import Authority, Operation, Role
from relay.services.transparency import Transparency
from relay.services.usage import Usage
from relay.services.vitals import Vitals
from relay.wire import limits
from relay.wire.audit_rows import NOBODY, Party
from relay.wire.errors import MalformedRequest, Unavailable
from relay.wire.links import decode_id, encode_bytes, encode_id

from .arguments import (
    AccountExportPage,
    AccountList,
    AccountNamed,
    AuditList,
    BackupMade,
    DashboardLink,
    HandleList,
    HandleNamed,
    HandleReserve,
    InviteCreate,
    InviteRevoke,
    KeysRotate,
    PushTest,
    RetentionHold,
    RoleGrant,
    UsageShow,
)
from .table import Answer, Arguments, CommandTable
from .told import (
    told_account,
    told_hold,
    told_invite,
    told_listed,
    told_push,
    told_reserved,
    told_transparency_head,
    told_usage,
)


@dataclass(frozen=True, slots=True)
class Live:
    """What only a relay that runs has. `admin_url`: of the second listener, None without one."""

    settings: Callable[[], Settings]
    figures: Figures
    vitals: Vitals
    logins: DashboardLogins
    push: Push
    version: str
    admin_url: str | None
    being_moved: Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs a command by its name."""

    audit: Audit
    administration: Administration
    invites: Invites
    transparency: Transparency
    key_rotation: KeyRotation
    exports: Exports
    retention: Retention
    reserved_handles: ReservedHandles
    usage: Usage
    live: Live | None = None

    async def run(self, name: str, arguments: Mapping[str, Any], *, by: Authority) -> Answer:
        """The answer, fit for JSON, to whoever this is; raises RelayError."""
        return await TABLE.run(self, self.audit, name, arguments, by=by)

    @property
    def of_running(self) -> Live:
        """What a relay that runs has; raises Unavailable for one that does not."""
        if self.live is None:
            raise Unavailable("no relay runs on this data folder: start it first")
        return self.live


TABLE: Final[CommandTable[Commands]] = CommandTable()


@TABLE.changes("invite.create", InviteCreate, Operation.MANAGE_INVITES)
async def _invite_create(commands: Commands, given: InviteCreate, act: Act) -> Answer:
    link = await commands.invites.create(
        role=given.role,
        uses=given.uses,
        ttl_seconds=given.ttl_seconds,
        hosts=[await commands.administration.find(host) for host in given.hosts],
        stay_seconds=given.stay_seconds,
        act=act,
    )
    return {"link": str(link), "role": given.role, "uses": given.uses}


@TABLE.changes_nothing("invite.list", Arguments, Operation.MANAGE_INVITES)
async def _invite_list(commands: Commands, _given: Arguments) -> Answer:
    return {"invites": [told_invite(invite) for invite in await commands.invites.list()]}


@TABLE.changes("invite.revoke", InviteRevoke, Operation.MANAGE_INVITES)
async def _invite_revoke(commands: Commands, given: InviteRevoke, act: Act) -> Answer:
    return told_invite(await commands.invites.revoke(given.name, act=act))


@TABLE.changes("handle.reserve", HandleReserve, Operation.RESERVE_HANDLES)
async def _handle_reserve(commands: Commands, given: HandleReserve, act: Act) -> Answer:
    account_id = await commands.administration.find(given.account) if given.account else None
    return told_reserved(await commands.reserved_handles.reserve(given.handle, account_id, act=act))


@TABLE.changes("handle.release", HandleNamed, Operation.RESERVE_HANDLES)
async def _handle_release(commands: Commands, given: HandleNamed, act: Act) -> Answer:
    await commands.reserved_handles.release(given.handle, act=act)
    return {"handle": given.handle}


@TABLE.changes_nothing("handle.list", HandleList, Operation.RESERVE_HANDLES)
async def _handle_list(commands: Commands, given: HandleList) -> Answer:
    kept = await commands.reserved_handles.list(after=given.after, limit=given.limit)
    return {"handles": [told_reserved(one) for one in kept]}


@TABLE.changes_nothing("account.list", AccountList, Operation.LIST_ACCOUNTS)
async def _account_list(commands: Commands, given: AccountList) -> Answer:
    try:
        after = decode_id(given.after, limits.ACCOUNT_ID_BYTES) if given.after else b""
    except ValueError as error:
        raise MalformedRequest("after: not the id of an account") from error
    wanted = Wanted(given.role, given.suspended, given.handle_begins)
    page = await commands.administration.page(wanted, after=after, limit=given.limit)
    return {"accounts": [told_listed(account) for account in page]}


@TABLE.changes("account.suspend", AccountNamed, Operation.SUSPEND_ACCOUNTS)
async def _account_suspend(commands: Commands, given: AccountNamed, act: Act) -> Answer:
    return told_account(await commands.administration.suspend(given.account, act=act))


@TABLE.changes("account.resume", AccountNamed, Operation.SUSPEND_ACCOUNTS)
async def _account_resume(commands: Commands, given: AccountNamed, act: Act) -> Answer:
    return told_account(await commands.administration.resume(given.account, act=act))


@TABLE.changes("account.delete", AccountNamed, Operation.REMOVE_ACCOUNTS)
async def _account_delete(commands: Commands, given: AccountNamed, act: Act) -> Answer:
    account = await commands.administration.delete(given.account, act=act)
    return {
        **told_account(account),
        "held_until_ms": await commands.administration.held_until_ms(account.account_id),
    }


@TABLE.changes_nothing("retention.show", Arguments, Operation.READ_SETTINGS)
async def _retention_show(commands: Commands, _given: Arguments) -> Answer:
    seconds = commands.retention.kept_seconds()
    return {
        "kinds": [
            {
                "kind": kept.kind,
                "told": kept.told,
                "setting": kept.setting,
                "seconds": seconds[kept.kind],
                "held": kept.held,
            }
            for kept in KEPT
        ]
    }


@TABLE.changes_nothing("retention.holds", Arguments, Operation.MANAGE_RETENTION)
async def _retention_holds(commands: Commands, _given: Arguments) -> Answer:
    return {"holds": [told_hold(hold) for hold in await commands.retention.holds()]}


@TABLE.changes("retention.hold", RetentionHold, Operation.MANAGE_RETENTION)
async def _retention_hold(commands: Commands, given: RetentionHold, act: Act) -> Answer:
    return told_hold(await commands.retention.hold(given.account, given.reason, given.days, act=act))


@TABLE.changes("retention.release", AccountNamed, Operation.MANAGE_RETENTION)
async def _retention_release(commands: Commands, given: AccountNamed, act: Act) -> Answer:
    return told_hold(await commands.retention.release(given.account, act=act))


@TABLE.changes("retention.run", Arguments, Operation.MANAGE_RETENTION)
async def _retention_run(commands: Commands, _given: Arguments, act: Act) -> Answer:
    counts = await commands.retention.run()
    act.about(NOBODY, detail=str(sum(counts.values())))
    return {"removed": counts}


@TABLE.changes("account.export", AccountNamed, Operation.RUN_THE_MACHINE)
async def _account_export(commands: Commands, given: AccountNamed, act: Act) -> Answer:
    """That somebody reads what there is about an account is a row; the pages are asked for after it."""
    account_id = await commands.administration.find(given.account)
    act.about(Party.account(account_id))
    return {"account": encode_id(account_id), "head": commands.exports.head()}


@TABLE.changes_nothing("account.export_page", AccountExportPage, Operation.RUN_THE_MACHINE)
async def _account_export_page(commands: Commands, given: AccountExportPage) -> Answer:
    account_id = await commands.administration.find(given.account)
    page = await commands.exports.page(account_id, after=given.after, limit=given.limit)
    return {"rows": [[section.value, row] for section, row in page.rows], "after": page.after}


@TABLE.changes_nothing("role.list", Arguments, Operation.LIST_ACCOUNTS)
async def _role_list(commands: Commands, _given: Arguments) -> Answer:
    return {
        "roles": [
            {
                "role": role.name,
                "defined": role.defined,
                "permissions": [one.value for one in Operation if one in role.permissions],
                "accounts": role.accounts,
            }
            for role in await commands.administration.roles()
        ]
    }


@TABLE.changes("role.grant", RoleGrant, Operation.GRANT_ROLES)
async def _role_grant(commands: Commands, given: RoleGrant, act: Act) -> Answer:
    return told_account(await commands.administration.grant(given.account, given.role, act=act))


@TABLE.changes("role.revoke", AccountNamed, Operation.GRANT_ROLES)
async def _role_revoke(commands: Commands, given: AccountNamed, act: Act) -> Answer:
    return told_account(await commands.administration.grant(given.account, Role.MEMBER, act=act))


@TABLE.changes_nothing("keys.show", Arguments, Operation.RUN_THE_MACHINE)
async def _keys_show(commands: Commands, _given: Arguments) -> Answer:
    return {
        "keys": [
            {"key": use.key_id, "current": use.current, "values": use.values}
            for use in await commands.key_rotation.keys()
        ]
    }


@TABLE.changes("keys.rotate", KeysRotate, Operation.RUN_THE_MACHINE)
async def _keys_rotate(commands: Commands, given: KeysRotate, act: Act) -> Answer:
    done = await commands.key_rotation.rotate(begin=given.begin)
    act.about(NOBODY, detail=str(done.values))
    newest = max((use.key_id for use in await commands.key_rotation.keys()), default=0)
    return {"values": done.values, "forgotten": list(done.forgotten), "done": done.done, "key": newest}


@TABLE.changes_nothing("move.state", Arguments, Operation.RUN_THE_MACHINE)
async def _move_state(commands: Commands, _given: Arguments) -> Answer:
    """Whoever asks learns, too, that this relay looks for the mark of a move: an earlier one does not know the command."""
    return {"being_moved": await commands.of_running.being_moved()}


@TABLE.changes("push.test", PushTest, Operation.RUN_THE_MACHINE)
async def _push_test(commands: Commands, given: PushTest, act: Act) -> Answer:
    push = commands.of_running.push
    try:
        device_ids: tuple[bytes, ...] = (decode_id(given.device, limits.DEVICE_ID_BYTES),)
    except ValueError:
        account_id = await commands.administration.find(given.device)
        act.about(Party.account(account_id))
        device_ids = await commands.administration.device_ids(account_id)
    return {"devices": [told_push(one) for one in await push.test(device_ids)]}


@TABLE.changes("backup", BackupMade, Operation.RUN_THE_MACHINE)
async def _backup(_commands: Commands, given: BackupMade, act: Act) -> Answer:
    """Made by who has the data folder's files, beside the relay: what is asked of it is a row about that."""
    act.about(NOBODY, detail=str(given.bytes))
    return {}


@TABLE.changes_nothing("transparency.head", Arguments, Operation.READ_AUDIT)
async def _transparency_head(commands: Commands, _given: Arguments) -> Answer:
    return told_transparency_head(await commands.transparency.head())


@TABLE.changes_nothing("audit.head", Arguments, Operation.READ_AUDIT)
async def _audit_head(commands: Commands, _given: Arguments) -> Answer:
    return told_head(await commands.audit.head())


@TABLE.changes_nothing("audit.list", AuditList, Operation.READ_AUDIT)
async def _audit_list(commands: Commands, given: AuditList) -> Answer:
    rows = await commands.audit.newest(since_ms=given.since_ms, before=given.before, limit=given.limit)
    return {"rows": [told_row(row) for row in rows]}


@TABLE.changes("dashboard.link", DashboardLink, Operation.RUN_THE_MACHINE)
async def _dashboard_link(commands: Commands, given: DashboardLink, act: Act) -> Answer:
    live = commands.of_running
    if live.admin_url is None:
        raise Unavailable(
            "there is no dashboard here: start the relay with --admin-listen 127.0.0.1:8081, and with `api` in `work`"
        )
    account_id = await commands.administration.find(given.account) if given.account else None
    if account_id is not None:
        act.about(Party.account(account_id))
    uid = int.from_bytes(act.by.party.id, "big")
    secret = live.logins.link(uid=uid, account_id=account_id)
    return {
        "link": f"{live.admin_url}/#login={encode_bytes(secret)}",
        "seconds": LINK_SECONDS,
    }


@TABLE.changes_nothing("figures.now", Arguments, Operation.READ_FIGURES)
async def _figures_now(commands: Commands, _given: Arguments) -> Answer:
    live = commands.of_running
    await live.vitals.look()
    return {"version": live.version, **told_now(live.figures)}


@TABLE.changes_nothing("figures.recent", Arguments, Operation.READ_FIGURES)
async def _figures_recent(commands: Commands, _given: Arguments) -> Answer:
    return commands.of_running.vitals.recent.told()


@TABLE.changes_nothing("usage.show", UsageShow, Operation.READ_FIGURES)
async def _usage_show(commands: Commands, given: UsageShow) -> Answer:
    return {"days": [told_usage(day) for day in await commands.usage.days(given.days)]}


@TABLE.changes_nothing("settings.show", Arguments, Operation.READ_SETTINGS)
async def _settings_show(commands: Commands, _given: Arguments) -> Answer:
    return {
        "settings": [
            {
                "name": option.name,
                "value": plain(option.value),
                "description": option.description,
                "reload": option.reload,
            }
            for option in options_of(commands.of_running.settings())
        ]
    }
