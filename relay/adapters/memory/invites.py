"""Invites in memory."""

from dataclasses import replace

from relay.ports.audit import AuditEntry
from relay.ports.invites import Invite
from relay.wire.errors import Conflict, InviteInvalid, NotFound

from .audit import append_entry
from .image import Gate, Image


def good_invite(image: Image, secret_hash: bytes, now_ms: int) -> Invite:
    """The invite as long as it can be spent; raises InviteInvalid."""
    invite = image.invites.get(secret_hash)
    if invite is None or not invite.uses_left:
        raise InviteInvalid
    if invite.expires_at_ms is not None and invite.expires_at_ms <= now_ms:
        raise InviteInvalid
    return invite


def spend_invite(image: Image, secret_hash: bytes, now_ms: int) -> None:
    """Take one use."""
    invite = good_invite(image, secret_hash, now_ms)
    image.invites[secret_hash] = replace(invite, uses_left=invite.uses_left - 1)


class MemoryInvites:
    """InviteStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def create(self, invite: Invite, *, audited: AuditEntry | None = None) -> None:
        """Keep it."""

        def change() -> None:
            if invite.secret_hash in self._image.invites:
                raise Conflict("there is an invite with this secret")
            self._image.invites[invite.secret_hash] = invite
            append_entry(self._image, audited)

        await self._gate.commit(change)

    async def get(self, secret_hash: bytes, *, now_ms: int) -> Invite:
        """The invite as long as it can be spent."""
        self._gate.check()
        return good_invite(self._image, secret_hash, now_ms)

    async def list(self) -> tuple[Invite, ...]:
        """All that are kept, oldest first."""
        self._gate.check()
        return tuple(
            sorted(self._image.invites.values(), key=lambda each: (each.created_at_ms, each.secret_hash))
        )

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
