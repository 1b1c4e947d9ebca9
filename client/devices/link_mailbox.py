"""The relay's mailbox for one link: four slots, each written once, gone 60 s after the first was. Knows no meaning.

Who knows the 16 B id reads and writes, unsigned; so what is in it is judged by who reads it. docs/protocol.md, "Linking".
"""

from enum import StrEnum
from http import HTTPStatus
from typing import Final

from client.errors import LinkFailed, Refused, RelayMisbehaved
from client.system import System
from client.transport import Transport
from relay.wire.links import encode_id

_MAX_SLOT_BYTES: Final = 8_192
_LONGEST_WAIT_SECONDS: Final = 20
_AGAIN_SECONDS: Final = 0.25
_OCTETS: Final = {"Content-Type": "application/octet-stream"}


class Slot(StrEnum):
    """What lies where."""

    REQUEST = "request"  # the new device's keys and name
    ANSWER = "answer"  # the manager's, sealed
    CONFIRMATION = "confirmation"  # the new device's signature, after its user's yes
    READY = "ready"  # the new device has its prekeys at the relay: empty but for one byte


class LinkMailbox:
    """One link's mailbox at the relay."""

    def __init__(self, transport: Transport, system: System, mailbox_id: bytes) -> None:
        self._transport = transport
        self._system = system
        self._target = f"/v1/links/{encode_id(mailbox_id)}"

    async def put(self, slot: Slot, content: bytes) -> None:
        """Fill a slot; the same again is harmless. Raises LinkFailed if something else is there, Refused, RelayUnreachable."""
        try:
            async with self._transport.stream(
                "PUT", f"{self._target}/{slot}", content=content, headers=_OCTETS
            ) as response:
                await response.read()
        except Refused as refused:
            if refused.reason != "conflict":
                raise
            raise LinkFailed(f"somebody has put another {slot} into this link: start a new one") from refused

    async def get(self, slot: Slot, until_ms: int) -> bytes | None:
        """What is in a slot, waited for until that time; None if nothing came. Raises Refused, RelayUnreachable."""
        while True:
            left_ms = until_ms - self._system.now_ms()
            wait_seconds = max(0, min(left_ms // 1_000, _LONGEST_WAIT_SECONDS))
            found = await self._ask(slot, wait_seconds)
            if found is not None or left_ms <= 0:
                return found
            await self._system.sleep(min(_AGAIN_SECONDS, left_ms / 1_000))

    async def _ask(self, slot: Slot, wait_seconds: int) -> bytes | None:
        target = f"{self._target}/{slot}?wait_seconds={wait_seconds}"
        try:
            async with self._transport.stream("GET", target) as response:
                content = await response.content.read(_MAX_SLOT_BYTES + 1)
                if response.status == HTTPStatus.NO_CONTENT:
                    return None
        except Refused as refused:
            if refused.reason != "not_found":
                raise
            return None
        if len(content) > _MAX_SLOT_BYTES:
            raise RelayMisbehaved("the relay gave more than a link's slot holds")
        return content
