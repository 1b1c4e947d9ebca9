"""A manager takes a new device into the account: answers its request, shows the digits, and signs after the user's yes.

Each request is answered once, and within 60 s, also by several processes of this device and over a restart (D5). Cut off
before the list is uploaded nothing happened; after that the new device asks for what it was not given.
docs/protocol.md, "Linking".
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from client.account import Account, load_account
from client.archive.keys import require_history
from client.errors import LinkFailed, UsageError
from client.link_mailbox import LinkSlot
from client.store.database import Database, Transaction
from client.store.link_rows import answered_links, handed_over_at_ms, keep_answered_links, owe_hand_over
from client.system import Step, System
from client.transport import Transport
from crypto.errors import CryptoError
from crypto.limits import LINK_LIFETIME_MS
from crypto.linking import Answered, LinkDesk, ScannedLink
from crypto.manifest import DeviceEntry
from relay.wire.links import DeviceLink, encode_id, parse_device

from .device_names import encode_name, key_of
from .hand_over import hand_over
from .link_mailbox import LinkMailbox
from .own_manifest import DeviceChange, change_devices, require_manager
from .shared_items import put_item

_REQUEST_WITHIN_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class LinkedDevice:
    """A device that is in the account now."""

    device: str
    """Device id, base32."""
    name: str
    manager: bool
    is_handed_over: bool
    """It said that it is ready, and was given what this device knows; else it asks for it when it comes."""

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "type": "linked",
            "device": self.device,
            "name": self.name,
            "manager": self.manager,
            "handed_over": self.is_handed_over,
        }


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants of the new device. `confirm` gets the digits and the name that the device claims."""

    confirm: Callable[[str, str], Awaitable[bool]]
    manager: bool = False
    with_history: bool = False
    """It gets the keys of the history archive, and with them what was said before it came."""


def parse_device_link(link: str, origin: str) -> DeviceLink:
    """The link of a new device on the own relay; raises UsageError."""
    try:
        parsed = parse_device(link)
    except ValueError as error:
        raise UsageError(f"not the link of a new device: {error}") from error
    if parsed.origin != origin:
        raise UsageError(f"the new device is at another relay, {parsed.origin}: give it {origin}")
    return parsed


async def accept_link(
    transport: Transport,
    database: Database,
    account: Account,
    link: DeviceLink,
    wishes: Wishes,
    system: System,
    *,
    send: Callable[[], Awaitable[None]],
) -> LinkedDevice:
    """Take the device of this link into the account; `send` sends what was drafted, and waits a little for it.

    Raises NotManager, DeviceRevoked, LinkFailed, UsageError, DevicesForked, RelayUnreachable, Refused.
    """
    scanned_at_ms = system.now_ms()
    until_ms = scanned_at_ms + LINK_LIFETIME_MS
    require_manager((await database.read(load_account)).own, account.device_id)
    if wishes.with_history:
        await database.read(require_history)
    mailbox = LinkMailbox(transport, system, link.mailbox_id)
    request = await mailbox.get(LinkSlot.REQUEST, scanned_at_ms + _REQUEST_WITHIN_MS)
    if request is None:
        raise LinkFailed("this link is over: start a new one on the new device")
    try:
        answered, sealed = await database.run(lambda tx: _answer(tx, link, request, scanned_at_ms, system))
        await mailbox.put(LinkSlot.ANSWER, sealed)
        system.reached(Step.LINK_ANSWERED)
        entry = await _confirmed(mailbox, answered, wishes, until_ms, system)
    except CryptoError as error:
        raise LinkFailed(f"not linked: {error}") from error
    await database.run(lambda tx: _prepare(tx, answered, entry, wishes, system))
    await send()
    await change_devices(transport, database, account, system, DeviceChange(add=(entry,)))
    system.reached(Step.MANIFEST_TAKEN)
    is_ready = await mailbox.get(LinkSlot.READY, until_ms) is not None
    if is_ready:
        await database.run(lambda tx: _hand_over_once(tx, entry.device_id, system))
        await send()
    return LinkedDevice(encode_id(entry.device_id), answered.request.name, wishes.manager, is_ready)


def _answer(
    tx: Transaction, link: DeviceLink, request: bytes, scanned_at_ms: int, system: System
) -> tuple[Answered, bytes]:
    """Answer the request, and note that it was; raises CryptoError."""
    desk, answered, sealed = LinkDesk(answered_links(tx)).answer(
        ScannedLink(link.mailbox_id, link.request_hash),
        request,
        load_account(tx).local,
        system.random,
        scanned_at_ms,
        system.now_ms(),
    )
    keep_answered_links(tx, desk.answered)
    return answered, sealed


async def _confirmed(
    mailbox: LinkMailbox, answered: Answered, wishes: Wishes, until_ms: int, system: System
) -> DeviceEntry:
    """The new device's entry, after the yes of the user on both sides. Raises LinkFailed, CryptoError."""
    try:
        async with asyncio.timeout(max(0.0, (until_ms - system.now_ms()) / 1_000)):
            said_yes = await wishes.confirm(answered.code, answered.request.name)
    except TimeoutError:
        raise LinkFailed("the digits were not confirmed within 60 seconds: start a new link") from None
    if not said_yes:
        raise LinkFailed("not linked: the digits were not confirmed here")
    confirmation = await mailbox.get(LinkSlot.CONFIRMATION, until_ms)
    if confirmation is None:
        raise LinkFailed(
            "the digits were not confirmed on the new device within 60 seconds: start a new link"
        )
    return answered.entry(confirmation, system.now_ms(), manager=wishes.manager)


def _prepare(tx: Transaction, answered: Answered, entry: DeviceEntry, wishes: Wishes, system: System) -> None:
    """Before the others hear of the device they can call it by its name; and it will not be forgotten."""
    put_item(tx, key_of(entry.device_id), encode_name(answered.request.name), system)
    owe_hand_over(tx, entry.device_id, with_history=wishes.with_history)


def _hand_over_once(tx: Transaction, device_id: bytes, system: System) -> None:
    """Its question may have come first, to another process of this device."""
    if handed_over_at_ms(tx, device_id) is None:
        hand_over(tx, device_id, system)
