"""Invites: making, listing, revoking. Only the hash of a secret is stored; the link is shown once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Final

from relay.config import Settings
from relay.ports.clock import Clock
from relay.ports.invites import Invite, InviteStore
from relay.services.audit import Act, Action, Audit
from relay.services.devices import KnownDevice
from relay.services.roles import Role, Roles
from relay.wire import limits
from relay.wire.audit_rows import Party
from relay.wire.errors import Conflict, InviteInvalid, MalformedRequest, NotAllowed, NotFound
from relay.wire.links import InviteLink, encode_id

MAX_SECONDS: Final = 10**9
"""Of an invite by an operator: about 31 years."""


def most_invites(settings: Settings) -> int:
    """Open invites that an account may have by these settings; 0: operators alone invite."""
    return settings.limits.invites_of_account if settings.registration in ("invite", "open") else 0


def invite_name(invite: Invite) -> str:
    """What people call an invite: the beginning of its hash in base32. Opens nothing."""
    return encode_id(invite.secret_hash)[:12]


def _meant(invites: Iterable[Invite], name: str) -> Invite:
    """The one of this name, or the beginning of it. Raises NotFound, MalformedRequest if two could be meant."""
    meant = [invite for invite in invites if encode_id(invite.secret_hash).startswith(name)]
    if not name or not meant:
        raise NotFound("there is no such invite: `invite list` shows them")
    if len(meant) > 1:
        raise MalformedRequest("several invites begin like this: give more of the name")
    return meant[0]


def _stay_of(role: str, hosts: Sequence[bytes], stay_seconds: int | None) -> int | None:
    """How long accounts of an invite live, None for those that stay. Raises MalformedRequest."""
    if role != Role.GUEST:
        if hosts or stay_seconds is not None:
            raise MalformedRequest("only guests have hosts, and go after a while")
        return None
    if not 1 <= len(set(hosts)) == len(hosts) <= limits.MAX_GUEST_HOSTS:
        raise MalformedRequest(
            f"an invite for guests names 1 to {limits.MAX_GUEST_HOSTS} accounts that they may write to"
        )
    stay_seconds = limits.GUEST_SECONDS if stay_seconds is None else stay_seconds
    if not 60 <= stay_seconds <= limits.MAX_GUEST_SECONDS:
        raise MalformedRequest(f"a guest stays for 60 to {limits.MAX_GUEST_SECONDS} s")
    return stay_seconds


class Invites:
    """Makes links that carry the relay's origin and signing key."""

    def __init__(
        self,
        store: InviteStore,
        audit: Audit,
        roles: Roles,
        *,
        clock: Clock,
        randomness: Callable[[int], bytes],
        origin: str,
        signing_key: bytes,
        most_of_account: Callable[[], int],
    ) -> None:
        """`most_of_account`: open invites that an account may have; 0: operators alone invite."""
        self._store = store
        self._audit = audit
        self._roles = roles
        self._clock = clock
        self._randomness = randomness
        self._origin = origin
        self._signing_key = signing_key
        self._most_of_account = most_of_account

    def link(self, secret: bytes) -> InviteLink:
        """The link of a 16 B secret."""
        return InviteLink(self._origin, self._signing_key, secret)

    async def create(
        self,
        *,
        role: str,
        uses: int,
        ttl_seconds: int | None,
        act: Act,
        hosts: Sequence[bytes] = (),
        stay_seconds: int | None = None,
    ) -> InviteLink:
        """A new invite, recorded as what `act` is. One for guests names the accounts (32 B ids) that they may write to.

        Raises MalformedRequest for a role or a number of uses that there is not, NotAllowed for a role that may do more than
        who asks, NotFound for a host that there is not.
        """
        self._roles.check_known(role)
        if not 1 <= uses <= limits.MAX_INVITE_USES:
            raise MalformedRequest(f"an invite has 1 to {limits.MAX_INVITE_USES} uses")
        if ttl_seconds is not None and not 1 <= ttl_seconds <= MAX_SECONDS:
            raise MalformedRequest(f"an invite lives for 1 to {MAX_SECONDS:,} seconds")
        stay_seconds = _stay_of(role, hosts, stay_seconds)
        self._roles.require_all_of(role, by=act.by)
        secret = self._randomness(limits.INVITE_SECRET_BYTES)
        invite = replace(
            self._invite(secret, role, uses, ttl_seconds),
            hosts=tuple(sorted(hosts)),
            stay_seconds=stay_seconds,
        )
        act.about(Party.invite(invite_name(invite)), detail=role)
        await self._store.create(invite, audited=act.done())
        return self.link(secret)

    async def create_own(
        self, maker: KnownDevice, *, role: str, uses: int, ttl_seconds: int, stay_seconds: int | None
    ) -> tuple[InviteLink, Invite]:
        """An invite that an account makes: for members, or for guests of its own.

        Raises NotAllowed where operators alone invite, MalformedRequest, QuotaExceeded.
        """
        most = self._most_of_account()
        if not most:
            raise NotAllowed("on this relay operators alone invite")
        hosts = (maker.account_id,) if role == Role.GUEST else ()
        if role not in (Role.MEMBER, Role.GUEST):
            raise MalformedRequest("an account invites members and guests")
        if not 1 <= uses <= limits.MAX_INVITE_USES or not 1 <= ttl_seconds <= limits.MAX_INVITE_SECONDS:
            raise MalformedRequest(
                f"an invite has 1 to {limits.MAX_INVITE_USES} uses, and lives for at most {limits.MAX_INVITE_SECONDS} s"
            )
        stay_seconds = _stay_of(role, hosts, stay_seconds)
        secret = self._randomness(limits.INVITE_SECRET_BYTES)
        invite = replace(
            self._invite(secret, role, uses, ttl_seconds),
            made_by=maker.account_id,
            hosts=hosts,
            stay_seconds=stay_seconds,
        )
        subject = Party.invite(invite_name(invite))
        audited = self._audit.by_account(Action.INVITE_CREATE, maker.account_id, subject=subject, detail=role)
        await self._store.create(invite, audited=audited, most=most)
        return self.link(secret), invite

    async def list_own(self, account_id: bytes) -> tuple[Invite, ...]:
        """Those of this account that can still be spent, oldest first."""
        return self._open(await self._store.list(account_id))

    async def revoke_own(self, maker: KnownDevice, name: str) -> None:
        """An own invite can no longer be spent; raises NotFound, MalformedRequest if two could be meant."""
        invite = _meant(await self.list_own(maker.account_id), name)
        subject = Party.invite(invite_name(invite))
        audited = self._audit.by_account(
            Action.INVITE_REVOKE, maker.account_id, subject=subject, detail=invite.role
        )
        await self._store.revoke(invite.secret_hash, audited=audited)

    def _invite(self, secret: bytes, role: str, uses: int, ttl_seconds: int | None) -> Invite:
        now_ms = self._clock.now_ms()
        expires_at_ms = None if ttl_seconds is None else now_ms + ttl_seconds * 1_000
        return Invite(sha256(secret).digest(), role, uses, expires_at_ms, now_ms)

    async def list(self) -> tuple[Invite, ...]:
        """Those that can still be spent, oldest first."""
        return self._open(await self._store.list())

    def _open(self, kept: Iterable[Invite]) -> tuple[Invite, ...]:
        now_ms = self._clock.now_ms()
        return tuple(
            invite
            for invite in kept
            if invite.uses_left and (invite.expires_at_ms is None or invite.expires_at_ms > now_ms)
        )

    async def revoke(self, name: str, *, act: Act) -> Invite:
        """The invite of this name can no longer be spent, recorded as what `act` is.

        Raises NotFound, MalformedRequest if two could be meant, NotAllowed as for `create`.
        """
        invite = _meant(await self.list(), name)
        act.about(Party.invite(invite_name(invite)), detail=invite.role)
        self._roles.require_all_of(invite.role, by=act.by)
        await self._store.revoke(invite.secret_hash, audited=act.done())
        return invite

    async def ensure_owner(self, secret: bytes) -> bool:
        """The owner invite of this secret is stored if it never was; whether it can be spent."""
        invite = self._invite(secret, Role.OWNER, 1, None)
        if all(kept.secret_hash != invite.secret_hash for kept in await self._store.list()):
            try:
                subject = Party.invite(invite_name(invite))
                entry = self._audit.by_relay(Action.INVITE_CREATE, subject=subject, detail=Role.OWNER)
                await self._store.create(invite, audited=entry)
            except Conflict:
                return False
        try:
            await self._store.get(invite.secret_hash, now_ms=self._clock.now_ms())
        except InviteInvalid:
            return False
        return True
