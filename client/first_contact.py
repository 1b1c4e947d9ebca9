"""What has to come from the relay before something can be encrypted for an account: its device list, its prekeys.

Device lists are fetched anonymously; bundles by a signed request, because their budget needs an asker.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from crypto.errors import CryptoError
from crypto.prekeys import Bundle, SignedKey
from relay.wire.links import encode_id
from relay.wire.resources import Bundle as BundleAnswer
from relay.wire.resources import BundlesAnswer, ClaimRequest

from .account import Account
from .errors import DevicesRefused, UnknownRecipient
from .store.database import Database
from .store.peers import find_peer
from .system import System
from .transport import Transport
from .trust import refresh


@dataclass(frozen=True, slots=True)
class Missing:
    """What encrypting lacks: a newer device list, or bundles of these devices."""

    account_id: bytes
    chain: bool = False
    devices: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Fetched:
    """Bundles by device id, each good for one session start; None for a device that has no usable prekeys."""

    bundles: Mapping[bytes, Bundle | None] = field(default_factory=dict)
    at_ms: int = 0


def _bundle(answer: BundleAnswer) -> Bundle:
    """The keys as they are; whether they may be used is checked when a session starts. Raises CryptoError."""
    keys = [answer.signed_prekey, answer.kem_prekey, answer.sealing_key]
    if answer.one_time_prekey is not None:
        keys.append(answer.one_time_prekey)
    return Bundle.of(SignedKey.parse(key) for key in keys)


async def fetch(
    transport: Transport, database: Database, account: Account, system: System, missing: Missing
) -> Fetched:
    """Get what `missing` names; device lists are kept, bundles are returned.

    Raises DevicesForked, DevicesRefused, UnknownRecipient (the token is no good any more), Refused, RelayUnreachable.
    """
    if missing.chain:
        await refresh(transport, database, account, missing.account_id, system.now_ms())
    if not missing.devices:
        return Fetched()
    peer = await database.read(lambda tx: find_peer(tx, missing.account_id))
    is_own = missing.account_id == account.account_id
    if peer is None or peer.chain is None or (peer.token is None and not is_own):
        raise UnknownRecipient(
            f"nothing here reaches {encode_id(missing.account_id)}: ask for a contact link"
        )
    fetched_at_ms = system.now_ms()
    answered = await transport.ask(
        "POST",
        f"/v1/accounts/{encode_id(missing.account_id)}/bundles",
        body=ClaimRequest(token=None if is_own else peer.token, devices=list(missing.devices)),
        signed=True,
    )
    answer = answered.read(BundlesAnswer)
    if answer.manifest_version > peer.chain.version:
        await refresh(transport, database, account, missing.account_id, system.now_ms())
    return Fetched(_sorted(answer.bundles, missing.devices), fetched_at_ms)


def _sorted(answers: Iterable[BundleAnswer], wanted: Iterable[bytes]) -> dict[bytes, Bundle | None]:
    bundles: dict[bytes, Bundle | None] = dict.fromkeys(wanted)
    for answer in answers:
        if answer.device_id not in bundles:
            continue  # a key that was not asked for is not taken (B7)
        try:
            bundles[answer.device_id] = _bundle(answer)
        except CryptoError as error:
            raise DevicesRefused(f"the relay gave keys that are not of the protocol: {error}") from error
    return bundles
