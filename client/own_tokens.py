"""The own delivery tokens at the relay, which knows their hashes: put there, given an end, taken away. Keeps nothing here."""

import hashlib
from typing import Final

from crypto.limits import DAY_MS
from relay.wire.links import encode_bytes
from relay.wire.resources import DeliveryTokenRequest, TokenClass

from .errors import Refused
from .transport import Transport

OLD_TOKEN_MS: Final = 7 * DAY_MS
"""So long a token that another took the place of is good, for those who are away."""


def hash_of(token: bytes) -> bytes:
    """32 B: all that the relay is told of a token."""
    return hashlib.sha256(token).digest()


async def put_token(
    transport: Transport, token_hash: bytes, token_class: TokenClass, *, expires_at_ms: int | None = None
) -> None:
    """The relay takes envelopes by this token, until then (ms) if a time is given; again is no harm.

    Raises RelayUnreachable, Refused.
    """
    request = DeliveryTokenRequest(
        token_hash=token_hash, token_class=token_class, expires_at_ms=expires_at_ms
    )
    await transport.ask("POST", "/v1/delivery-tokens", body=request, signed=True)


async def drop_token(transport: Transport, token_hash: bytes) -> None:
    """The relay takes nothing by this token any more. Raises RelayUnreachable, Refused."""
    try:
        await transport.ask("DELETE", f"/v1/delivery-tokens/{encode_bytes(token_hash)}", signed=True)
    except Refused as refused:
        if refused.reason != "not_found":
            raise
