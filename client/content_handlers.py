"""Which handler takes which type of content: the one table that knows them all. What is not in it is a message."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from crypto.errors import InvalidEncoding

from . import acts, expiry, receipts, resends
from .archive.giving import take_history_keys
from .contact_tokens import hear_contact_token
from .contents import OF_GROUPS, ContentType, content_hash
from .devices.copies import open_copy, show_copy
from .devices.hand_over import take_shared_items
from .groups.handlers import take_told
from .groups.invitations import take_invitation, take_join_request
from .groups.member_tokens import take_tokens
from .groups.requests import take_request
from .incoming import Handler, Incoming
from .profiles import hear_profile_key
from .store import history
from .store.expiry_rows import is_expired
from .transparency.evidence import hear_evidence


def _nothing(incoming: Incoming) -> None:
    """An empty content has turned the ratchet, and that is all."""


def _keep_message(incoming: Incoming) -> None:
    """A message, also one of a type that a newer client made: kept, and shown as what it is."""
    if _is_over(incoming):
        return
    is_new = history.add_incoming(
        incoming.tx,
        incoming.account_id,
        incoming.device_id,
        incoming.content,
        content_hash(incoming.encoded),
        incoming.received_at_ms,
        was_absent=incoming.was_absent,
    )
    if not is_new:
        return
    _begin_timer(incoming)
    _apply_waiting(incoming)
    receipts.note_arrival(incoming)


def _is_over(incoming: Incoming) -> bool:
    """A message that was here, and has disappeared."""
    content = incoming.content
    disappears = content.expires_after_seconds > 0
    return disappears and is_expired(incoming.tx, incoming.account_id, content.message_id)


def _begin_timer(incoming: Incoming) -> None:
    """Of a message that disappears."""
    if incoming.content.expires_after_seconds:
        row = history.find_by_id(incoming.tx, incoming.account_id, incoming.content.message_id)
        if row is not None:
            expiry.begin(incoming.tx, row.n, incoming.batch.now_ms)


def _refuse(incoming: Incoming) -> None:
    raise InvalidEncoding("a content that only passes, in the mailbox")


def _apply_waiting(incoming: Incoming) -> None:
    """What was done to a message before it came."""
    message_id, now_ms = incoming.content.message_id, incoming.batch.now_ms
    acts.apply_waiting(incoming.tx, incoming.account, incoming.account_id, message_id, now_ms)


def _take_copy(incoming: Incoming) -> None:
    """What an own device sent: a message is shown as sent, an act is done here too."""
    inner, copy = open_copy(incoming)
    act = HANDLERS.get(inner.content.type)
    if act is None:
        if not _is_over(inner) and show_copy(inner, copy):
            _begin_timer(inner)
            _apply_waiting(inner)
    elif not copy.refusal:
        act(inner)


HANDLERS: Final[Mapping[int, Handler]] = MappingProxyType(
    {
        ContentType.EMPTY: _nothing,
        ContentType.COPY: _take_copy,
        ContentType.SHARED_ITEMS: take_shared_items,
        ContentType.HISTORY_KEYS: take_history_keys,
        ContentType.CONTACT_TOKEN: hear_contact_token,
        ContentType.MANIFEST_EVIDENCE: hear_evidence,
        ContentType.PROFILE_KEY: hear_profile_key,
        ContentType.TYPING: _refuse,
        ContentType.PRESENCE: _refuse,
        **acts.HANDLERS,
        **resends.HANDLERS,
        **dict.fromkeys(OF_GROUPS, take_told),
        ContentType.GROUP_INVITATION: take_invitation,
        ContentType.GROUP_JOIN: take_join_request,
        ContentType.GROUP_REQUEST: take_request,
        ContentType.GROUP_TOKENS: take_tokens,
    }
)


def handle(incoming: Incoming) -> None:
    """Give a content to who handles its type. Raises InvalidEncoding."""
    HANDLERS.get(incoming.content.type, _keep_message)(incoming)
