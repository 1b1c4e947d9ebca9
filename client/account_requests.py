"""What a client asks of its own account beside messages: when its devices were here, and, by the root key alone, its chain.

Answers are not judged here: a chain is believed by `trust`. docs/protocol.md, "Recovery requests".
"""

from dataclasses import dataclass
from typing import Final

from crypto.manifest import SignedManifest
from crypto.primitives import RandomBytes, ed25519_keypair, ed25519_sign
from relay.wire.limits import NONCE_BYTES
from relay.wire.links import encode_id
from relay.wire.manifests import SignedManifest as WireManifest
from relay.wire.resources import (
    AccountAnswer,
    ManifestObject,
    ManifestRequest,
    ManifestsAnswer,
    OwnDevicesAnswer,
    RecoveryRequest,
    RelayDocument,
)
from relay.wire.transcripts import recovery_request_transcript

from .errors import RelayMisbehaved
from .transport import Transport

DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class SeenDevice:
    """A device of the own account: 16 B id, when it was added, and the day on which the relay saw it last (0: never)."""

    device_id: bytes
    added_at_ms: int
    seen_day: int

    def silent_days(self, now_ms: int) -> int:
        """For how many whole days it has not been there; since it was added, if it never was."""
        return max(0, now_ms // DAY_MS - max(self.seen_day, self.added_at_ms // DAY_MS))


async def own_devices(transport: Transport) -> tuple[SeenDevice, ...]:
    """The own account's devices as the relay knows them, in ascending order of ids; signed. Raises Refused, RelayUnreachable."""
    answered = await transport.ask("GET", "/v1/accounts/self/devices", signed=True)
    return tuple(
        SeenDevice(one.device_id, one.added_at_ms, one.seen_day)
        for one in answered.read(OwnDevicesAnswer).devices
    )


async def delete_account(transport: Transport) -> None:
    """The own account and all that the relay has of it is gone for ever; signed.

    Raises Refused (`not_allowed`: this device does not manage the account, `last_owner`), RelayUnreachable.
    """
    await transport.ask("DELETE", "/v1/accounts/self", signed=True)


async def request_recovery(
    transport: Transport,
    account_id: bytes,
    root_seed: bytes,
    random: RandomBytes,
    *,
    from_version: int | None = None,
) -> ManifestsAnswer:
    """The account's manifests from this version on, None: from the last one that the root key signed; at most 100.

    Signed by the root key (32 B seed), anonymous otherwise. Raises Refused (`unauthenticated`: not this account's root key,
    or no such account), RelayUnreachable, RelayMisbehaved.
    """
    # The relay's own time: a machine on which somebody recovers may have any, and the request is good at this relay alone.
    time_ms = (await transport.ask("GET", "/.well-known/tokenim")).read(RelayDocument).time_ms
    nonce = random(NONCE_BYTES)
    signed = recovery_request_transcript(
        origin=transport.origin, account_id=account_id, time_ms=time_ms, nonce=nonce
    )
    body = RecoveryRequest(
        account_id=account_id,
        time_ms=time_ms,
        nonce=nonce,
        signature=ed25519_sign(ed25519_keypair(root_seed)[0], signed),
    )
    target = "/v1/recovery" if from_version is None else f"/v1/recovery?from={from_version}"
    return (await transport.ask("POST", target, body=body)).read(ManifestsAnswer)


async def put_signed_manifest(
    transport: Transport, account_id: bytes, signed: SignedManifest
) -> AccountAnswer:
    """Put the next manifest in place by its own signature; anonymous, so a device that the relay does not know can.

    The same again is harmless. Raises Refused (`manifest_conflict`: it does not follow the newest one), RelayUnreachable.
    """
    manifest = ManifestObject.of(WireManifest(signed.body, signed.signer, signed.signature))
    target = f"/v1/accounts/{encode_id(account_id)}/manifests"
    answered = await transport.ask("POST", target, body=ManifestRequest(manifest=manifest))
    answer = answered.read(AccountAnswer)
    if answer.account_id != account_id:
        raise RelayMisbehaved("the relay answered for another account")
    return answer
