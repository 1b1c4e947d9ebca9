"""The relay's link mailbox as a client calls it: anonymous, for devices that nobody knows yet. What is put there is opaque.

docs/protocol.md, "Link mailbox".
"""

from enum import StrEnum
from typing import Final

from relay.wire.limits import MAX_LINK_SLOT_BYTES
from relay.wire.links import encode_id

from .errors import RelayMisbehaved
from .transport import Transport

MAX_WAIT_SECONDS: Final = 50
"""Of one call: below the time after which the transport takes the relay for gone."""
_OCTETS: Final = "application/octet-stream"


class LinkSlot(StrEnum):
    """What two devices leave for each other, in this order."""

    REQUEST = "request"  # the new device's
    ANSWER = "answer"  # the manager's, sealed
    CONFIRMATION = "confirmation"  # the new device's signature, after the user's yes
    READY = "ready"  # the new device's: its prekeys are at the relay


def _target(link_id: bytes, slot: LinkSlot) -> str:
    return f"/v1/links/{encode_id(link_id)}/{slot.value}"


async def put_link_slot(transport: Transport, link_id: bytes, slot: LinkSlot, data: bytes) -> None:
    """Write a slot of the mailbox of this 16 B random id; the first one begins its 60 s. The same bytes again are harmless.

    Raises Refused (`conflict`: written by somebody else; `rate_limited`), RelayUnreachable.
    """
    headers = {"Content-Type": _OCTETS}
    async with transport.stream("PUT", _target(link_id, slot), content=data, headers=headers) as response:
        await response.read()


async def get_link_slot(
    transport: Transport, link_id: bytes, slot: LinkSlot, *, wait_seconds: int = 0
) -> bytes | None:
    """What is in the slot, at once or as soon as it is written; None if that is not within `wait_seconds` (at most 50).

    Raises Refused (`not_found`: no such mailbox, or its 60 s are over), RelayUnreachable, RelayMisbehaved.
    """
    target = f"{_target(link_id, slot)}?wait_seconds={min(wait_seconds, MAX_WAIT_SECONDS)}"
    async with transport.stream("GET", target) as response:
        if response.status == 204:
            return None
        data = b""
        async for chunk in response.content.iter_chunked(MAX_LINK_SLOT_BYTES):
            data += chunk
            if len(data) > MAX_LINK_SLOT_BYTES:
                raise RelayMisbehaved("the relay gives more than a slot of a link mailbox holds")
        return data
