"""Which handler takes which type of content: the one table that knows them all. What is not in it is a message."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from . import acts
from .contents import ContentType, content_hash
from .incoming import Handler, Incoming
from .store import history


def _nothing(incoming: Incoming) -> None:
    """An empty content has turned the ratchet, and that is all."""


def _keep_message(incoming: Incoming) -> None:
    """A message, also one of a type that a newer client made: kept, and shown as what it is."""
    is_new = history.add_incoming(
        incoming.tx,
        incoming.account_id,
        incoming.device_id,
        incoming.content,
        content_hash(incoming.encoded),
        incoming.received_at_ms,
        was_absent=incoming.was_absent,
    )
    if is_new:
        acts.apply_waiting(incoming.tx, incoming.account, incoming.account_id, incoming.content.message_id)


HANDLERS: Final[Mapping[int, Handler]] = MappingProxyType({ContentType.EMPTY: _nothing, **acts.HANDLERS})


def handle(incoming: Incoming) -> None:
    """Give a content to who handles its type. Raises InvalidEncoding."""
    HANDLERS.get(incoming.content.type, _keep_message)(incoming)
