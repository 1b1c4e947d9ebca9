"""From what a user types to an account: a handle, a contact link, or the account id of a known contact."""

import re
from typing import Final

from crypto.transparency import verify_handle_logged
from relay.wire.limits import ACCOUNT_ID_BYTES, MAX_HANDLE_CHARACTERS, MIN_HANDLE_CHARACTERS
from relay.wire.links import ContactLink, decode_id, parse_contact
from relay.wire.resources import HandleAnswer

from .account import load_account
from .errors import Refused, UnknownRecipient, UsageError
from .store.database import Database, Transaction
from .store.peers import Peer, find_by_claim, find_by_handle, find_peer, learn_handle, learn_token
from .transparency.log_check import LogCheck
from .transport import Transport

_HANDLE: Final = re.compile(
    rf"[a-z0-9][a-z0-9._-]{{{MIN_HANDLE_CHARACTERS - 1},{MAX_HANDLE_CHARACTERS - 1}}}", re.ASCII
)


def is_handle(text: str) -> bool:
    """Whether this can be a handle."""
    return _HANDLE.fullmatch(text) is not None


def parse_recipient(to: str) -> ContactLink | bytes | str:
    """A contact link, a 32 B account id, or a handle; raises UsageError."""
    text = to.strip()
    if "://" in text:
        try:
            return parse_contact(text)
        except ValueError as error:
            raise UsageError(f"not a contact link: {error}") from error
    try:
        return decode_id(text, ACCOUNT_ID_BYTES)
    except ValueError:
        handle = text.removeprefix("@").lower()
        if not _HANDLE.fullmatch(handle):
            raise UsageError(
                "a recipient is a handle (2 to 32 of a-z, 0-9, dot, dash and underscore), a contact link or an account id"
            ) from None
        return handle


def known_recipient(tx: Transaction, to: ContactLink | bytes | str, origin: str) -> Peer | None:
    """The account, if nothing has to be asked for it; a link is learned by that. Raises UsageError, UnknownRecipient."""
    if isinstance(to, str):
        return find_by_handle(tx, to)
    if isinstance(to, bytes):
        peer = find_peer(tx, to)
        if peer is None:
            raise UnknownRecipient("this account id is no known contact: ask for a contact link")
        return peer
    if to.origin != origin:
        raise UsageError(f"this contact is on another relay, {to.origin}: register there to write to it")
    learn_token(tx, to.account_id, to.token, "link")
    return find_peer(tx, to.account_id)


def remembered(tx: Transaction, to: ContactLink | bytes | str, origin: str) -> Peer:
    """As `known_recipient`, also by the name that exactly one contact claims: good for reading, not for sending."""
    peer = known_recipient(tx, to, origin)
    if peer is None and isinstance(to, str):
        peer = find_by_claim(tx, to)
    if peer is None:
        raise UnknownRecipient("no conversation with this name here")
    return peer


async def look_up(transport: Transport, database: Database, handle: str) -> Peer:
    """Ask the relay's directory and remember the answer, if the log has it so.

    Raises UnknownRecipient, LogRefused, RelayUnreachable, Refused.
    """
    check = LogCheck(transport, database, await database.read(load_account))
    before = await check.before()
    try:
        answered = await transport.ask("GET", f"/v1/handles/{handle}", signed=True)
    except Refused as refused:
        if refused.reason not in ("not_allowed", "not_found"):
            raise
        raise UnknownRecipient(
            f"nobody here is found by the name {handle}: check it, or ask for a contact link"
        ) from refused
    answer = answered.read(HandleAnswer)
    await check.require_logged(
        answer.inclusion,
        lambda inclusion: verify_handle_logged(
            inclusion, handle, answer.salt, answer.version, answer.account_id
        ),
        before=before,
        account_id=answer.account_id,
        shown=handle.encode() + answer.account_id,
    )

    def learn(tx: Transaction) -> Peer | None:
        learn_token(tx, answer.account_id, answer.public_token, "public")
        learn_handle(tx, answer.account_id, handle)
        return find_peer(tx, answer.account_id)

    peer = await database.run(learn)
    if peer is None:
        raise UnknownRecipient(f"nobody here is found by the name {handle}")
    return peer
