"""Contents that pass: sealed as ephemeral messages, not counted, opened and given, and kept nowhere (B14).

Functions of a Transaction: the sessions' states are kept, as for every message. docs/protocol.md, "Typing and presence".
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from crypto.errors import CopiedState, CryptoError, InvalidEncoding, SessionExpired
from crypto.sessions import PeerSessions, encrypt, locate_among, receive
from relay.wire.frames import Deliver
from relay.wire.links import encode_id

from .account import Account, load_account
from .contents import (
    CONVERSATION_ID_BYTES,
    MESSAGE_ID_BYTES,
    Content,
    ContentType,
    decode_body,
    decode_content,
    direct_conversation,
    encode_body,
    encode_content,
)
from .conversations import is_in
from .mailbox_batch import warn_of_copy
from .passing_events import Passing, Presence, Typing
from .privacy import accepted_contact
from .store.database import Transaction
from .store.peers import name_of
from .store.session_rows import Key, Trial, all_sessions, save_sessions
from .system import System


class TypingBody(msgspec.Struct, frozen=True, array_like=True):
    """In one of the conversations that sender and recipient are in."""

    conversation_id: Annotated[
        bytes, Meta(min_length=CONVERSATION_ID_BYTES, max_length=CONVERSATION_ID_BYTES)
    ]
    is_typing: bool


class PresenceBody(msgspec.Struct, frozen=True, array_like=True):
    """The user is at the device, or leaves it."""

    is_here: bool


def open_passing(tx: Transaction, frames: Iterable[Deliver], system: System) -> list[Passing]:
    """What these ephemeral envelopes say. One that does not open, or is of no contact, is as if it had been lost."""
    account = load_account(tx)
    own = account.account_id, account.device_id
    sessions = Trial(all_sessions(tx, own))
    said = []
    for frame in frames:
        try:
            key, following, plaintext = _open(tx, sessions, frame.ciphertext, system.now_ms())
            sessions.put(key, following)
            event = _read(tx, account, key[0], plaintext)
        except CryptoError:
            continue  # nobody waits for it, and the relay could hand over any number of these
        else:
            said.append(event)
    if sessions.changed:
        save_sessions(tx, own, sessions.changed, system.now_ms())
    return said


def _open(tx: Transaction, sessions: Trial, envelope: bytes, now_ms: int) -> tuple[Key, PeerSessions, bytes]:
    found = locate_among(sessions.newest_first(), envelope)
    if found is None or accepted_contact(tx, found[0][0]) is None:
        raise InvalidEncoding("an ephemeral envelope of nobody that the user has written to")
    key, located = found
    try:
        opened = receive(sessions.existing(key), located, envelope, now_ms=now_ms)
    except CopiedState:
        warn_of_copy(tx, key[0])
        raise
    if not opened.info.ephemeral:
        raise InvalidEncoding("a message of the mailbox as an ephemeral one")
    return key, opened.sessions, opened.plaintext


def _read(tx: Transaction, account: Account, account_id: bytes, plaintext: bytes) -> Passing:
    content = decode_content(plaintext, is_counted=False)
    if content.conversation_id != direct_conversation(account.account_id, account_id):
        raise InvalidEncoding("an ephemeral content for another conversation")
    reader = _READERS.get(content.type)
    if reader is None:
        raise InvalidEncoding("an ephemeral content of another type")
    return reader(tx, account, account_id, bytes(content.body))


def _typing(tx: Transaction, account: Account, account_id: bytes, encoded: bytes) -> Passing:
    body = decode_body(TypingBody, encoded)
    if not is_in(tx, account, body.conversation_id, account_id):
        raise InvalidEncoding("typing in a conversation that the sender is not in")
    conversation = encode_id(body.conversation_id)
    return Typing(conversation, encode_id(account_id), name_of(tx, account_id), body.is_typing)


def _presence(tx: Transaction, account: Account, account_id: bytes, encoded: bytes) -> Passing:
    body = decode_body(PresenceBody, encoded)
    return Presence(encode_id(account_id), name_of(tx, account_id), body.is_here)


_READERS: Final[Mapping[int, Callable[[Transaction, Account, bytes, bytes], Passing]]] = {
    ContentType.TYPING: _typing,
    ContentType.PRESENCE: _presence,
}


@dataclass(frozen=True, slots=True)
class Sealed:
    """Ephemeral envelopes for the devices of one account, to be handed to the relay once or never."""

    token: bytes
    manifest_version: int
    envelopes: tuple[tuple[bytes, bytes], ...]
    """(Device, envelope)."""


def seal_passing(
    tx: Transaction, account_id: bytes, content_type: int, body: msgspec.Struct, system: System
) -> Sealed | None:
    """Seal for each device that has an answered session; None if this account is no contact, or no device has one.

    Never the first envelope of a session: that costs the recipient a prekey, and may be lost.
    """
    account, now_ms = load_account(tx), system.now_ms()
    peer = accepted_contact(tx, account_id)
    if peer is None or peer.chain is None or peer.token is None:
        return None
    encoded = encode_content(
        Content(
            type=content_type,
            conversation_id=direct_conversation(account.account_id, account_id),
            message_id=system.random(MESSAGE_ID_BYTES),
            counter=0,
            previous_hash=b"",
            sent_at_ms=now_ms,
            expires_after_seconds=0,
            introduction=None,
            body=msgspec.Raw(encode_body(body)),
        )
    )
    own = account.account_id, account.device_id
    known = all_sessions(tx, own)
    changed: dict[Key, PeerSessions] = {}
    envelopes = []
    for entry in peer.chain.manifest.devices:
        key = account_id, entry.device_id
        sessions = known.get(key)
        if sessions is None or sessions.active is None or sessions.active.pending is not None:
            continue
        try:
            changed[key], envelope = encrypt(
                sessions, encoded, account.own, now_ms=now_ms, random=system.random, ephemeral=True
            )
        except SessionExpired:
            continue  # the next message begins anew
        envelopes.append((entry.device_id, envelope))
    if not envelopes:
        return None
    save_sessions(tx, own, changed, now_ms)
    return Sealed(peer.token, peer.chain.version, tuple(envelopes))
