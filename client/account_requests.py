"""What a client asks of its own account beside messages: when its devices were here, and, by the root key alone, its chain.

Answers are not judged here: a chain is believed by `trust`. docs/protocol.md, "Recovery requests".
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

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

from .errors import RelayMisbehaved, UsageError
from .transport import Transport

DAY_MS: Final = 86_400_000
_ACCEPTED: Final = 202
MAX_EXPORT_BYTES: Final = 1 << 30
EXPORT_END: Final = b'"complete": true\n}\n'
"""How a whole export ends; docs/protocol.md, "Own data"."""


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


async def delete_account(transport: Transport) -> bool:
    """The own account and all that the relay has of it is gone for ever; signed. False: shut out, and gone when a hold ends.

    Raises Refused (`not_allowed`: this device does not manage the account, `last_owner`), RelayUnreachable.
    """
    answered = await transport.ask("DELETE", "/v1/accounts/self", signed=True)
    return answered.status != _ACCEPTED


async def export_account(transport: Transport, file: Path) -> int:
    """All that the relay holds about the own account, as JSON in a new file (mode 0600); its length in bytes. Signed.

    Raises UsageError if the file cannot be made, Refused (`rate_limited`), RelayUnreachable, RelayMisbehaved for a document
    that has no end or does not end as a whole one; then there is no file.
    """
    try:
        written = await asyncio.to_thread(_new_file, file)
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}): name a new file") from error
    size, end = 0, b""
    try:
        with written:
            async with transport.stream("GET", "/v1/accounts/self/export", signed=True) as response:
                async for chunk in response.content.iter_chunked(65_536):
                    size += len(chunk)
                    if size > MAX_EXPORT_BYTES:
                        raise RelayMisbehaved("the relay's answer has no end")
                    end = (end + chunk)[-len(EXPORT_END) :]
                    await asyncio.to_thread(written.write, chunk)
        if end != EXPORT_END:
            raise RelayMisbehaved("the relay's answer is cut off: try again")
    except BaseException as error:
        await asyncio.to_thread(file.unlink)
        if isinstance(error, OSError):
            raise UsageError(f"{file} cannot be written ({error.strerror})") from error
        raise
    return size


def _new_file(file: Path) -> BinaryIO:
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


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
