"""Accounts, manifests, handles and nonces in SQLite; devices come and go in devices.py, within these transactions."""

from collections.abc import Callable, Iterable
from hashlib import sha256

from relay.ports.accounts import Account, Device, HandleBinding, ManifestChange, Registration, SeenDevice
from relay.ports.audit import AuditEntry
from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.wire.errors import Conflict, HandleTaken, LastOwner, ManifestConflict, NotFound, Unauthenticated
from relay.wire.log_leaves import LeafKind, manifest_leaf
from relay.wire.manifests import Manifest, SignedManifest

from . import devices
from .audit import append_entry
from .delivery_tokens import add_token
from .guests import add_guest
from .invites import spend_invite
from .reader import Reader
from .reserved_handles import check_reserved
from .sealing import PUBLIC_TOKEN
from .transparency import append_handle, append_leaf, has_leaf, subject_of
from .writer import Row, Transaction, Writer

_ACCOUNT = """SELECT a.role, a.suspended, h.handle, a.created_at_ms, a.manifest_version, a.manifest_hash
              FROM accounts AS a LEFT JOIN handles AS h USING (account_id) WHERE a.account_id = ?"""

STANDING = "SELECT role, suspended FROM accounts WHERE account_id = ?"
AN_OWNER = "SELECT 1 FROM accounts WHERE role = ? AND suspended = 0 LIMIT 1"


def _account(account_id: bytes, row: Row, listed: Iterable[Row]) -> Account:
    role, suspended, handle, created_at_ms, version, manifest_hash = row
    return Account(
        account_id=account_id,
        role=role,
        suspended=bool(suspended),
        handle=handle,
        created_at_ms=created_at_ms,
        manifest_version=version,
        manifest_hash=manifest_hash,
        devices=tuple(Device(*device) for device in listed),
    )


class SqliteAccounts:
    """AccountStore on one file. `forget_devices` is called with the ids that a commit has removed."""

    def __init__(
        self, writer: Writer, reader: Reader, forget_devices: Callable[[Iterable[bytes]], None]
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._forget_devices = forget_devices

    async def register(
        self, registration: Registration, *, now_ms: int, audited: AuditEntry | None = None
    ) -> Account:
        """Make the account, all or nothing."""
        manifest, signed = registration.manifest, registration.signed
        account_id = manifest.account_id

        async def operation(transaction: Transaction) -> Account:
            first = await transaction.rows(
                "SELECT body, signer, signature FROM manifests WHERE account_id = ? AND version = 1",
                (account_id,),
            )
            if first:
                if SignedManifest(*first[0]) != signed:
                    raise ManifestConflict("this account is registered with another manifest")
                return await read_account(transaction, account_id)
            if await has_leaf(transaction, LeafKind.MANIFEST, account_id):
                raise Conflict("an account with this root key was deleted here: make one with a new key")
            role, guest = registration.role, None
            if registration.invite_hash is not None:
                role, guest = await spend_invite(transaction, registration.invite_hash, now_ms)
            await transaction.rows(
                "INSERT INTO accounts VALUES (?, ?, 0, ?, ?, ?)",
                (account_id, role, now_ms, manifest.version, manifest.hash),
            )
            if guest is not None:
                await add_guest(transaction, account_id, guest.expires_at_ms, guest.hosts)
            await _keep_manifest(transaction, manifest, signed)
            await devices.add_devices(transaction, account_id, manifest.devices)
            if registration.handle is not None:
                await _bind_handle(
                    transaction, account_id, registration.handle, registration.public_token, now_ms
                )
            await append_entry(transaction, audited and audited.telling(role))
            return await read_account(transaction, account_id)

        return await self._writer.run(operation)

    async def account(self, account_id: bytes) -> Account | None:
        """The account, or None. Its two parts are read again if a manifest was committed between them."""
        while True:
            row = await self._reader.one(_ACCOUNT, (account_id,))
            if row is None:
                return None
            listed = await self._reader.rows(devices.OF_ACCOUNT, (account_id,))
            if await self._reader.one(_ACCOUNT, (account_id,)) == row:
                return _account(account_id, row, listed)

    async def device(self, device_id: bytes) -> Device | None:
        """The device, or None."""
        row = await self._reader.one(devices.BY_ID, (device_id,))
        return None if row is None else Device(*row)

    async def accounts_count(self) -> int:
        """How many accounts there are."""
        ((count,),) = await self._reader.rows("SELECT count(*) FROM accounts")
        return int(count)

    async def advance_manifest(
        self, manifest: Manifest, signed: SignedManifest, *, now_ms: int, audited: AuditEntry | None = None
    ) -> ManifestChange:
        """Put the next manifest in place if it follows the current one."""
        account_id = manifest.account_id

        async def operation(transaction: Transaction) -> ManifestChange:
            current = await transaction.rows(
                """SELECT a.manifest_version, a.manifest_hash, m.body, m.signer, m.signature FROM accounts AS a
                   JOIN manifests AS m ON m.account_id = a.account_id AND m.version = a.manifest_version
                   WHERE a.account_id = ?""",
                (account_id,),
            )
            if not current:
                raise NotFound("there is no such account")
            version, manifest_hash, *parts = current[0]
            if SignedManifest(*parts) == signed:
                return ManifestChange(await read_account(transaction, account_id), (), ())
            if manifest.version != version + 1 or manifest.previous_hash != manifest_hash:
                raise ManifestConflict
            added, removed = await devices.replace_devices(transaction, account_id, manifest.devices)
            await _keep_manifest(transaction, manifest, signed)
            await transaction.rows(
                "UPDATE accounts SET manifest_version = ?, manifest_hash = ? WHERE account_id = ?",
                (manifest.version, manifest.hash, account_id),
            )
            await append_entry(transaction, audited)
            transaction.after_commit(lambda: self._forget_devices(removed))
            return ManifestChange(await read_account(transaction, account_id), added, removed)

        return await self._writer.run(operation)

    async def manifests(
        self, account_id: bytes, *, from_version: int, limit: int
    ) -> tuple[SignedManifest, ...]:
        """The manifests from this version on."""
        rows = await self._reader.rows(
            """SELECT body, signer, signature FROM manifests
               WHERE account_id = ? AND version >= ? ORDER BY version LIMIT ?""",
            (account_id, from_version, limit),
        )
        return tuple(SignedManifest(*row) for row in rows)

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

        async def operation(transaction: Transaction) -> None:
            if not await transaction.rows("SELECT 1 FROM accounts WHERE account_id = ?", (account_id,)):
                raise NotFound("there is no such account")
            await _bind_handle(transaction, account_id, handle, public_token, now_ms, kept_until_ms)

        await self._writer.run(operation)

    async def find_handle(self, handle: str) -> HandleBinding | None:
        """Who has this handle, or None."""
        statement = "SELECT account_id, public_token FROM handles WHERE handle = ?"
        row = await self._reader.one(statement, (handle,))
        if row is None:
            return None
        account_id, sealed = row
        token = None if sealed is None else self._reader.keys.open(PUBLIC_TOKEN, account_id, sealed)
        return HandleBinding(handle, account_id, token)

    async def release_handle(self, account_id: bytes, *, kept_until_ms: int = 0) -> None:
        """The account has no handle any more."""

        async def operation(transaction: Transaction) -> None:
            released = await unbind_handle(transaction, account_id)
            if released is not None:
                await append_handle(transaction, released, None)
                await keep_handle(transaction, released, account_id, kept_until_ms)

        await self._writer.run(operation, frees=True)

    async def free_handles(self, *, now_ms: int, limit: int) -> int:
        """Those that were kept long enough."""

        async def operation(transaction: Transaction) -> int:
            freed = await transaction.rows(
                """DELETE FROM kept_handles WHERE subject IN (
                       SELECT subject FROM kept_handles WHERE until_ms <= ? LIMIT ?) RETURNING 1""",
                (now_ms, limit),
            )
            return len(freed)

        return await self._writer.run(operation, frees=True, single=True)

    async def set_suspended(
        self, account_id: bytes, suspended: bool, *, owner: str, audited: AuditEntry | None = None
    ) -> Account:
        """Mark the account."""
        return await self._change(account_id, "suspended", int(suspended), owner, audited)

    async def set_role(
        self, account_id: bytes, role: str, *, owner: str, audited: AuditEntry | None = None
    ) -> Account:
        """Give the account this role."""
        return await self._change(account_id, "role", role, owner, audited)

    async def _change(
        self, account_id: bytes, column: str, value: str | int, owner: str, audited: AuditEntry | None
    ) -> Account:
        async def operation(transaction: Transaction) -> Account:
            before = await transaction.rows(STANDING, (account_id,))
            if not before:
                raise NotFound("there is no such account")
            await transaction.rows(
                f"UPDATE accounts SET {column} = ? WHERE account_id = ?",  # noqa: S608  # a name of this module
                (value, account_id),
            )
            if before[0] == (owner, 0) and not await transaction.rows(AN_OWNER, (owner,)):
                raise LastOwner
            await append_entry(transaction, audited)
            return await read_account(transaction, account_id)

        return await self._writer.run(operation, frees=True)

    async def mark_seen(self, device_id: bytes, *, day: int) -> None:
        """Note the day; a second time the same day writes nothing."""
        row = await self._reader.one(
            "SELECT 1 FROM devices WHERE device_id = ? AND seen_day < ?", (device_id, day)
        )
        if row is None:
            return

        async def operation(transaction: Transaction) -> None:
            await transaction.rows("UPDATE devices SET seen_day = ? WHERE device_id = ?", (day, device_id))

        await self._writer.run(operation, frees=True, single=True)

    async def seen_devices(self, account_id: bytes) -> tuple[SeenDevice, ...]:
        """The devices with their days."""
        rows = await self._reader.rows(
            "SELECT device_id, added_at_ms, seen_day FROM devices WHERE account_id = ? ORDER BY device_id",
            (account_id,),
        )
        return tuple(SeenDevice(*row) for row in rows)

    async def recovery_chain(self, account_id: bytes, *, limit: int) -> tuple[SignedManifest, ...]:
        """From the last manifest on that the root key signed."""
        rows = await self._reader.rows(
            """SELECT body, signer, signature FROM manifests WHERE account_id = ?1 AND version >=
                   (SELECT max(version) FROM manifests WHERE account_id = ?1 AND signer = x'')
               ORDER BY version LIMIT ?2""",
            (account_id, limit),
        )
        return tuple(SignedManifest(*row) for row in rows)

    async def spend_nonce(self, signer: bytes, nonce: bytes, *, expires_at_ms: int) -> None:
        """Use a nonce up; on a full disk too, or nobody could get in to delete something."""

        async def operation(transaction: Transaction) -> None:
            if not await transaction.rows(
                "INSERT OR IGNORE INTO nonces VALUES (?, ?, ?) RETURNING 1", (signer, nonce, expires_at_ms)
            ):
                raise Unauthenticated

        await self._writer.run(operation, frees=True, single=True)

    async def remove_expired_nonces(self, *, now_ms: int, limit: int) -> int:
        """Forget expired nonces."""

        async def operation(transaction: Transaction) -> int:
            gone = await transaction.rows(
                """DELETE FROM nonces WHERE (device_id, nonce) IN (
                       SELECT device_id, nonce FROM nonces WHERE expires_at_ms <= ? LIMIT ?) RETURNING 1""",
                (now_ms, limit),
            )
            return len(gone)

        return await self._writer.run(operation, frees=True, single=True)


async def read_account(transaction: Transaction, account_id: bytes) -> Account:
    """The account, which is there."""
    (row,) = await transaction.rows(_ACCOUNT, (account_id,))
    return _account(account_id, row, await transaction.rows(devices.OF_ACCOUNT, (account_id,)))


async def _keep_manifest(transaction: Transaction, manifest: Manifest, signed: SignedManifest) -> None:
    await transaction.rows(
        "INSERT INTO manifests VALUES (?, ?, ?, ?, ?)",
        (manifest.account_id, manifest.version, signed.body, signed.signer, signed.signature),
    )
    await append_leaf(transaction, manifest_leaf(manifest.account_id, manifest.version, manifest.hash))


async def _bind_handle(
    transaction: Transaction,
    account_id: bytes,
    handle: str,
    public_token: bytes | None,
    now_ms: int,
    kept_until_ms: int = 0,
) -> None:
    owner = await transaction.rows("SELECT account_id FROM handles WHERE handle = ?", (handle,))
    if owner and owner[0][0] != account_id:
        raise HandleTaken
    if not owner:
        await check_reserved(transaction, handle, account_id)
    await _take_back(transaction, handle, account_id, now_ms)
    released = await unbind_handle(transaction, account_id)
    sealed = None if public_token is None else transaction.keys.seal(PUBLIC_TOKEN, account_id, public_token)
    await transaction.rows("INSERT INTO handles VALUES (?, ?, ?)", (handle, account_id, sealed))
    if released != handle:
        if released is not None:
            await append_handle(transaction, released, None)
            await keep_handle(transaction, released, account_id, kept_until_ms)
        await append_handle(transaction, handle, account_id)
    if public_token is not None:
        token = DeliveryToken(sha256(public_token).digest(), TokenClass.PUBLIC)
        await add_token(transaction, account_id, token, now_ms)


async def unbind_handle(transaction: Transaction, account_id: bytes) -> str | None:
    """The account has no handle and no public token; the handle it had."""
    released = await transaction.rows(
        "DELETE FROM handles WHERE account_id = ? RETURNING handle, public_token", (account_id,)
    )
    if not released:
        return None
    handle, sealed = released[0]
    if sealed is not None:
        public_token = transaction.keys.open(PUBLIC_TOKEN, account_id, sealed)
        await transaction.rows(
            "DELETE FROM delivery_tokens WHERE account_id = ? AND token_hash = ?",
            (account_id, sha256(public_token).digest()),
        )
    return str(handle)


async def keep_handle(transaction: Transaction, handle: str, owner_id: bytes | None, until_ms: int) -> None:
    """Nobody but the owner gets the handle until then."""
    if until_ms:
        await transaction.rows(
            "INSERT OR REPLACE INTO kept_handles VALUES (?, ?, ?)",
            (await subject_of(transaction, handle), owner_id, until_ms),
        )


async def _take_back(transaction: Transaction, handle: str, account_id: bytes, now_ms: int) -> None:
    """The handle is kept for nobody any more; raises HandleTaken if it is kept from this account."""
    subject = await subject_of(transaction, handle)
    kept = await transaction.rows(
        "SELECT owner_id IS NOT ?, until_ms > ? FROM kept_handles WHERE subject = ?",
        (account_id, now_ms, subject),
    )
    if kept == [(1, 1)]:
        raise HandleTaken
    if kept:
        await transaction.rows("DELETE FROM kept_handles WHERE subject = ?", (subject,))
