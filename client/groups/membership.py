"""Who is in a group: ways in, joining, leaving, and what those may do who may change it. `Client.membership`.

A change is first kept, then committed as soon as this device may: it survives a crash, and whoever else commits first.
GROUP is an id, with or without `group:`, the beginning of one, or a name that only one group here has.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from client.account import Account, load_account
from client.errors import UnknownRecipient, UsageError
from client.message_groups import GroupInfo, GroupInvited, WaitingMember
from client.own_tokens import drop_token, hash_of, put_token
from client.store import group_doors
from client.store.database import Database, Transaction
from client.store.group_doors import Invite, JoinState
from client.system import System
from client.transport import Transport
from crypto.group_changes import Ban, Change, ChangeSetting, Give, Remove, RequestKind, SetRole, Unban
from crypto.group_rights import ROLE_RIGHTS, Right, Role
from crypto.group_state import ABOUT, NAME, Member, Setting
from crypto.limits import DAY_MS
from relay.wire.limits import DELIVERY_TOKEN_BYTES, INVITE_SECRET_BYTES
from relay.wire.links import GroupLink, encode_id, parse_group

from . import invitations, requests
from .changed import name_of
from .following import quit_group
from .named import called, find, find_waiting, is_called, parsed_id
from .returning import give_up
from .rooms import Groups
from .tokens import GROUP

CHANGE_PATIENCE_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.5


def _role(name: str) -> Role:
    try:
        return Role[name.upper()]
    except KeyError:
        names = ", ".join(role.name.lower() for role in Role)
        raise UsageError(f"a role is one of {names}") from None


class Membership:
    """Who is in the groups of an open account."""

    def __init__(
        self,
        account: Account,
        transport: Transport,
        database: Database,
        system: System,
        *,
        resolve: Callable[[str], Awaitable[bytes]],
        groups: Groups,
        settle: Callable[[float], Awaitable[None]],
        listen: Callable[[], object],
    ) -> None:
        self._account = account
        self._transport = transport
        self._database = database
        self._system = system
        self._resolve = resolve
        self._groups = groups
        self._settle = settle
        self._listen = listen

    async def invitations(self) -> list[GroupInvited]:
        """Invitations that wait for an answer, oldest first."""

        def found(tx: Transaction) -> list[GroupInvited]:
            return [
                GroupInvited(
                    encode_id(join.group_id),
                    join.name,
                    encode_id(join.inviter),
                    name_of(tx, self._account, join.inviter),
                    joining=False,
                )
                for join in group_doors.joins(tx, JoinState.INVITED)
            ]

        return await self._database.read(found)

    async def show(self, group: str) -> GroupInfo:
        """One group. Raises UnknownGroup, UsageError."""
        group_id = await self._database.read(lambda tx: find_waiting(tx, group) or find(tx, group).group_id)
        return await self._groups.info(group_id)

    async def waiting(self, group: str) -> list[WaitingMember]:
        """Who waits to be let in, longest first. Raises UnknownGroup, UsageError."""

        def found(tx: Transaction) -> list[WaitingMember]:
            group_id = find_waiting(tx, group) or find(tx, group).group_id
            return [
                WaitingMember(encode_id(one.account_id), name_of(tx, self._account, one.account_id))
                for one in group_doors.waiting_in(tx, group_id)
            ]

        return await self._database.read(found)

    # Ways in.

    async def link(
        self, group: str, *, uses: int = 1, days: int = 7, role: str = "member", ask: bool = False
    ) -> str:
        """A link by which others get in; whoever has it can use it. Raises UsageError, RelayUnreachable, Refused."""
        given = _role(role)
        if given > Role.MEMBER:
            raise UsageError("a link lets in listeners and members: promote them once they are in")
        group_id = await self._database.read(
            lambda tx: invitations.require_adder(tx, load_account(tx), find(tx, group).group_id).group_id
        )
        secret, token = self._system.random(INVITE_SECRET_BYTES), self._system.random(DELIVERY_TOKEN_BYTES)
        expires_at_ms = self._system.now_ms() + days * DAY_MS
        await put_token(self._transport, hash_of(token), GROUP, expires_at_ms=expires_at_ms)
        kept = Invite(
            invitations.secret_hash(secret), group_id, token, given, uses, expires_at_ms, None, asks=ask
        )
        await self._database.run(lambda tx: group_doors.add_invite(tx, kept))
        return str(GroupLink(self._account.origin, group_id, self._account.account_id, token, secret))

    async def close_links(self, group: str) -> int:
        """Close all links that this device gave out for the group; how many. Raises UsageError, RelayUnreachable."""

        def given_out(tx: Transaction) -> list[Invite]:
            invites = group_doors.invites_of(tx, find(tx, group).group_id)
            return [invite for invite in invites if invite.token is not None]

        links = await self._database.read(given_out)
        for invite in links:
            await self._close(invite)
        return len(links)

    async def _close(self, invite: Invite) -> None:
        if invite.token is not None:
            await drop_token(self._transport, hash_of(invite.token))
        await self._database.run(lambda tx: group_doors.remove_invite(tx, invite.secret_hash))

    async def join(self, link_or_group: str, *, wait_seconds: float = 0.0) -> GroupInfo | None:
        """Ask to be let in, by a link or into a group that this account is invited to; the group once it is in.

        Returns None if it is not within `wait_seconds`: it is let in when somebody who may add members is online.
        Raises UsageError, RelayUnreachable.
        """
        if "://" in link_or_group:
            group_id = await self._want_in(link_or_group)
        else:
            group_id = await self._database.run(lambda tx: _accept(tx, link_or_group))
        self._groups.wake()
        return await self._until_in(group_id, wait_seconds)

    async def _want_in(self, text: str) -> bytes:
        try:
            link = parse_group(text)
        except ValueError as error:
            raise UsageError(f"not a link into a group: {error}") from error
        if link.origin != self._account.origin:
            raise UsageError(f"this group is on another relay, {link.origin}: register there to join it")
        if link.inviter == self._account.account_id:
            raise UsageError("this link is your own: it is for others")

        def want_in(tx: Transaction) -> None:
            if invitations.is_in(tx, self._account, link.group_id):
                raise UsageError("you are in this group already")
            invitations.want_in(tx, link.group_id, link.inviter, link.token, link.secret)

        await self._database.run(want_in)
        return link.group_id

    async def _until_in(self, group_id: bytes, wait_seconds: float) -> GroupInfo | None:
        until = self._system.monotonic_seconds() + wait_seconds
        if wait_seconds:
            self._listen()  # the welcome comes by the mailbox
        while True:
            await self._settle(max(1.0, until - self._system.monotonic_seconds()))
            if await self._database.read(lambda tx: invitations.is_in(tx, self._account, group_id)):
                return await self._groups.info(group_id)
            if self._system.monotonic_seconds() >= until:
                return None
            await self._system.sleep(_LOOK_SECONDS)

    async def add(self, group: str, who: str, *, role: str = "member") -> bool:
        """Let in who waits (True), or invite them by message (False). Raises UsageError, UnknownRecipient, RelayUnreachable."""
        given = _role(role)
        account_id = await self._member_or_stranger(group, who)

        def add(tx: Transaction) -> bool:
            row = find(tx, group)
            account = load_account(tx)
            if any(one.account_id == account_id for one in group_doors.waiting_in(tx, row.group_id)):
                invitations.answer_waiting(tx, account, row.group_id, account_id, let_in=True)
                return True
            invitations.invite_account(tx, account, row.group_id, account_id, given, self._system)
            return False

        let_in = await self._database.run(add)
        self._groups.wake()
        await self._settle(CHANGE_PATIENCE_SECONDS)
        return let_in

    async def leave(self, group: str) -> None:
        """Leave: nothing of the group is shown any more; others take this account off the list, unless this device only
        waited to come back into it: then nothing asks for that any more.

        Raises UsageError (the only owner of a group with others makes somebody else one first), RelayUnreachable.
        """

        def leave(tx: Transaction) -> None:
            waiting = find_waiting(tx, group)
            if waiting is not None:
                give_up(tx, waiting)
                return
            row = find(tx, group)
            account = load_account(tx)
            members = row.view.state.by_account
            if set(members) - {account.account_id}:
                requests.ask(tx, account, row.group_id, RequestKind.LEAVE, 0, self._system)
            mine = members.get(account.account_id)
            quit_group(tx, row.group_id, 0 if mine is None else mine.since)

        await self._database.run(leave)
        self._groups.wake()
        await self._settle(CHANGE_PATIENCE_SECONDS)

    async def want(self, group: str, rights: Right) -> None:
        """Ask that this account has no more than these rights (and what it is given of them) from now on.

        Without `HEAR` it is outside the audience, as most bots should be: it gets no chain, and only what members address to
        it. Somebody else who may commit grants it. Raises UsageError, RelayUnreachable.
        """

        def ask(tx: Transaction) -> None:
            requests.ask(
                tx, load_account(tx), find(tx, group).group_id, RequestKind.WANT, int(rights), self._system
            )

        await self._database.run(ask)
        await self._settle(CHANGE_PATIENCE_SECONDS)

    # Changes.

    async def remove(self, group: str, who: str) -> GroupInfo:
        """Take a member out, or send away who waits. Raises UsageError, RelayUnreachable."""
        account_id = await self._member_or_stranger(group, who)

        def send_away(tx: Transaction) -> bool:
            row = find(tx, group)
            waits = any(one.account_id == account_id for one in group_doors.waiting_in(tx, row.group_id))
            if waits:
                invitations.answer_waiting(tx, load_account(tx), row.group_id, account_id, let_in=False)
            return waits

        if await self._database.run(send_away):
            return await self.show(group)
        return await self.change(group, [Remove(account_id)])

    async def ban(self, group: str, who: str) -> GroupInfo:
        """Take somebody out and let them in no more. Raises UsageError, RelayUnreachable."""
        return await self.change(group, [Ban(await self._member_or_stranger(group, who))])

    async def unban(self, group: str, who: str) -> GroupInfo:
        """Lift a ban. Raises UsageError, RelayUnreachable."""
        return await self.change(group, [Unban(await self._member_or_stranger(group, who))])

    async def mute(self, group: str, who: str) -> GroupInfo:
        """A member may read, and not write. Raises UsageError, RelayUnreachable."""
        member = await self._member(group, who)
        return await self.change(group, [Give(member.account, member.given & ~int(Right.SEND))])

    async def unmute(self, group: str, who: str) -> GroupInfo:
        """A member may do what its role may. Raises UsageError, RelayUnreachable."""
        member = await self._member(group, who)
        return await self.change(group, [Give(member.account, int(ROLE_RIGHTS[member.role]))])

    async def promote(self, group: str, who: str, role: str) -> GroupInfo:
        """Give a member another role, a higher or a lower one. Raises UsageError, RelayUnreachable."""
        member = await self._member(group, who)
        return await self.change(group, [SetRole(member.account, _role(role))])

    async def set(self, group: str, name: str, value: str) -> GroupInfo:
        """Change a setting, `name` or `about`; an empty value takes it away. Raises UsageError, RelayUnreachable."""
        if name not in (NAME, ABOUT):
            raise UsageError("a group has the settings name and about")
        return await self.change(group, [ChangeSetting(Setting(name, _setting(value)))])

    async def change(
        self, group: str, changes: Iterable[Change], *, patience_seconds: float = CHANGE_PATIENCE_SECONDS
    ) -> GroupInfo:
        """Commit changes; the group once they stand, and all have been told. What somebody else did meanwhile counts as done.

        Raises what `Client.commit_changes` raises.
        """
        group_id = await self._database.read(lambda tx: find(tx, group).group_id)
        shown = await self._groups.commit(group_id, changes, patience_seconds)
        await self._settle(patience_seconds)
        return shown

    async def _member_or_stranger(self, group: str, who: str) -> bytes:
        """A member's account by name or id, else whoever is called so."""
        found = await self._database.read(lambda tx: called(tx, find(tx, group), who))
        return found if found is not None else await self._resolve(who)

    async def _member(self, group: str, who: str) -> Member:
        def look(tx: Transaction) -> Member | None:
            row = find(tx, group)
            account_id = called(tx, row, who)
            return None if account_id is None else row.view.state.by_account.get(account_id)

        member = await self._database.read(look)
        if member is None:
            raise UnknownRecipient(f"{who} is not in this group")
        return member


def _setting(text: str) -> bytes:
    encoded = text.encode()
    if len(text) > invitations.MAX_NAME_CHARACTERS:
        raise UsageError(f"at most {invitations.MAX_NAME_CHARACTERS} characters")
    return encoded


def _accept(tx: Transaction, text: str) -> bytes:
    group_id = parsed_id(text)
    if group_id is None:
        waiting = [
            join
            for join in group_doors.joins(tx, JoinState.INVITED)
            if is_called(join.group_id, join.name, text)
        ]
        if len(waiting) != 1:
            raise UsageError("no invitation, or more than one, that is called so")
        group_id = waiting[0].group_id
    invitations.accept_invitation(tx, group_id)
    return group_id
