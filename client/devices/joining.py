"""A new device comes into an account: its request, the digits, its keys kept before the account has them, its prekeys.

Cut off before the user's yes, nothing of it is left; after that the same call goes on where it was. What the relay says
of itself is believed for now; the account's pinned key comes with the hand-over. docs/protocol.md, "Linking".
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from client.account import as_registered, find_account, save_account
from client.errors import AccountExists, DevicesRefused, LinkFailed, Refused, UsageError
from client.link_mailbox import LinkSlot
from client.message import Identity
from client.own_tokens import hash_of, put_token
from client.store import facts
from client.store.database import Database, Transaction
from client.store.link_rows import Joining, find_joining, forget_joining, keep_joining
from client.store.shared import note_compared
from client.system import Step, System
from client.transport import Transport
from client.trust import fetch_chain
from crypto.errors import CryptoError
from crypto.limits import LINK_LIFETIME_MS
from crypto.linking import begin_link, confirm_link
from crypto.manifest_chain import VerifiedManifest
from relay.wire.links import DeviceLink

from .arriving import arrive
from .device_names import checked_name
from .link_mailbox import LinkMailbox
from .shared_items import ask_for_all

_LISTED_WITHIN_MS: Final = (
    LINK_LIFETIME_MS + 30_000
)  # of the request's making: the manager may upload in the last second
_LOOK_SECONDS: Final = 0.5
_TEMPORARY_MS: Final = 7 * 86_400_000
"""How long the relay keeps the token that a device makes before it is told the account's."""
READY: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class Talk:
    """How the new device talks with its user: shows the link, then shows the digits and hears yes or no."""

    show: Callable[[DeviceLink], None]
    confirm: Callable[[str], Awaitable[bool]]


async def join_account(database: Database, origin: str, name: str, system: System, talk: Talk) -> Identity:
    """Make this empty store a device of the account whose manager takes the link.

    Raises AccountExists, UsageError, LinkFailed, RelayKeyChanged, DevicesRefused, RelayUnreachable, Refused.
    """
    account = await database.read(find_account)
    if account is not None and account.registered:
        raise AccountExists("there is an account in this folder already: choose another folder")
    joining = await database.read(find_joining)
    if account is not None and joining is None:
        raise UsageError("a registration was begun in this folder: choose another one")
    mailbox_id = b""
    if joining is None:
        joining, mailbox_id = await _introduce(database, origin, name, system, talk)
    elif joining.origin != origin:
        raise UsageError(f"a link with {joining.origin} was begun in this folder: choose another one")
    async with Transport(joining.origin, system, joining) as transport:
        own = await _until_listed(transport, database, joining, system)
        return await _settle_in(transport, database, joining, own, mailbox_id, system)


async def _introduce(
    database: Database, origin: str, name: str, system: System, talk: Talk
) -> tuple[Joining, bytes]:
    """The request, the answer, the digits, the yes; the device's keys are kept when this returns."""
    async with Transport(origin, system) as transport:
        document = await transport.relay_document(None)
        offer = begin_link(checked_name(name), system.random, system.now_ms())
        mailbox = LinkMailbox(transport, system, offer.scanned.mailbox_id)
        await mailbox.put(LinkSlot.REQUEST, offer.request.encode())
        talk.show(DeviceLink(origin, offer.scanned.mailbox_id, offer.scanned.request_hash))
        until_ms = offer.made_at_ms + LINK_LIFETIME_MS
        sealed = await mailbox.get(LinkSlot.ANSWER, until_ms)
        if sealed is None:
            raise LinkFailed("nobody took this link within 60 seconds: start a new one")
        try:
            offer, answer, code = offer.open_answer(sealed, system.now_ms())
        except CryptoError as error:
            raise LinkFailed(f"what answered this link is not one of your devices: {error}") from error
        if not await _hear_yes(talk.confirm(code), until_ms, system):
            raise LinkFailed("not linked: the digits were not confirmed here")
        joining = Joining(
            origin, document.signing_key, offer.device(answer.account), answer.device_id, offer.made_at_ms
        )
        await database.run(lambda tx: keep_joining(tx, joining))
        system.reached(Step.JOINING_KEPT)
        await mailbox.put(LinkSlot.CONFIRMATION, confirm_link(offer, answer))
        system.reached(Step.JOINING_CONFIRMED)
        return joining, offer.scanned.mailbox_id


async def _hear_yes(asked: Awaitable[bool], until_ms: int, system: System) -> bool:
    """What the user says, if in time."""
    try:
        async with asyncio.timeout(max(0.0, (until_ms - system.now_ms()) / 1_000)):
            return await asked
    except TimeoutError:
        raise LinkFailed("the digits were not confirmed within 60 seconds: start a new link") from None


async def _until_listed(
    transport: Transport, database: Database, joining: Joining, system: System
) -> VerifiedManifest:
    """The account's device list, once it has this device: until then the relay does not know who asks."""
    while True:
        try:
            own = await fetch_chain(transport, joining.local.account_id, None, None)
        except Refused as refused:
            if refused.reason != "unauthenticated":
                raise
        else:
            _check_listed(own, joining)
            return own
        if system.now_ms() > joining.made_at_ms + _LISTED_WITHIN_MS:
            await database.run(forget_joining)
            raise LinkFailed("your other device did not take this one into the account: start a new link")
        await system.sleep(_LOOK_SECONDS)


def _check_listed(own: VerifiedManifest, joining: Joining) -> None:
    local = joining.local
    try:
        entry = own.device(joining.device_id)
    except CryptoError as error:
        raise DevicesRefused("the account's device list does not have this device") from error
    if (entry.signing_public, entry.identity_public) != (local.signing.public, local.identity.public):
        raise DevicesRefused("the account's device list has other keys for this device")
    first = next(
        signed
        for signed in own.chain
        if any(one.device_id == joining.device_id for one in signed.manifest.devices)
    )
    if first.signer != joining.manager_id:
        raise DevicesRefused(
            "another device than the one with the same digits has put this one into the list"
        )


async def _settle_in(
    transport: Transport,
    database: Database,
    joining: Joining,
    own: VerifiedManifest,
    mailbox_id: bytes,
    system: System,
) -> Identity:
    """From listed to reachable: prekeys, a way to write to the other devices, and the question for all they know."""
    account = await arrive(transport, database, joining.local, joining.relay_key, own, system)
    await _temporary_token(transport, database, system)
    done = as_registered(account, account.role)

    def come_in(tx: Transaction) -> None:
        save_account(tx, done)
        forget_joining(tx)
        ask_for_all(tx, system)

    await database.run(come_in)
    if mailbox_id:
        await _say_ready(LinkMailbox(transport, system, mailbox_id))
    return done.identity()


async def _temporary_token(transport: Transport, database: Database, system: System) -> None:
    """A delivery token of its own, by which this device writes to the others until it is told the account's; never shared."""

    def make(tx: Transaction) -> bytes:
        token, _ = facts.own_token(tx, "contact", system.random)
        note_compared(tx, ["token/contact"])
        return token

    token = await database.run(make)
    expires_at_ms = system.now_ms() + _TEMPORARY_MS
    await put_token(transport, hash_of(token), "contact", expires_at_ms=expires_at_ms)


async def _say_ready(mailbox: LinkMailbox) -> None:
    """The manager waits for it; if the mailbox is gone, the question that is on its way does the same."""
    try:
        await mailbox.put(LinkSlot.READY, READY)
    except (LinkFailed, Refused):
        return
