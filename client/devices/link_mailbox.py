"""One link's mailbox, waited for and refused in the words of linking. Knows no meaning of what lies in it.

Who knows the 16 B id reads and writes; so what is in it is judged by who reads it. docs/protocol.md, "Link mailbox".
"""

from typing import Final

from client.errors import LinkFailed, Refused
from client.link_mailbox import LinkSlot, get_link_slot, put_link_slot
from client.system import System
from client.transport import Transport

_LONGEST_WAIT_SECONDS: Final = 20
_AGAIN_SECONDS: Final = 0.25


class LinkMailbox:
    """The four slots of one link."""

    def __init__(self, transport: Transport, system: System, mailbox_id: bytes) -> None:
        self._transport = transport
        self._system = system
        self._id = mailbox_id

    async def put(self, slot: LinkSlot, content: bytes) -> None:
        """Fill a slot; the same again is harmless. Raises LinkFailed if something else is there, Refused, RelayUnreachable."""
        try:
            await put_link_slot(self._transport, self._id, slot, content)
        except Refused as refused:
            if refused.reason != "conflict":
                raise
            raise LinkFailed(f"somebody has put another {slot} into this link: start a new one") from refused

    async def get(self, slot: LinkSlot, until_ms: int) -> bytes | None:
        """What is in a slot, waited for until that time; None if nothing came. Raises Refused, RelayUnreachable."""
        while True:
            left_ms = until_ms - self._system.now_ms()
            wait_seconds = max(0, min(left_ms // 1_000, _LONGEST_WAIT_SECONDS))
            try:
                found = await get_link_slot(self._transport, self._id, slot, wait_seconds=wait_seconds)
            except Refused as refused:
                if refused.reason != "not_found":
                    raise
                found = None
            if found is not None or left_ms <= 0:
                return found
            await self._system.sleep(min(_AGAIN_SECONDS, left_ms / 1_000))
