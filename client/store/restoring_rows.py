"""A device that comes into its account by the recovery words, as a row: its keys, until it is in. Never the words."""

from dataclasses import dataclass, field

from crypto.keys import IdentityKeyPair, LocalDevice, SigningKeyPair

from .database import Transaction


@dataclass(frozen=True, slots=True, eq=False)
class Restoring:
    """The new device and the relay it is at; it signs its requests as soon as the list has it."""

    origin: str
    local: LocalDevice = field(repr=False)

    @property
    def device_id(self) -> bytes:
        """16 B."""
        return self.local.device_id

    def sign(self, message: bytes) -> bytes:
        """64 B by the device's signing key."""
        return self.local.signing.sign(message)


def keep_restoring(tx: Transaction, restoring: Restoring) -> None:
    """Keep it; there is one."""
    tx.run(
        "INSERT INTO restoring (only_one, origin, account_id, device_id, signing_seed, identity_seed)"
        " VALUES (1, ?, ?, ?, ?, ?)",
        restoring.origin,
        restoring.local.account_id,
        restoring.device_id,
        restoring.local.signing.seed,
        restoring.local.identity.seed,
    )


def find_restoring(tx: Transaction) -> Restoring | None:
    """The device on its way in, if there is one."""
    row = tx.one("SELECT origin, account_id, device_id, signing_seed, identity_seed FROM restoring")
    if row is None:
        return None
    origin, account_id, device_id, signing_seed, identity_seed = row
    local = LocalDevice(
        account_id=account_id,
        device_id=device_id,
        signing=SigningKeyPair.from_seed(signing_seed),
        identity=IdentityKeyPair.from_seed(identity_seed),
    )
    return Restoring(origin, local)


def forget_restoring(tx: Transaction) -> None:
    """It is in."""
    tx.run("DELETE FROM restoring")
