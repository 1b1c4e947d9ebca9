"""Invites: making, listing, revoking. Only the hash of a secret is stored; the link is shown once."""

from collections.abc import Callable
from hashlib import sha256

from relay.ports.clock import Clock
from relay.ports.invites import Invite, InviteStore
from relay.services.audit import Act, Action, Audit
from relay.services.roles import Role, Roles
from relay.wire import limits
from relay.wire.audit_rows import Party
from relay.wire.errors import Conflict, InviteInvalid, MalformedRequest, NotFound
from relay.wire.links import InviteLink, encode_id


def invite_name(invite: Invite) -> str:
    """What people call an invite: the beginning of its hash in base32. Opens nothing."""
    return encode_id(invite.secret_hash)[:12]


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
    ) -> None:
        self._store = store
        self._audit = audit
        self._roles = roles
        self._clock = clock
        self._randomness = randomness
        self._origin = origin
        self._signing_key = signing_key

    def link(self, secret: bytes) -> InviteLink:
        """The link of a 16 B secret."""
        return InviteLink(self._origin, self._signing_key, secret)

    async def create(self, *, role: str, uses: int, ttl_seconds: int | None, act: Act) -> InviteLink:
        """A new invite, recorded as what `act` is.

        Raises MalformedRequest for a role or a number of uses that there is not, NotAllowed for a role that may do more than
        who asks.
        """
        self._roles.check_known(role)
        if not 1 <= uses <= limits.MAX_INVITE_USES:
            raise MalformedRequest(f"an invite has 1 to {limits.MAX_INVITE_USES} uses")
        if ttl_seconds is not None and not 1 <= ttl_seconds <= 10**9:
            raise MalformedRequest("an invite lives at least one second")
        self._roles.require_all_of(role, by=act.by)
        secret = self._randomness(limits.INVITE_SECRET_BYTES)
        invite = self._invite(secret, role, uses, ttl_seconds)
        act.about(Party.invite(invite_name(invite)), detail=role)
        await self._store.create(invite, audited=act.done())
        return self.link(secret)

    def _invite(self, secret: bytes, role: str, uses: int, ttl_seconds: int | None) -> Invite:
        now_ms = self._clock.now_ms()
        expires_at_ms = None if ttl_seconds is None else now_ms + ttl_seconds * 1_000
        return Invite(sha256(secret).digest(), role, uses, expires_at_ms, now_ms)

    async def list(self) -> tuple[Invite, ...]:
        """Those that can still be spent, oldest first."""
        now_ms = self._clock.now_ms()
        return tuple(
            invite
            for invite in await self._store.list()
            if invite.uses_left and (invite.expires_at_ms is None or invite.expires_at_ms > now_ms)
        )

    async def revoke(self, name: str, *, act: Act) -> Invite:
        """The invite of this name can no longer be spent, recorded as what `act` is.

        Raises NotFound, MalformedRequest if two could be meant, NotAllowed as for `create`.
        """
        meant = [invite for invite in await self.list() if encode_id(invite.secret_hash).startswith(name)]
        if not name or not meant:
            raise NotFound("there is no such invite: `tokenim-relay invite list` shows them")
        if len(meant) > 1:
            raise MalformedRequest("several invites begin like this: give more of the name")
        act.about(Party.invite(invite_name(meant[0])), detail=meant[0].role)
        self._roles.require_all_of(meant[0].role, by=act.by)
        await self._store.revoke(meant[0].secret_hash, audited=act.done())
        return meant[0]

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
