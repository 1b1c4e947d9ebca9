"""Accounts, devices, manifests, handles and nonces in memory."""

from collections.abc import Sequence
from hashlib import sha256

from relay.ports.accounts import Account, Device, HandleBinding, ManifestChange, Registration, SeenDevice
from relay.ports.audit import AuditEntry
from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.wire.errors import Conflict, HandleTaken, LastOwner, ManifestConflict, NotFound, Unauthenticated
from relay.wire.log_leaves import LeafKind, manifest_leaf
from relay.wire.manifests import Manifest, ManifestDevice, SignedManifest

from .audit import append_entry
from .delivery_tokens import check_room
from .image import AccountRow, Gate, Image, Mailbox
from .invites import good_invite, spend_invite
from .transparency import append_handle, append_leaf


def account_of(image: Image, account_id: bytes) -> Account:
    """The account, which is there."""
    row = image.accounts[account_id]
    devices = sorted(
        (device for device in image.devices.values() if device.account_id == account_id),
        key=lambda device: device.device_id,
    )
    handle = next((each.handle for each in image.handles.values() if each.account_id == account_id), None)
    return Account(
        account_id=account_id,
        role=row.role,
        suspended=row.suspended,
        handle=handle,
        created_at_ms=row.created_at_ms,
        manifest_version=len(row.manifests),
        manifest_hash=row.manifest_hash,
        devices=tuple(devices),
    )


def _check_free(image: Image, devices: Sequence[ManifestDevice], gone: Sequence[bytes] = ()) -> None:
    """Raise Conflict if an id or key belongs to another device that stays."""
    others = [device for device in image.devices.values() if device.device_id not in gone]
    for device in devices:
        if any(
            device.device_id == other.device_id
            or device.signing_key == other.signing_key
            or device.identity_key == other.identity_key
            for other in others
        ):
            raise Conflict("a device id or key of this manifest belongs to another device")


def _add(image: Image, account_id: bytes, devices: Sequence[ManifestDevice]) -> None:
    for each in devices:
        image.devices[each.device_id] = Device(
            each.device_id, account_id, each.signing_key, each.identity_key, each.flags, each.added_at_ms
        )
        image.mailboxes[each.device_id] = Mailbox()


def remove_device(image: Image, device_id: bytes) -> None:
    """The device, and what was its own."""
    del image.devices[device_id]
    del image.mailboxes[device_id]
    image.shelves.pop(device_id, None)
    image.seen_days.pop(device_id, None)
    image.pushes.forget(device_id)
    for key in [key for key in image.nonces if key[0] == device_id]:
        del image.nonces[key]


def _check_handle(image: Image, account_id: bytes, handle: str, now_ms: int) -> None:
    binding = image.handles.get(handle)
    owner_id, until_ms = image.kept_handles.get(handle, (None, 0))
    is_kept = owner_id != account_id and until_ms > now_ms
    reserved = image.reserved_handles.get(handle)
    is_kept |= binding is None and reserved is not None and reserved.account_id != account_id
    if is_kept or (binding is not None and binding.account_id != account_id):
        raise HandleTaken


def unbind(
    image: Image,
    account_id: bytes,
    *,
    then: str | None = None,
    kept_until_ms: int = 0,
    owner_id: bytes | None = None,
) -> None:
    """The account has no handle; `then`: the one that it is about to get. The old one is kept for `owner_id` alone."""
    for binding in [each for each in image.handles.values() if each.account_id == account_id]:
        del image.handles[binding.handle]
        if binding.handle != then:
            append_handle(image, binding.handle, None)
            if kept_until_ms:
                image.kept_handles[binding.handle] = owner_id, kept_until_ms
        if binding.public_token is not None:
            image.tokens.get(account_id, {}).pop(sha256(binding.public_token).digest(), None)


def _bind(
    image: Image, account_id: bytes, handle: str, public_token: bytes | None, kept_until_ms: int = 0
) -> None:
    had = image.handles.get(handle)
    image.kept_handles.pop(handle, None)
    unbind(image, account_id, then=handle, kept_until_ms=kept_until_ms, owner_id=account_id)
    image.handles[handle] = HandleBinding(handle, account_id, public_token)
    if had is None:
        append_handle(image, handle, account_id)
    if public_token is not None:
        token = DeliveryToken(sha256(public_token).digest(), TokenClass.PUBLIC)
        image.tokens.setdefault(account_id, {})[token.token_hash] = token


def check_an_owner_stays(image: Image, account_id: bytes, owner: str) -> None:
    """Raise LastOwner if no other owner could undo what is done to this one."""
    able = {each for each, row in image.accounts.items() if row.role == owner and not row.suspended}
    if able == {account_id}:
        raise LastOwner


class MemoryAccounts:
    """AccountStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def register(
        self, registration: Registration, *, now_ms: int, audited: AuditEntry | None = None
    ) -> Account:
        """Make the account, all or nothing."""
        image, manifest, signed = self._image, registration.manifest, registration.signed
        account_id = manifest.account_id

        def change() -> Account:
            if (row := image.accounts.get(account_id)) is not None:
                if row.manifests[0] != signed:
                    raise ManifestConflict("this account is registered with another manifest")
                return account_of(image, account_id)
            if any((leaf.kind, leaf.subject) == (LeafKind.MANIFEST, account_id) for leaf in image.leaves):
                raise Conflict("an account with this root key was deleted here: make one with a new key")
            role = registration.role
            if registration.invite_hash is not None:
                role = good_invite(image, registration.invite_hash, now_ms).role
            _check_free(image, manifest.devices)
            if registration.handle is not None:
                _check_handle(image, account_id, registration.handle, now_ms)
            guest = None
            if registration.invite_hash is not None:
                guest = spend_invite(image, registration.invite_hash, now_ms)
            image.accounts[account_id] = AccountRow(role, now_ms, manifest.hash, [signed])
            if guest is not None:
                image.guests[account_id] = guest
            _add(image, account_id, manifest.devices)
            append_leaf(image, manifest_leaf(account_id, manifest.version, manifest.hash))
            if registration.handle is not None:
                _bind(image, account_id, registration.handle, registration.public_token)
            append_entry(image, audited and audited.telling(role))
            return account_of(image, account_id)

        return await self._gate.commit(change)

    async def account(self, account_id: bytes) -> Account | None:
        """The account, or None."""
        self._gate.check()
        return account_of(self._image, account_id) if account_id in self._image.accounts else None

    async def device(self, device_id: bytes) -> Device | None:
        """The device, or None."""
        self._gate.check()
        return self._image.devices.get(device_id)

    async def accounts_count(self) -> int:
        """How many accounts there are."""
        self._gate.check()
        return len(self._image.accounts)

    async def advance_manifest(
        self, manifest: Manifest, signed: SignedManifest, *, now_ms: int, audited: AuditEntry | None = None
    ) -> ManifestChange:
        """Put the next manifest in place if it follows the current one."""
        image, account_id = self._image, manifest.account_id

        def change() -> ManifestChange:
            row = self._row(account_id)
            if row.manifests[-1] == signed:
                return ManifestChange(account_of(image, account_id), (), ())
            if manifest.version != len(row.manifests) + 1 or manifest.previous_hash != row.manifest_hash:
                raise ManifestConflict
            current = {device.device_id: device for device in account_of(image, account_id).devices}
            added = [device for device in manifest.devices if device.device_id not in current]
            kept = [device for device in manifest.devices if device.device_id in current]
            removed = tuple(device_id for device_id in current if manifest.device(device_id) is None)
            for device in kept:
                known = current[device.device_id]
                if (known.signing_key, known.identity_key) != (device.signing_key, device.identity_key):
                    raise Conflict("a device of this manifest comes back with other keys: give it a new id")
            _check_free(image, added, removed)
            for device_id in removed:
                remove_device(image, device_id)
            for device in kept:
                known = current[device.device_id]
                image.devices[device.device_id] = Device(
                    known.device_id,
                    account_id,
                    known.signing_key,
                    known.identity_key,
                    device.flags,
                    known.added_at_ms,
                )
            _add(image, account_id, added)
            row.manifests.append(signed)
            row.manifest_hash = manifest.hash
            append_leaf(image, manifest_leaf(account_id, manifest.version, manifest.hash))
            append_entry(image, audited)
            return ManifestChange(
                account_of(image, account_id), tuple(each.device_id for each in added), removed
            )

        return await self._gate.commit(change)

    async def manifests(
        self, account_id: bytes, *, from_version: int, limit: int
    ) -> tuple[SignedManifest, ...]:
        """The manifests from this version on."""
        self._gate.check()
        row = self._image.accounts.get(account_id)
        start = max(from_version, 1) - 1
        return () if row is None else tuple(row.manifests[start : start + limit])

    async def set_handle(
        self,
        account_id: bytes,
        handle: str,
        public_token: bytes | None,
        *,
        now_ms: int,
        kept_until_ms: int = 0,
    ) -> None:
        """Bind the handle and its public token."""

        def change() -> None:
            self._row(account_id)
            _check_handle(self._image, account_id, handle, now_ms)
            if public_token is not None:
                old = next(
                    (each for each in self._image.handles.values() if each.account_id == account_id), None
                )
                if old is None or old.public_token is None:
                    check_room(self._image, account_id, sha256(public_token).digest(), now_ms)
            _bind(self._image, account_id, handle, public_token, kept_until_ms)

        await self._gate.commit(change)

    async def find_handle(self, handle: str) -> HandleBinding | None:
        """Who has this handle, or None."""
        self._gate.check()
        return self._image.handles.get(handle)

    async def release_handle(self, account_id: bytes, *, kept_until_ms: int = 0) -> None:
        """The account has no handle any more."""
        await self._gate.commit(
            lambda: unbind(self._image, account_id, kept_until_ms=kept_until_ms, owner_id=account_id)
        )

    async def free_handles(self, *, now_ms: int, limit: int) -> int:
        """Those that were kept long enough."""

        def change() -> int:
            kept = self._image.kept_handles
            freed = [handle for handle, (_, until_ms) in kept.items() if until_ms <= now_ms][:limit]
            for handle in freed:
                del kept[handle]
            return len(freed)

        return await self._gate.commit(change)

    async def set_suspended(
        self, account_id: bytes, suspended: bool, *, owner: str, audited: AuditEntry | None = None
    ) -> Account:
        """Mark the account."""

        def change() -> Account:
            row = self._standing(account_id)
            if suspended:
                check_an_owner_stays(self._image, account_id, owner)
            row.suspended = suspended
            append_entry(self._image, audited)
            return account_of(self._image, account_id)

        return await self._gate.commit(change)

    async def set_role(
        self, account_id: bytes, role: str, *, owner: str, audited: AuditEntry | None = None
    ) -> Account:
        """Give the account this role."""

        def change() -> Account:
            row = self._standing(account_id)
            if role != owner:
                check_an_owner_stays(self._image, account_id, owner)
            row.role = role
            append_entry(self._image, audited)
            return account_of(self._image, account_id)

        return await self._gate.commit(change)

    def _standing(self, account_id: bytes) -> AccountRow:
        if account_id not in self._image.accounts:
            raise NotFound("there is no such account")
        return self._image.accounts[account_id]

    async def mark_seen(self, device_id: bytes, *, day: int) -> None:
        """Note the day."""

        def change() -> None:
            if device_id in self._image.devices:
                self._image.seen_days[device_id] = max(day, self._image.seen_days.get(device_id, 0))

        await self._gate.commit(change)

    async def seen_devices(self, account_id: bytes) -> tuple[SeenDevice, ...]:
        """The devices with their days."""
        self._gate.check()
        seen = self._image.seen_days
        return tuple(
            SeenDevice(device_id, device.added_at_ms, seen.get(device_id, 0))
            for device_id, device in sorted(self._image.devices.items())
            if device.account_id == account_id
        )

    async def recovery_chain(self, account_id: bytes, *, limit: int) -> tuple[SignedManifest, ...]:
        """From the last manifest on that the root key signed."""
        self._gate.check()
        row = self._image.accounts.get(account_id)
        if row is None:
            return ()
        last = max(number for number, signed in enumerate(row.manifests) if not signed.signer)
        return tuple(row.manifests[last : last + limit])

    async def spend_nonce(self, signer: bytes, nonce: bytes, *, expires_at_ms: int) -> None:
        """Use a nonce up."""

        def change() -> None:
            if (signer, nonce) in self._image.nonces:
                raise Unauthenticated
            self._image.nonces[signer, nonce] = expires_at_ms

        await self._gate.commit(change)

    async def remove_expired_nonces(self, *, now_ms: int, limit: int) -> int:
        """Forget expired nonces."""

        def change() -> int:
            gone = [key for key, expires_at_ms in self._image.nonces.items() if expires_at_ms <= now_ms][
                :limit
            ]
            for key in gone:
                del self._image.nonces[key]
            return len(gone)

        return await self._gate.commit(change)

    def _row(self, account_id: bytes) -> AccountRow:
        row = self._image.accounts.get(account_id)
        if row is None:
            raise NotFound("there is no such account")
        return row
