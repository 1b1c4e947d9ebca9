"""Invites in memory."""

from dataclasses import replace

from relay.ports.audit import AuditEntry
from relay.ports.guests import Guest
from relay.ports.invites import Invite
from relay.wire.errors import Conflict, InviteInvalid, NotFound, QuotaExceeded

from .audit import append_entry
from .image import Gate, Image


def good_invite(image: Image, secret_hash: bytes, now_ms: int) -> Invite:
    """The invite as long as it can be spent; raises InviteInvalid."""
    invite = image.invites.get(secret_hash)
    if invite is None or not invite.uses_left:
        raise InviteInvalid
    if invite.expires_at_ms is not None and invite.expires_at_ms <= now_ms:
        raise InviteInvalid
    if invite.made_by is not None and image.accounts[invite.made_by].suspended:
        raise InviteInvalid
    if invite.stay_seconds is not None and not invite.hosts:
        raise InviteInvalid
    return invite


def spend_invite(image: Image, secret_hash: bytes, now_ms: int) -> Guest | None:
    """Take one use; what a guest gets by it."""
    invite = good_invite(image, secret_hash, now_ms)
    image.invites[secret_hash] = replace(invite, uses_left=invite.uses_left - 1)
    if invite.stay_seconds is None:
        return None
    return Guest(now_ms + invite.stay_seconds * 1_000, frozenset(invite.hosts))


def forget_invites(image: Image, account_id: bytes) -> None:
    """An account is gone: what it made goes, and it is nobody's host any more."""
    for invite in list(image.invites.values()):
        if invite.made_by == account_id:
            del image.invites[invite.secret_hash]
        elif account_id in invite.hosts:
            hosts = tuple(host_id for host_id in invite.hosts if host_id != account_id)
            image.invites[invite.secret_hash] = replace(invite, hosts=hosts)
    image.guests.pop(account_id, None)
    for guest_id, guest in list(image.guests.items()):
        image.guests[guest_id] = replace(guest, hosts=guest.hosts - {account_id})
    for reserved in [one for one in image.reserved_handles.values() if one.account_id == account_id]:
        del image.reserved_handles[reserved.handle]


def _can_be_spent(image: Image, invite: Invite, now_ms: int) -> bool:
    try:
        good_invite(image, invite.secret_hash, now_ms)
    except InviteInvalid:
        return False
    return True


class MemoryInvites:
    """InviteStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def create(
        self, invite: Invite, *, audited: AuditEntry | None = None, most: int | None = None
    ) -> None:
        """Keep it."""

        def change() -> None:
            own = [one for one in self._image.invites.values() if one.made_by == invite.made_by]
            open_ones = [one for one in own if _can_be_spent(self._image, one, invite.created_at_ms)]
            if most is not None and len(open_ones) >= most:
                raise QuotaExceeded("you have as many open invites as this relay allows: revoke one")
            if any(host_id not in self._image.accounts for host_id in invite.hosts):
                raise NotFound("one of the hosts has no account here")
            if invite.secret_hash in self._image.invites:
                raise Conflict("there is an invite with this secret")
            self._image.invites[invite.secret_hash] = invite
            append_entry(self._image, audited)

        await self._gate.commit(change)

    async def get(self, secret_hash: bytes, *, now_ms: int) -> Invite:
        """The invite as long as it can be spent."""
        self._gate.check()
        return good_invite(self._image, secret_hash, now_ms)

    async def list(self, made_by: bytes | None = None) -> tuple[Invite, ...]:
        """All that are kept, oldest first."""
        self._gate.check()
        kept = sorted(self._image.invites.values(), key=lambda each: (each.created_at_ms, each.secret_hash))
        return tuple(one for one in kept if made_by is None or one.made_by == made_by)

    async def revoke(self, secret_hash: bytes, *, audited: AuditEntry | None = None) -> None:
        """It can no longer be spent."""

        def change() -> None:
            if self._image.invites.pop(secret_hash, None) is None:
                raise NotFound("there is no such invite")
            append_entry(self._image, audited)

        await self._gate.commit(change)

    async def remove_expired(self, *, now_ms: int, limit: int) -> int:
        """Forget expired and used up ones."""

        def change() -> int:
            gone = [
                each.secret_hash
                for each in self._image.invites.values()
                if not each.uses_left or (each.expires_at_ms is not None and each.expires_at_ms <= now_ms)
            ][:limit]
            for secret_hash in gone:
                del self._image.invites[secret_hash]
            return len(gone)

        return await self._gate.commit(change)
