"""Acts that come in: each is checked against the message that it names, applied, held until that comes, or refused (B10).

Who acts is the account of the session or chain that the content came in, never what the content says.
docs/protocol.md, "Acts on messages".
"""

from collections.abc import Iterator
from typing import Final

from crypto.errors import InvalidEncoding, NotEntitled
from crypto.message_references import Act, MessageFacts, verify_act
from relay.wire.links import encode_id

from .account import Account, load_account
from .act_bodies import DeleteBody, EditBody, ReactionBody, ReceiptBody
from .contents import ContentType, Reference, decode_body
from .conversations import is_in, may_tidy
from .incoming import Handler, Incoming
from .message import Warned
from .message_acts import Acted, ActKind, MessageName
from .store import acts, history, notices
from .store.acts import StoredAct
from .store.archive_rows import note_acted
from .store.database import Transaction
from .store.expiry_rows import start_timer
from .store.history import MessageRow
from .store.peers import name_of

_ACTS: Final = {
    ActKind.REACTION: Act.REACTION,
    ActKind.EDIT: Act.EDIT,
    ActKind.DELETE: Act.DELETE,
    ActKind.DELIVERED: Act.RECEIPT,
    ActKind.READ: Act.RECEIPT,
}
_KEPT: Final = (ActKind.REACTION, ActKind.EDIT, ActKind.DELETE)
"""What the history archive keeps of what was done to messages."""


def _on_reaction(incoming: Incoming) -> None:
    body = decode_body(ReactionBody, incoming.body)
    _apply_one(incoming, _stored(incoming, ActKind.REACTION, body.message, body.emoji))


def _on_edit(incoming: Incoming) -> None:
    body = decode_body(EditBody, incoming.body)
    _apply_one(incoming, _stored(incoming, ActKind.EDIT, body.message, body.text))


def _on_delete(incoming: Incoming) -> None:
    body = decode_body(DeleteBody, incoming.body)
    _apply_one(incoming, _stored(incoming, ActKind.DELETE, body.message))


def _on_receipt(incoming: Incoming) -> None:
    for act in _receipts(incoming, decode_body(ReceiptBody, incoming.body)):
        _apply_one(incoming, act)


HANDLERS: Final[dict[int, Handler]] = {
    ContentType.REACTION: _on_reaction,
    ContentType.EDIT: _on_edit,
    ContentType.DELETE: _on_delete,
    ContentType.RECEIPT: _on_receipt,
}


def _stored(incoming: Incoming, kind: ActKind, message: Reference, text: str | None = None) -> StoredAct:
    content = incoming.content
    return StoredAct(
        kind,
        message.account,
        message.message_id,
        message.reference,
        content.conversation_id,
        incoming.account_id,
        content.message_id,
        content.sent_at_ms,
        text,
    )


def _receipts(incoming: Incoming, body: ReceiptBody) -> Iterator[StoredAct]:
    for kind, entries in ((ActKind.DELIVERED, body.delivered), (ActKind.READ, body.read)):
        for entry in entries:
            yield StoredAct(
                kind,
                body.author,
                entry.message_id,
                entry.reference,
                None,
                incoming.account_id,
                incoming.content.message_id,
                incoming.content.sent_at_ms,
            )


def _apply_one(incoming: Incoming, act: StoredAct) -> None:
    tx, account = incoming.tx, incoming.account
    row = history.find_by_id(tx, act.target_account, act.message_id)
    if row is None:
        acts.hold(tx, act)
    else:
        _apply_checked(tx, account, row, act, incoming.batch.now_ms)


def apply_waiting(tx: Transaction, account: Account, author: bytes, message_id: bytes, now_ms: int) -> None:
    """A message is here now: what was done to it before it came is done."""
    for act in acts.take_waiting(tx, author, message_id):
        row = history.find_by_id(tx, author, message_id)
        if row is not None:
            _apply_checked(tx, account, row, act, now_ms)


def facts_of(row: MessageRow) -> MessageFacts | None:
    """What a reference to this message is made of; None for a row from before that was kept, or that is not sent."""
    if row.hidden or row.conversation_id is None or row.device_id is None or row.content_hash is None:
        return None
    return MessageFacts(row.conversation_id, row.account_id, row.device_id, row.message_id, row.content_hash)


def _apply_checked(tx: Transaction, account: Account, row: MessageRow, act: StoredAct, now_ms: int) -> None:
    try:
        _require_entitled(tx, account, row, act)
    except (NotEntitled, InvalidEncoding) as error:
        acts.count_refused(tx)
        detail = f"an act on a message ({act.kind.value}) was ignored: {error}"
        notices.tell_once(tx, Warned("act_refused", detail, encode_id(act.actor)))
        return
    if apply_act(tx, row, act, now_ms):
        notices.tell(tx, _event(tx, row, act))


def _require_entitled(tx: Transaction, account: Account, row: MessageRow, act: StoredAct) -> None:
    """Raise InvalidEncoding or NotEntitled unless the actor may do this to this very message."""
    target = facts_of(row)
    if target is None:
        raise InvalidEncoding("it names a message from before references were kept, or one that is not shown")
    conversation_id = target.conversation_id
    if act.conversation_id not in (None, conversation_id):
        raise InvalidEncoding("it names a message of another conversation")
    if not is_in(tx, account, conversation_id, act.actor):
        raise NotEntitled("only who is in the conversation acts on its messages")
    tidy = may_tidy(tx, conversation_id, act.actor)
    verify_act(_ACTS[act.kind], act.actor, act.reference, target, may_tidy=tidy)
    if act.kind in (ActKind.DELIVERED, ActKind.READ) and act.actor == target.account:
        raise NotEntitled("its author gives no receipt for a message")
    if act.kind is ActKind.EDIT and row.type != ContentType.TEXT:
        raise InvalidEncoding("only texts are edited")


def apply_act(tx: Transaction, row: MessageRow, act: StoredAct, now_ms: int) -> bool:
    """Do to a message what was found to be right; False if it changes nothing. A deleted one takes receipts alone."""
    is_changed = _do(tx, row, act, now_ms)
    if is_changed and act.kind in _KEPT:
        note_acted(tx, row.n, now_ms, is_deleted=act.kind is ActKind.DELETE)
    return is_changed


def _do(tx: Transaction, row: MessageRow, act: StoredAct, now_ms: int) -> bool:
    match act.kind:
        case ActKind.DELIVERED | ActKind.READ:
            own = load_account(tx).account_id
            if row.account_id == own or (act.kind is ActKind.READ and act.actor == own):
                # Not by the time that the other side claims: it must not make a message stay or go.
                start_timer(tx, row.n, now_ms)
            return acts.put_receipt(tx, row.n, act.actor, act.at_ms, is_read=act.kind is ActKind.READ)
        case ActKind.DELETE:
            return acts.wipe(tx, row.n, act.at_ms, act.actor)
        case _ if row.deleted_at_ms is not None:
            return False
        case ActKind.REACTION:
            return acts.put_reaction(tx, row.n, act)
        case ActKind.EDIT:
            return acts.put_edit(tx, row.n, act)
        case ActKind.EXPIRED:
            return False


def _event(tx: Transaction, row: MessageRow, act: StoredAct) -> Acted:
    return Acted(
        kind=act.kind,
        message=MessageName(encode_id(row.account_id), encode_id(row.message_id)),
        conversation="" if row.conversation_id is None else encode_id(row.conversation_id),
        account=encode_id(act.actor),
        name=name_of(tx, act.actor),
        at_ms=act.at_ms,
        text=act.text,
    )
