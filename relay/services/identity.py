"""Accounts: registering by invite, the chain of device manifests, handles. Verifies every signature before the store sees it.

Cannot add a device by itself: it has no code path that needs a user's private key. docs/protocol.md, "Identity and manifests".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from relay.config import Settings
from relay.ports.accounts import Account, AccountStore, HandleBinding, Registration, SeenDevice
from relay.ports.bus import AccountChanged, Bus, DeviceRevoked, ManifestChanged
from relay.ports.clock import Clock
from relay.ports.invites import InviteStore
from relay.services.audit import Action, Audit
from relay.services.devices import Devices, KnownDevice
from relay.services.invites import most_invites
from relay.services.reach import Reach
from relay.services.registration_work import WorkForAccounts
from relay.services.roles import Operation, Role, Roles
from relay.session.proof import is_ed25519_key, is_x25519_key, verify_as, verify_signature
from relay.wire import limits
from relay.wire.errors import (
    HandleInvalid,
    InviteInvalid,
    MalformedRequest,
    ManifestConflict,
    ManifestInvalid,
    NotAllowed,
    NotFound,
    Unauthenticated,
)
from relay.wire.manifests import Manifest, SignedManifest, parse_manifest
from relay.wire.resources import RegisterRequest

_HANDLE: Final = re.compile(
    rf"[a-z0-9][a-z0-9._-]{{{limits.MIN_HANDLE_CHARACTERS - 1},{limits.MAX_HANDLE_CHARACTERS - 1}}}"
)
_CLOSED: Final = "this relay takes no new accounts"


@dataclass(frozen=True, slots=True)
class Chain:
    """A part of an account's manifests, in order, and the newest version there is."""

    manifests: tuple[SignedManifest, ...]
    latest: int


def kept_until_ms(clock: Clock, seconds: int) -> int:
    """Until when that is from now; 0 for no time at all."""
    return clock.now_ms() + seconds * 1_000 if seconds else 0


def is_handle(text: str) -> bool:
    """Whether it could be somebody's handle."""
    return _HANDLE.fullmatch(text) is not None


def check_handle(handle: str) -> None:
    """Raise HandleInvalid unless it is one."""
    if not is_handle(handle):
        raise HandleInvalid


def _check_signature(key: bytes, message: bytes, signature: bytes, told: str) -> None:
    try:
        verify_signature(key, message, signature)
    except Unauthenticated as error:
        raise ManifestInvalid(told) from error


def _check_keys(manifest: Manifest) -> None:
    """Keys are keys (A7), and each device has signed that it belongs to this account."""
    if not is_ed25519_key(manifest.root_key):
        raise ManifestInvalid("the manifest's root key is not an Ed25519 key")
    account_id = manifest.account_id
    for device in manifest.devices:
        if not is_ed25519_key(device.signing_key) or not is_x25519_key(device.identity_key):
            raise ManifestInvalid("a device's key is not one of its kind")
        _check_signature(
            device.signing_key,
            device.signed_transcript(account_id),
            device.signature,
            "a device has not signed its keys for this account",
        )


def verify_first(manifest: Manifest, signed: SignedManifest) -> None:
    """Raise ManifestInvalid unless it is a version 1, signed by the root key, with good keys."""
    if manifest.version != 1 or signed.signer:
        raise ManifestInvalid("an account begins with version 1, signed by the root key")
    _check_keys(manifest)
    _check_signature(
        manifest.root_key, signed.body, signed.signature, "the root key has not signed this manifest"
    )


def verify_next(manifest: Manifest, signed: SignedManifest, current: Account) -> None:
    """Raise unless it follows `current`, signed by the root key or a manager of the *current* manifest (A13).

    ManifestConflict: not the next version after this hash; ManifestInvalid: a key or signature.
    """
    if manifest.account_id != current.account_id:
        raise ManifestInvalid("the manifest is of another account")
    if manifest.version != current.manifest_version + 1 or manifest.previous_hash != current.manifest_hash:
        raise ManifestConflict
    if signed.signer:
        signer = next((device for device in current.devices if device.device_id == signed.signer), None)
        if signer is None or not signer.flags & 1:
            raise ManifestInvalid("the signer is not a manager of the current manifest")
        key = signer.signing_key
    else:
        key = manifest.root_key
    _check_keys(manifest)
    _check_signature(key, signed.body, signed.signature, "the signer has not signed this manifest")


class Identity:
    """The accounts of this relay."""

    def __init__(
        self,
        accounts: AccountStore,
        invites: InviteStore,
        audit: Audit,
        roles: Roles,
        *,
        devices: Devices,
        reach: Reach,
        bus: Bus,
        clock: Clock,
        work: WorkForAccounts,
        settings: Settings,
        owner_joined: Callable[[], None] = lambda: None,
    ) -> None:
        self._accounts = accounts
        self._invites = invites
        self._audit = audit
        self._roles = roles
        self._devices = devices
        self._reach = reach
        self._bus = bus
        self._clock = clock
        self._work = work
        self._owner_joined = owner_joined
        self._take(settings)

    def change(self, settings: Settings) -> None:
        """Who may register from now on, and what that costs without an invite."""
        self._take(settings)
        self._work.change(settings.limits.registration_work_bits, settings.registrations_an_hour)

    def _take(self, settings: Settings) -> None:
        self._policy = settings.registration
        self._accounts_invite = most_invites(settings) > 0
        self._handle_kept_ms = settings.limits.handle_kept_seconds * 1_000

    @property
    def registration_work_bits(self) -> int:
        """Zero bits that an account without an invite needs at this moment; 0: none, or there are none without."""
        return self._work.bits() if self._policy == "open" else 0

    async def register(self, request: RegisterRequest) -> Account:
        """Make the account, all or nothing; the same manifest again, the same answer.

        Raises NotAllowed (the relay takes nobody, or not with a handle), InviteInvalid, WorkRequired, ManifestInvalid,
        ManifestConflict, Conflict, HandleInvalid, HandleTaken, MalformedRequest.
        """
        if request.invite is None and self._policy != "open":
            raise (
                NotAllowed(_CLOSED)
                if self._policy == "closed"
                else InviteInvalid("this relay takes new accounts by invite")
            )
        if request.handle is not None:
            check_handle(request.handle)
        elif request.public_token is not None:
            raise MalformedRequest("public_token needs a handle")
        signed = request.manifest.signed_manifest()
        manifest = parse_manifest(signed.body)
        verify_first(manifest, signed)
        is_known = await self._is_registered(manifest)
        if self._policy == "closed" and not is_known and not await self._is_first(request):
            raise NotAllowed(_CLOSED)
        invite_hash = None if request.invite is None else sha256(request.invite).digest()
        if invite_hash is not None and not is_known:
            await self._check_invite(invite_hash, with_handle=request.handle is not None)
        by_work = request.invite is None and not is_known
        if by_work:
            self._work.check(request.work, manifest)
        account = await self._accounts.register(
            Registration(
                manifest=manifest,
                signed=signed,
                role=Role.MEMBER,
                invite_hash=invite_hash,
                handle=request.handle,
                public_token=request.public_token,
            ),
            now_ms=self._clock.now_ms(),
            audited=self._audit.by_account(Action.ACCOUNT_REGISTER, manifest.account_id),
        )
        if by_work:
            # Only now: one proof is good for minutes, and what is refused each time must not make it dearer for everybody.
            self._work.count()
        self._devices.forget(device.device_id for device in account.devices)
        self._reach.forget(account.account_id)
        if account.role == Role.OWNER:
            self._owner_joined()
        return account

    async def _check_invite(self, invite_hash: bytes, *, with_handle: bool) -> None:
        """Raise InviteInvalid unless it makes accounts as the settings and the roles are now, NotAllowed for a handle that its
        role may not have.
        """
        invite = await self._invites.get(invite_hash, now_ms=self._clock.now_ms())
        if invite.role not in self._roles.names:
            raise InviteInvalid("the role of this invite is defined no more: ask for a new one")
        if invite.made_by is not None:
            maker = await self._accounts.account(invite.made_by)
            may_invite = maker is not None and Operation.INVITE in self._roles.permissions_of(maker.role)
            if not self._accounts_invite or not may_invite:
                raise InviteInvalid(
                    "who made this invite may invite no more: ask who runs this relay for one"
                )
        if with_handle and Operation.SET_HANDLE not in self._roles.permissions_of(invite.role):
            raise NotAllowed("an account by this invite has no handle: register without one")

    async def _is_first(self, request: RegisterRequest) -> bool:
        """Whether its owner comes by the invite of the first start: a closed relay takes nobody after that."""
        return request.invite is not None and not await self._accounts.accounts_count()

    async def _is_registered(self, manifest: Manifest) -> bool:
        """Whether this very registration was made already: an answer that got lost is given again, without new work."""
        account = await self._accounts.account(manifest.account_id)
        return account is not None and manifest.version == 1

    async def account(self, account_id: bytes) -> Account:
        """The account; raises NotFound."""
        account = await self._accounts.account(account_id)
        if account is None:
            raise NotFound
        return account

    async def seen_devices(self, account_id: bytes) -> tuple[SeenDevice, ...]:
        """The account's devices with the days on which they were last here."""
        return await self._accounts.seen_devices(account_id)

    async def advance_unasked(self, account_id: bytes, signed: SignedManifest) -> Account:
        """The same for whoever has a manifest that proves itself, and maybe no device that is known here.

        Signed by the root key: the account's id is the hash of that key, so the signature is checked before anything is looked
        up. Signed by a manager: whatever is wrong is one answer by the same steps. So without a key the answer says nothing of
        the account. Raises NotAllowed, ManifestInvalid, ManifestConflict, Conflict.
        """
        manifest = parse_manifest(signed.body)
        if manifest.account_id != account_id or not is_ed25519_key(manifest.root_key):
            raise ManifestInvalid("the manifest is of another account")
        if signed.signer:
            await self._verify_manager(account_id, signed)
            return await self.advance(account_id, signed)
        _check_signature(
            manifest.root_key, signed.body, signed.signature, "the root key has not signed this manifest"
        )
        if await self._accounts.account(account_id) is None:
            raise NotAllowed
        return await self.advance(account_id, signed)

    async def _verify_manager(self, account_id: bytes, signed: SignedManifest) -> None:
        """Raise NotAllowed unless a manager of the account's current manifest signed it."""
        current = await self._accounts.account(account_id)
        managers = [] if current is None else [device for device in current.devices if device.flags & 1]
        keys = [device.signing_key for device in managers if device.device_id == signed.signer]
        try:
            verify_as(keys[0] if keys else None, signed.body, signed.signature)
        except Unauthenticated as error:
            raise NotAllowed from error

    async def advance(self, account_id: bytes, signed: SignedManifest) -> Account:
        """Put the account's next manifest in place; removed devices lose everything in the same commit (D6)."""
        manifest = parse_manifest(signed.body)
        current = await self.account(account_id)
        if manifest.hash != current.manifest_hash:
            verify_next(manifest, signed, current)
        change = await self._accounts.advance_manifest(
            manifest,
            signed,
            now_ms=self._clock.now_ms(),
            audited=self._audit.by_account(Action.MANIFEST_CHANGE, account_id),
        )
        if change.added or change.removed or change.account.manifest_version != current.manifest_version:
            self._devices.forget((*change.added, *change.removed))
            self._devices.forget_account(account_id)
            self._reach.forget(account_id)
            for device_id in change.removed:
                self._bus.publish(DeviceRevoked(device_id))
            self._bus.publish(ManifestChanged(account_id, change.account.manifest_version))
        return change.account

    async def chain(self, account_id: bytes, from_version: int) -> Chain:
        """At most MAX_MANIFESTS_PER_ANSWER manifests from this version on. The caller has asked Reach."""
        manifests = await self._accounts.manifests(
            account_id, from_version=from_version, limit=limits.MAX_MANIFESTS_PER_ANSWER
        )
        return Chain(manifests, (await self.account(account_id)).manifest_version)

    async def set_handle(self, owner: KnownDevice, handle: str, public_token: bytes | None) -> None:
        """Bind the handle, and say who may find the account by it; raises HandleInvalid, HandleTaken, QuotaExceeded."""
        check_handle(handle)
        await self._accounts.set_handle(
            owner.account_id,
            handle,
            public_token,
            now_ms=self._clock.now_ms(),
            kept_until_ms=self.handles_kept_until_ms(),
        )
        self._handle_changed(owner)

    def handles_kept_until_ms(self) -> int:
        """Until when a handle that is given back now is kept from others; 0: not at all."""
        return kept_until_ms(self._clock, self._handle_kept_ms // 1_000)

    async def release_handle(self, owner: KnownDevice) -> None:
        """The account has no handle any more."""
        await self._accounts.release_handle(owner.account_id, kept_until_ms=self.handles_kept_until_ms())
        self._handle_changed(owner)

    def _handle_changed(self, owner: KnownDevice) -> None:
        self._reach.forget(owner.account_id)
        self._bus.publish(AccountChanged(owner.account_id, suspended=owner.suspended))

    async def find(self, handle: str, signer: KnownDevice) -> tuple[bytes, bytes]:
        """Account id and public token of a handle; NotAllowed for one that nobody has, whose owner is not to be found, or who is
        no host of the guest that asks (C6).
        """
        binding: HandleBinding | None = await self._accounts.find_handle(handle)
        if binding is None or binding.public_token is None or not signer.may_reach(binding.account_id):
            raise NotAllowed
        return binding.account_id, binding.public_token
