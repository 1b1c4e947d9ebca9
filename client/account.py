"""Who this folder is: keys of account and device, the own chain of manifests, the relay. Values and their rows.

docs/protocol.md, "Identity and manifests".
"""

from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec

from crypto.keys import IdentityKeyPair, LocalDevice, SigningKeyPair, account_id
from crypto.manifest import SignedManifest, build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.primitives import RandomBytes
from crypto.recovery import RecoveryKey
from relay.wire.links import encode_id

from .errors import NoAccount
from .message import Identity
from .store.database import Transaction

_CACHE_KEY = "account"


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """This device and what it stands for."""

    origin: str
    relay_key: bytes
    local: LocalDevice
    own: VerifiedManifest
    handle: str | None
    role: str
    registered: bool
    root_seed: bytes | None = field(repr=False, default=None)
    """Kept until the user has confirmed the recovery words."""
    recovery_key: bytes | None = field(repr=False, default=None)
    """32 B from which the root key comes, kept as long; None for an account of a version that knew no words."""

    @property
    def account_id(self) -> bytes:
        """32 B."""
        return self.local.account_id

    @property
    def device_id(self) -> bytes:
        """16 B."""
        return self.local.device_id

    @property
    def is_founding_device(self) -> bool:
        """Whether this device is in manifest 1: nothing was ever sent to the account before it was there."""
        first = self.own.chain[0].manifest
        return first.version == 1 and any(entry.device_id == self.device_id for entry in first.devices)

    def sign(self, message: bytes) -> bytes:
        """64 B by the device's signing key."""
        return self.local.signing.sign(message)

    def with_chain(self, own: VerifiedManifest) -> "Account":
        """The same with a longer own chain."""
        return replace(self, own=own)

    def identity(self) -> Identity:
        """What the user gets to see of it."""
        return Identity(
            account=encode_id(self.account_id),
            device=encode_id(self.device_id),
            handle=self.handle,
            relay=self.origin,
            role=self.role,
        )


class Pinned(Protocol):
    """A relay whose key is known: an invite to it, or what it says of itself."""

    @property
    def origin(self) -> str:
        """Its public origin."""
        ...

    @property
    def signing_key(self) -> bytes:
        """32 B."""
        ...


def new_account(relay: Pinned, handle: str | None, *, now_ms: int, random: RandomBytes) -> Account:
    """A fresh root key, a first device that is manager, and manifest 1 of both."""
    recovery = RecoveryKey.generate(random)
    root = recovery.root()
    local = LocalDevice.generate(account_id(root.public), random)
    entry = device_entry(local, added_at_ms=now_ms, manager=True)
    signed = sign_manifest(build_manifest(root.public, 1, None, [entry]), root)
    return Account(
        origin=relay.origin,
        relay_key=relay.signing_key,
        local=local,
        own=verify_chain(local.account_id, None, [signed]),
        handle=handle,
        role="",
        registered=False,
        root_seed=root.seed,
        recovery_key=recovery.key,
    )


def encode_chain(chain: VerifiedManifest) -> bytes:
    """A verified chain as it is kept."""
    return msgspec.msgpack.encode([signed.encode() for signed in chain.chain])


def decode_chain(account: bytes, encoded: bytes) -> VerifiedManifest:
    """A chain that was verified before it was kept."""
    parts = msgspec.msgpack.decode(encoded, type=list[bytes])
    return VerifiedManifest(account, tuple(SignedManifest.parse(part) for part in parts))


def save_account(tx: Transaction, account: Account) -> None:
    """Keep it; there is one."""
    tx.run(
        "INSERT INTO account (only_one, origin, relay_key, root_seed, device_id, signing_seed, identity_seed,"
        " chain, handle, role, registered, recovery_key) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (only_one) DO UPDATE SET relay_key = excluded.relay_key,"
        " root_seed = excluded.root_seed, recovery_key = excluded.recovery_key, chain = excluded.chain,"
        " handle = excluded.handle, role = excluded.role, registered = excluded.registered",
        account.origin,
        account.relay_key,
        account.root_seed,
        account.device_id,
        account.local.signing.seed,
        account.local.identity.seed,
        encode_chain(account.own),
        account.handle,
        account.role,
        account.registered,
        account.recovery_key,
    )
    tx.cache[_CACHE_KEY] = account


def find_account(tx: Transaction) -> Account | None:
    """The account of this store, if there is one."""
    cached = tx.cache.get(_CACHE_KEY)
    if isinstance(cached, Account):
        return cached
    row = tx.one(
        "SELECT origin, relay_key, root_seed, device_id, signing_seed, identity_seed, chain, handle, role,"
        " registered, recovery_key FROM account"
    )
    if row is None:
        return None
    origin, relay_key, root_seed, device_id, signing_seed, identity_seed, *rest = row
    chain, handle, role, registered, recovery_key = rest
    first = SignedManifest.parse(msgspec.msgpack.decode(chain, type=list[bytes])[0])
    own = decode_chain(first.manifest.account_id, chain)
    account = Account(
        origin=origin,
        relay_key=relay_key,
        local=LocalDevice(
            account_id=own.account_id,
            device_id=device_id,
            signing=SigningKeyPair.from_seed(signing_seed),
            identity=IdentityKeyPair.from_seed(identity_seed),
        ),
        own=own,
        handle=handle,
        role=role,
        registered=bool(registered),
        root_seed=root_seed,
        recovery_key=recovery_key,
    )
    tx.cache[_CACHE_KEY] = account
    return account


def load_account(tx: Transaction) -> Account:
    """The registered account of this store; raises NoAccount."""
    account = find_account(tx)
    if account is None or not account.registered:
        raise NoAccount("no account in this folder: register there first")
    return account


def as_registered(account: Account, role: str) -> Account:
    """The relay has taken it."""
    return replace(account, registered=True, role=role)
