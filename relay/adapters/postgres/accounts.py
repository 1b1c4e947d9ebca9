"""Accounts, manifests and nonces in PostgreSQL; devices and handles come and go in files of their own, within these transactions.

Whoever changes an account locks its row first.
"""

from typing import Final

from relay.ports.accounts import Account, Device, HandleBinding, ManifestChange, Registration, SeenDevice
from relay.ports.audit import AuditEntry
from relay.wire.errors import Conflict, LastOwner, ManifestConflict, NotFound, Unauthenticated
from relay.wire.log_leaves import LeafKind, manifest_leaf
from relay.wire.manifests import Manifest, SignedManifest

from . import devices
from .audit import append_entry
from .database import Database, Lock, Row, Transaction, hot
from .guests import add_guest
from .handles import bind_handle, keep_handle, unbind_handle
from .invites import spend_invite
from .sealing import PUBLIC_TOKEN
from .transparency import append_handle, append_leaf, has_leaf

_ACCOUNT: Final = hot(
    "account_id",
    """SELECT a.account_id, a.role, a.suspended, a.handle, a.created_at_ms, a.manifest_version, a.manifest_hash,
              d.device_id, d.account_id, d.signing_key, d.identity_key, d.flags, d.added_at_ms
       FROM accounts AS a LEFT JOIN devices AS d ON d.account_id = a.account_id
       WHERE a.account_id = $1 ORDER BY d.device_id""",
)
_SPEND_NONCE: Final = hot(
    "device_id", "INSERT INTO nonces VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING device_id"
)
_MARK_SEEN: Final = hot(
    "device_id", "UPDATE device_owners SET seen_day = $2 WHERE device_id = $1 AND seen_day < $2"
)
_LOCKED: Final = "SELECT role, suspended FROM accounts WHERE account_id = $1 FOR UPDATE"
_AN_OWNER: Final = "SELECT 1 FROM accounts WHERE role = $1 AND NOT suspended LIMIT 1"
_MANIFEST: Final = "SELECT body, signer, signature FROM manifests WHERE account_id = $1 AND version = $2"


def _account(rows: list[Row]) -> Account:
    account_id, role, suspended, handle, created_at_ms, version, manifest_hash = rows[0][:7]
    return Account(
        account_id=account_id,
        role=role,
        suspended=suspended,
        handle=handle,
        created_at_ms=created_at_ms,
        manifest_version=version,
        manifest_hash=manifest_hash,
        devices=tuple(Device(*row[7:]) for row in rows if row[7] is not None),
    )


class PostgresAccounts:
    """AccountStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(
        self, registration: Registration, *, now_ms: int, audited: AuditEntry | None = None
    ) -> Account:
        """Make the account, all or nothing."""
        manifest, signed = registration.manifest, registration.signed
        account_id = manifest.account_id

        async def operation(transaction: Transaction) -> Account:
            if (known := await _registered(transaction, account_id, signed)) is not None:
                return known
            if await has_leaf(transaction, LeafKind.MANIFEST, account_id):
                if (known := await _registered(transaction, account_id, signed)) is not None:
                    return known  # by another node, between the two statements
                raise Conflict("an account with this root key was deleted here: make one with a new key")
            role, guest = registration.role, None
            if registration.invite_hash is not None:
                role, guest = await spend_invite(transaction, registration.invite_hash, now_ms)
            if not await transaction.rows(
                """INSERT INTO accounts (account_id, role, created_at_ms, manifest_version, manifest_hash)
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING 1""",
                account_id,
                role,
                now_ms,
                manifest.version,
                manifest.hash,
            ):
                raise Again
            if guest is not None:
                await add_guest(transaction, account_id, guest.expires_at_ms, guest.hosts)
            await devices.add_devices(transaction, account_id, manifest.devices)
            if registration.handle is not None:
                await bind_handle(
                    transaction, account_id, registration.handle, registration.public_token, now_ms
                )
            await _keep_manifest(transaction, manifest, signed)
            await append_entry(transaction, audited and audited.telling(role))
            return await read_account(transaction, account_id)

        try:
            return await self._database.run(operation)
        except Again:  # the same registration, by another node, a moment ago: nothing of ours happened
            return await self._database.run(operation)

    async def account(self, account_id: bytes) -> Account | None:
        """The account, or None."""
        rows = await self._database.rows(_ACCOUNT, account_id)
        return _account(rows) if rows else None

    async def device(self, device_id: bytes) -> Device | None:
        """The device, or None."""
        owner = await self._database.one(devices.OWNER, device_id)
        if owner is None:
            return None
        row = await self._database.one(devices.ONE, owner[0], device_id)
        return None if row is None else Device(*row)

    async def accounts_count(self) -> int:
        """How many accounts there are."""
        ((count,),) = await self._database.rows("SELECT count(*) FROM accounts")
        return int(count)

    async def advance_manifest(
        self, manifest: Manifest, signed: SignedManifest, *, now_ms: int, audited: AuditEntry | None = None
    ) -> ManifestChange:
        """Put the next manifest in place if it follows the current one."""
        account_id = manifest.account_id

        async def operation(transaction: Transaction) -> ManifestChange:
            current = await transaction.one(
                "SELECT manifest_version, manifest_hash FROM accounts WHERE account_id = $1 FOR UPDATE",
                account_id,
            )
            if current is None:
                raise NotFound("there is no such account")
            version, manifest_hash = current
            kept = await transaction.one(_MANIFEST, account_id, version)
            if kept is not None and SignedManifest(*kept) == signed:
                return ManifestChange(await read_account(transaction, account_id), (), ())
            if manifest.version != version + 1 or manifest.previous_hash != manifest_hash:
                raise ManifestConflict
            added, removed = await devices.replace_devices(transaction, account_id, manifest.devices)
            await transaction.execute(
                "UPDATE accounts SET manifest_version = $1, manifest_hash = $2 WHERE account_id = $3",
                manifest.version,
                manifest.hash,
                account_id,
            )
            await _keep_manifest(transaction, manifest, signed)
            await append_entry(transaction, audited)
            return ManifestChange(await read_account(transaction, account_id), added, removed)

        return await self._database.run(operation)

    async def manifests(
        self, account_id: bytes, *, from_version: int, limit: int
    ) -> tuple[SignedManifest, ...]:
        """The manifests from this version on."""
        rows = await self._database.rows(
            """SELECT body, signer, signature FROM manifests
               WHERE account_id = $1 AND version >= $2 ORDER BY version LIMIT $3""",
            account_id,
            from_version,
            limit,
        )
        return tuple(SignedManifest(*row) for row in rows)

    async def recovery_chain(self, account_id: bytes, *, limit: int) -> tuple[SignedManifest, ...]:
        """From the last manifest on that the root key signed."""
        rows = await self._database.rows(
            """SELECT body, signer, signature FROM manifests WHERE account_id = $1 AND version >=
                   (SELECT max(version) FROM manifests WHERE account_id = $1 AND signer = '')
               ORDER BY version LIMIT $2""",
            account_id,
            limit,
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
            if not await transaction.rows(_LOCKED, account_id):
                raise NotFound("there is no such account")
            await bind_handle(transaction, account_id, handle, public_token, now_ms, kept_until_ms)

        await self._database.run(operation)

    async def find_handle(self, handle: str) -> HandleBinding | None:
        """Who has this handle, or None."""
        row = await self._database.one(
            "SELECT account_id, public_token FROM handles WHERE handle = $1", handle
        )
        if row is None:
            return None
        account_id, sealed = row
        token = None if sealed is None else self._database.keys.open(PUBLIC_TOKEN, account_id, sealed)
        return HandleBinding(handle, account_id, token)

    async def release_handle(self, account_id: bytes, *, kept_until_ms: int = 0) -> None:
        """The account has no handle any more."""

        async def operation(transaction: Transaction) -> None:
            await transaction.rows(_LOCKED, account_id)
            released = await unbind_handle(transaction, account_id)
            if released is not None:
                await keep_handle(transaction, released, account_id, kept_until_ms)
                await append_handle(transaction, released, None)

        await self._database.run(operation)

    async def free_handles(self, *, now_ms: int, limit: int) -> int:
        """Those that were kept long enough."""
        freed = await self._database.change(
            """DELETE FROM kept_handles WHERE subject IN (
                   SELECT subject FROM kept_handles WHERE until_ms <= $1 LIMIT $2) RETURNING 1""",
            now_ms,
            limit,
        )
        return len(freed)

    async def set_suspended(
        self, account_id: bytes, suspended: bool, *, owner: str, audited: AuditEntry | None = None
    ) -> Account:
        """Mark the account."""
        statement = "UPDATE accounts SET suspended = $1 WHERE account_id = $2"
        return await self._change(statement, account_id, suspended, owner, audited)

    async def set_role(
        self, account_id: bytes, role: str, *, owner: str, audited: AuditEntry | None = None
    ) -> Account:
        """Give the account this role."""
        statement = "UPDATE accounts SET role = $1 WHERE account_id = $2"
        return await self._change(statement, account_id, role, owner, audited)

    async def _change(
        self, statement: str, account_id: bytes, value: object, owner: str, audited: AuditEntry | None
    ) -> Account:
        async def operation(transaction: Transaction) -> Account:
            before = await lock_standing(transaction, account_id)
            await transaction.execute(statement, value, account_id)
            await refuse_without_owner(transaction, before, owner)
            await append_entry(transaction, audited)
            return await read_account(transaction, account_id)

        return await self._database.run(operation)

    async def mark_seen(self, device_id: bytes, *, day: int) -> None:
        """Note the day; a second time the same day writes nothing."""
        await self._database.change(_MARK_SEEN, device_id, day)

    async def seen_devices(self, account_id: bytes) -> tuple[SeenDevice, ...]:
        """The devices with their days."""
        rows = await self._database.rows(
            """SELECT d.device_id, d.added_at_ms, o.seen_day FROM devices AS d JOIN device_owners AS o USING (device_id)
               WHERE d.account_id = $1 ORDER BY d.device_id""",
            account_id,
        )
        return tuple(SeenDevice(*row) for row in rows)

    async def spend_nonce(self, signer: bytes, nonce: bytes, *, expires_at_ms: int) -> None:
        """Use a nonce up, for all nodes."""
        if not await self._database.change(_SPEND_NONCE, signer, nonce, expires_at_ms):
            raise Unauthenticated

    async def remove_expired_nonces(self, *, now_ms: int, limit: int) -> int:
        """Forget expired nonces."""
        gone = await self._database.change(
            """DELETE FROM nonces WHERE (device_id, nonce) IN (
                   SELECT device_id, nonce FROM nonces WHERE expires_at_ms <= $1 LIMIT $2) RETURNING 1""",
            now_ms,
            limit,
        )
        return len(gone)


class Again(Exception):
    """Another node did the same a moment ago: look again."""


async def _registered(transaction: Transaction, account_id: bytes, signed: SignedManifest) -> Account | None:
    """The account if it was registered by this manifest; raises ManifestConflict if by another."""
    first = await transaction.one(_MANIFEST, account_id, 1)
    if first is None:
        return None
    if SignedManifest(*first) != signed:
        raise ManifestConflict("this account is registered with another manifest")
    return await read_account(transaction, account_id)


async def read_account(transaction: Transaction, account_id: bytes) -> Account:
    """The account, which is there."""
    return _account(await transaction.rows(_ACCOUNT, account_id))


async def lock_standing(transaction: Transaction, account_id: bytes) -> Row:
    """(role, suspended) of the account, with the lock on who is an owner and on its row. Raises NotFound."""
    await transaction.lock(Lock.OWNERS)
    before = await transaction.one(_LOCKED, account_id)
    if before is None:
        raise NotFound("there is no such account")
    return before


async def refuse_without_owner(transaction: Transaction, before: Row, owner: str) -> None:
    """Raise LastOwner if this account was an owner, and none is left."""
    was_owner = before["role"] == owner and not before["suspended"]
    if was_owner and not await transaction.rows(_AN_OWNER, owner):
        raise LastOwner


async def _keep_manifest(transaction: Transaction, manifest: Manifest, signed: SignedManifest) -> None:
    await transaction.execute(
        "INSERT INTO manifests VALUES ($1, $2, $3, $4, $5)",
        manifest.account_id,
        manifest.version,
        signed.body,
        signed.signer,
        signed.signature,
    )
    await append_leaf(transaction, manifest_leaf(manifest.account_id, manifest.version, manifest.hash))
