"""Accounts, their devices, manifests and handles. The store keeps and compares; whether a signature holds is not its business.

A device lives and dies with the commit of a manifest: what was its own (mailbox, prekeys, nonces) goes in that
transaction, so no later step can be forgotten or killed.
"""

from dataclasses import dataclass, field
from typing import Protocol

from relay.wire.manifests import Manifest, SignedManifest

from .audit import AuditEntry


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the current manifest: 16 B id, 32 B account id, 32 B Ed25519 and X25519 keys, flags of the manifest."""

    device_id: bytes
    account_id: bytes
    signing_key: bytes
    identity_key: bytes
    flags: int
    added_at_ms: int


@dataclass(frozen=True, slots=True)
class SeenDevice:
    """A device of the current manifest: 16 B id, when it was added, days since 1970 when it was last here (0: never)."""

    device_id: bytes
    added_at_ms: int
    seen_day: int


@dataclass(frozen=True, slots=True)
class Account:
    """An account with its current manifest; `devices` in ascending order of their ids, as the manifest lists them."""

    account_id: bytes
    role: str
    suspended: bool
    handle: str | None
    created_at_ms: int
    manifest_version: int
    manifest_hash: bytes
    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True)
class HandleBinding:
    """A name that leads to an account: its 32 B id, and the 16 B delivery token of class `public` if it wants to be found."""

    handle: str
    account_id: bytes
    public_token: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Registration:
    """All of a new account. `manifest` is `signed.body` parsed, of version 1; the caller has verified every signature.

    `invite_hash` None: the relay's policy needs none, and the account gets `role`; otherwise the invite's role counts.
    `public_token` (16 B) belongs to `handle`: the directory gives it to whoever asks for the handle.
    """

    manifest: Manifest
    signed: SignedManifest
    role: str
    invite_hash: bytes | None = None
    handle: str | None = None
    public_token: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ManifestChange:
    """What a manifest did: the account as it is now, and the ids of the devices that came and went."""

    account: Account
    added: tuple[bytes, ...]
    removed: tuple[bytes, ...]


class AccountStore(Protocol):
    """Every change is one transaction and durable when the method returns; a raise changed nothing.

    `audited` is appended to the audit log in that transaction, if something changes.
    """

    async def register(
        self, registration: Registration, *, now_ms: int, audited: AuditEntry | None = None
    ) -> Account:
        """Make the account: invite spent, manifest 1, its devices with empty mailboxes, handle and public token; all or nothing.

        `audited` tells the role. The same signed manifest again gives the same answer and spends nothing. Raises
        InviteInvalid, HandleTaken, ManifestConflict (the account is there with another manifest), Conflict (a device id,
        signing key or identity key belongs to another device of this relay).
        """

    async def account(self, account_id: bytes) -> Account | None:
        """The account of this 32 B id, or None."""

    async def device(self, device_id: bytes) -> Device | None:
        """The device of this 16 B id, or None; a removed one is None from the commit of that manifest on."""

    async def accounts_count(self) -> int:
        """How many accounts there are."""

    async def advance_manifest(
        self, manifest: Manifest, signed: SignedManifest, *, now_ms: int, audited: AuditEntry | None = None
    ) -> ManifestChange:
        """Put the next manifest in place if `manifest` follows the current one by version and hash.

        The current one's exact bytes again: the same answer, with nothing added or removed. Raises ManifestConflict,
        NotFound (no such account), Conflict (an id or key belongs to another device, or an id comes back with new keys).
        """

    async def manifests(
        self, account_id: bytes, *, from_version: int, limit: int
    ) -> tuple[SignedManifest, ...]:
        """The manifests from this version on, ascending, at most `limit`; empty for an unknown account."""

    async def set_handle(
        self,
        account_id: bytes,
        handle: str,
        public_token: bytes | None,
        *,
        now_ms: int,
        kept_until_ms: int = 0,
    ) -> None:
        """Bind the handle and its public token, which replaces the old public one. The old handle is kept from others until then.

        Raises HandleTaken (also for one that is kept from this account), NotFound (no such account), QuotaExceeded (no
        room for another delivery token).
        """

    async def find_handle(self, handle: str) -> HandleBinding | None:
        """Who has this handle, or None."""

    async def release_handle(self, account_id: bytes, *, kept_until_ms: int = 0) -> None:
        """The account has no handle and no public token any more; likewise. Without effect if it has none."""

    async def free_handles(self, *, now_ms: int, limit: int) -> int:
        """At most `limit` handles that were kept long enough are free; how many it were."""

    async def set_suspended(
        self, account_id: bytes, suspended: bool, *, owner: str, audited: AuditEntry | None = None
    ) -> Account:
        """Mark the account, and tell it as it is now; likewise."""

    async def set_role(
        self, account_id: bytes, role: str, *, owner: str, audited: AuditEntry | None = None
    ) -> Account:
        """Give the account this role, and tell it as it is now. Of those with role `owner` that are not suspended one stays.

        Raises NotFound, LastOwner.
        """

    async def mark_seen(self, device_id: bytes, *, day: int) -> None:
        """Note the day (days since 1970) on which the device was last here; writes once a day, nothing finer is kept."""

    async def seen_devices(self, account_id: bytes) -> tuple[SeenDevice, ...]:
        """The account's devices, in ascending order of their ids; empty for an unknown account."""

    async def recovery_chain(self, account_id: bytes, *, limit: int) -> tuple[SignedManifest, ...]:
        """The manifests from the last one that the root key signed on, at most `limit`; empty for an unknown account."""

    async def spend_nonce(self, signer: bytes, nonce: bytes, *, expires_at_ms: int) -> None:
        """Use a 16 B nonce up, for this device or account id, until `expires_at_ms`, across restarts.

        Raises Unauthenticated if it is used.
        """

    async def remove_expired_nonces(self, *, now_ms: int, limit: int) -> int:
        """Forget at most `limit` expired nonces; how many it were."""
