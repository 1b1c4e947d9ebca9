"""The shared items that have a table of their own: how their rows become a value, and a value rows again.

An item is `kind/name`; what has no kind here (names of devices, settings, the backup's counter) is only an item, and read
as such by who uses it. docs/protocol.md, "Shared items".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from client.account import Account, decode_chain, encode_chain, load_account, save_account
from client.errors import ClientError
from client.groups.shared_group import apply_group, read_group
from client.message import Warned
from client.store import facts, notices
from client.store.database import Transaction
from client.store.peers import ensure_peer, find_peer, put_shared, save_chain, shared_part
from client.store.shared import find_item
from client.trust import believe
from crypto.errors import CryptoError, InvalidEncoding
from relay.wire import limits
from relay.wire.links import encode_id

CONTACT: Final = "contact"
TOKEN: Final = "token"  # noqa: S105  # the name of a kind
CHAIN: Final = "chain"
RELAY_KEY: Final = "pinned/relay"
HANDLE: Final = "own/handle"
GROUP: Final = "group"

Value = TypeVar("Value")
TokenBytes = Annotated[
    bytes, Meta(min_length=limits.DELIVERY_TOKEN_BYTES, max_length=limits.DELIVERY_TOKEN_BYTES)
]
Handle = Annotated[str, Meta(max_length=limits.MAX_HANDLE_CHARACTERS)]


class SharedContact(msgspec.Struct, frozen=True, array_like=True):
    """The value of `contact/<hex of the account id>`: how to call and reach them. Fields may be added at the end."""

    handle: Handle | None
    """What the relay's directory said."""
    claimed: Handle | None
    token: TokenBytes | None
    token_class: Literal["contact", "link", "public"] | None
    accepted: bool
    """The user has written to them."""
    blocked: bool = False
    """The user cut them off."""

    def __repr__(self) -> str:
        return f"SharedContact(handle={self.handle!r}, claimed={self.claimed!r})"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: `read` gives the value its rows stand for (None: nothing to share yet), `apply` makes them so."""

    read: Callable[[Transaction, Account, str], bytes | None]
    apply: Callable[[Transaction, Account, str, bytes], None]
    """Raises InvalidEncoding for a value that is none of its kind."""
    fill: Callable[[Transaction, Account, str, bytes], None] | None = None
    """Takes from an item that is *older* than the one here what is not known here at all. Raises InvalidEncoding."""


_contact: Final = msgspec.msgpack.Decoder(SharedContact)
_token: Final = msgspec.msgpack.Decoder(TokenBytes)
_handle: Final = msgspec.msgpack.Decoder(Handle | None)
_key: Final = msgspec.msgpack.Decoder(Annotated[bytes, Meta(min_length=32, max_length=32)])


def _account_id(name: str) -> bytes:
    try:
        account_id = bytes.fromhex(name)
    except ValueError as error:
        raise InvalidEncoding("not the key of an account") from error
    if len(account_id) != limits.ACCOUNT_ID_BYTES or account_id.hex() != name:
        raise InvalidEncoding("not the key of an account")
    return account_id


def _read_contact(tx: Transaction, account: Account, name: str) -> bytes | None:
    """Nothing for one of whom nothing is known yet; that something is not known any more is worth telling."""
    part = shared_part(tx, _account_id(name))
    if part is None or (not any(part) and find_item(tx, f"{CONTACT}/{name}") is None):
        return None
    return msgspec.msgpack.encode(part)  # a SharedContact, field by field


def _apply_contact(tx: Transaction, account: Account, name: str, value: bytes) -> None:
    account_id = _account_id(name)
    contact = _decode(_contact, value)
    if account_id != account.account_id:
        put_shared(
            tx,
            account_id,
            (
                contact.handle,
                contact.claimed,
                contact.token,
                contact.token_class,
                contact.accepted,
                contact.blocked,
            ),
        )


def _fill_contact(tx: Transaction, account: Account, name: str, value: bytes) -> None:
    """A copy or a message may come before the item that says how to reach them, and date the contact later than that."""
    account_id = _account_id(name)
    older = _decode(_contact, value)
    part = shared_part(tx, account_id)
    if part is None:
        return
    handle, claimed, token, token_class, accepted, blocked = part
    if token is None:
        token, token_class = older.token, older.token_class
    accepted = accepted or (older.accepted and not blocked)
    filled = handle or older.handle, claimed or older.claimed, token, token_class, accepted, blocked
    if filled != part:
        put_shared(tx, account_id, filled)


def _read_token(tx: Transaction, account: Account, name: str) -> bytes | None:
    """Only once the relay has it: else another device would hand out what opens nothing."""
    token, registered = facts.token_row(tx, name)
    return msgspec.msgpack.encode(token) if registered else None


def _apply_token(tx: Transaction, account: Account, name: str, value: bytes) -> None:
    facts.put_token(tx, name, _decode(_token, value))


def _apply_chain(tx: Transaction, account: Account, name: str, value: bytes) -> None:
    """The signed device list of a contact, as evidence: a relay cannot show this device an older one."""
    account_id = _account_id(name)
    if account_id == account.account_id:
        return
    try:
        seen = decode_chain(account_id, value)
        peer = find_peer(tx, account_id)
        newest = believe(account_id, None if peer is None else peer.chain, seen.chain)
    except (CryptoError, msgspec.DecodeError, ClientError) as error:
        raise InvalidEncoding("not the device list of a contact") from error
    if peer is None or peer.chain is None or newest.version > peer.chain.version:
        ensure_peer(tx, account_id)
        save_chain(tx, newest)


def read_chain(tx: Transaction, name: str) -> bytes | None:
    """The value of `chain/<name>`: sent in a hand-over and kept in backups, not shared by itself."""
    try:
        peer = find_peer(tx, _account_id(name))
    except InvalidEncoding:
        return None  # of a contact in a form of a newer version
    return None if peer is None or peer.chain is None else encode_chain(peer.chain)


def _nothing(tx: Transaction, account: Account, name: str) -> bytes | None:
    return None


def _read_relay_key(tx: Transaction, account: Account, name: str) -> bytes | None:
    return msgspec.msgpack.encode(account.relay_key)


def _apply_relay_key(tx: Transaction, account: Account, name: str, value: bytes) -> None:
    """The key that the account pinned from its invite; a device that joined took over what the relay said."""
    pinned = _decode(_key, value)
    if name != "relay" or pinned == account.relay_key:
        return
    save_account(tx, replace(load_account(tx), relay_key=pinned))
    detail = (
        "the relay showed this device another signing key than the one your account pinned: do not trust it"
    )
    notices.tell(tx, Warned("relay_key_changed", detail, encode_id(account.account_id)))


def _read_handle(tx: Transaction, account: Account, name: str) -> bytes | None:
    return msgspec.msgpack.encode(account.handle)


def _apply_handle(tx: Transaction, account: Account, name: str, value: bytes) -> None:
    if name == "handle":
        save_account(tx, replace(load_account(tx), handle=_decode(_handle, value)))


def _decode(decoder: "msgspec.msgpack.Decoder[Value]", value: bytes) -> Value:
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEncoding("not the value of a shared item of this kind") from error


KINDS: Final = MappingProxyType(
    {
        CONTACT: Kind(_read_contact, _apply_contact, _fill_contact),
        TOKEN: Kind(_read_token, _apply_token),
        CHAIN: Kind(_nothing, _apply_chain),
        GROUP: Kind(read_group, apply_group),
        "pinned": Kind(_read_relay_key, _apply_relay_key),
        "own": Kind(_read_handle, _apply_handle),
    }
)
