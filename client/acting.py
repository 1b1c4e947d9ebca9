"""What the user does to messages that are there: replies, reacts, edits, deletes. Kept and applied here at once, then sent."""

import unicodedata
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from crypto.errors import InvalidEncoding, NotEntitled
from crypto.message_references import Act, verify_act
from relay.wire.limits import ACCOUNT_ID_BYTES
from relay.wire.links import decode_id

from .account import Account, load_account
from .act_bodies import MAX_EMOJI_CHARACTERS, DeleteBody, EditBody, ReactionBody
from .acts import apply_act, facts_of
from .contents import MESSAGE_ID_BYTES, ContentType, Reference, encode_body
from .conversations import draft_to_all, may_tidy, partner, recipient_of
from .errors import UsageError
from .message import Message, State
from .message_acts import ActKind
from .outbox import NewMessage, Outbox, text_message
from .privacy import Privacy, find_privacy, keep_privacy
from .receipts import mark_read
from .store import acts, history, notices, queue
from .store.acts import StoredAct
from .store.database import Database, Transaction
from .store.history import MessageRow
from .store.peers import accept
from .system import System

_TYPES: Final = {
    ActKind.REACTION: ContentType.REACTION,
    ActKind.EDIT: ContentType.EDIT,
    ActKind.DELETE: ContentType.DELETE,
}


class Acting:
    """The acts of this device's user."""

    def __init__(
        self,
        database: Database,
        system: System,
        outbox: Outbox,
        show: Callable[[Transaction, MessageRow], Message],
        *,
        on_due: Callable[[], None],
        on_wiped: Callable[[], Awaitable[None]],
    ) -> None:
        self._database = database
        self._system = system
        self._outbox = outbox
        self._show = show
        self._on_due = on_due
        self._on_wiped = on_wiped

    async def react(self, message: Message | str, emoji: str, patience_seconds: float) -> Message:
        """See `Client.react`."""
        # Joiners are of the category of format characters, so what is printable is not asked.
        is_broken = any(unicodedata.category(one) in ("Cc", "Cs") or one.isspace() for one in emoji)
        if len(emoji) > MAX_EMOJI_CHARACTERS or is_broken:
            raise UsageError(f"a reaction is one emoji: at most {MAX_EMOJI_CHARACTERS} characters, no spaces")
        return await self._act(message, ActKind.REACTION, emoji, patience_seconds)

    async def edit(self, message: Message | str, text: str, patience_seconds: float) -> Message:
        """See `Client.edit`."""
        if not text:
            raise UsageError("the text is empty: delete the message instead")
        text_message(text)  # raises for a text that no message can hold
        return await self._act(message, ActKind.EDIT, text, patience_seconds)

    async def delete(self, message: Message | str, patience_seconds: float) -> Message:
        """See `Client.delete`."""
        shown = await self._act(message, ActKind.DELETE, None, patience_seconds)
        await self._on_wiped()
        return shown

    async def answer(self, message: Message | str, text: str) -> tuple[str, NewMessage]:
        """A text that answers a message, and the recipient to send it to. Raises UsageError."""

        def prepare(tx: Transaction) -> tuple[str, NewMessage]:
            row = find_row(tx, message)
            to = recipient_of(tx, load_account(tx), row)
            if to is None:
                raise UsageError("this conversation takes no answers to a message yet")
            return to, text_message(text, _reference(row))

        return await self._database.read(prepare)

    async def mark_read(self, messages: Iterable[Message | str]) -> None:
        """See `Client.mark_read`."""

        def mark(tx: Transaction) -> None:
            for row in [find_row(tx, message) for message in messages]:
                mark_read(tx, row, self._system)

        await self._database.run(mark)
        self._on_due()

    async def privacy(self) -> Privacy:
        """See `Client.privacy`."""
        return await self._database.read(find_privacy)

    async def set_privacy(self, privacy: Privacy) -> None:
        """See `Client.set_privacy`."""
        await self._database.run(lambda tx: keep_privacy(tx, privacy))

    async def unopened(self) -> dict[str, int]:
        """See `Client.unopened`."""
        return await self._database.read(notices.unopened_by_reason)

    async def _act(
        self, message: Message | str, kind: ActKind, text: str | None, patience_seconds: float
    ) -> Message:
        """Apply and send one act; returns when the relay has it. Raises UsageError, and what `Client.send` raises."""
        n, number = await self._database.run(lambda tx: self._keep(tx, find_row(tx, message), kind, text))
        if number is not None:
            sending = self._outbox.watch([number])
            self._outbox.wake()
            try:
                await sending.until(0, patience_seconds)
            finally:
                sending.close()
            if sending.waiter.error is not None:
                raise sending.waiter.error
        return await self._database.read(lambda tx: self._show(tx, _row(tx, n)))

    def _keep(
        self, tx: Transaction, row: MessageRow, kind: ActKind, text: str | None
    ) -> tuple[int, int | None]:
        """(The message's row number, that of the act on its way; None if nobody has to be told)."""
        account = load_account(tx)
        if row.deleted_at_ms is not None:
            raise UsageError("this message was deleted")
        if row.outgoing and row.content_hash is None and _is_draft(tx, row):
            self._change_draft(tx, account, row, kind, text)
            return row.n, None
        reference = _reference(row)
        if reference is None or row.conversation_id is None:
            raise UsageError(
                "this message was sent or received by a version that did not keep what names it: nothing can be done to it"
            )
        self._require_own_right(tx, account, row, kind)
        at_ms = acts.next_act_ms(tx, row, account.account_id, self._system.now_ms())
        number = draft_to_all(
            tx, account, row, _TYPES[kind], _body(kind, reference, text or ""), self._system, sent_at_ms=at_ms
        )
        other = partner(tx, account, row)
        if other is not None:
            accept(tx, other)
        act_id = _row(tx, number).message_id
        apply_act(
            tx,
            row,
            StoredAct(
                kind,
                row.account_id,
                row.message_id,
                reference.reference,
                row.conversation_id,
                account.account_id,
                act_id,
                at_ms,
                text,
            ),
            self._system.now_ms(),
        )
        return row.n, number

    def _require_own_right(self, tx: Transaction, account: Account, row: MessageRow, kind: ActKind) -> None:
        """Raise UsageError for what all others would ignore."""
        facts = facts_of(row)
        act = {ActKind.REACTION: Act.REACTION, ActKind.EDIT: Act.EDIT, ActKind.DELETE: Act.DELETE}[kind]
        if facts is None:
            raise UsageError("this message cannot be named")
        tidy = may_tidy(tx, facts.conversation_id, account.account_id)
        try:
            verify_act(act, account.account_id, facts.reference(), facts, may_tidy=tidy)
        except (NotEntitled, InvalidEncoding) as error:
            raise UsageError(str(error)) from error
        if kind is ActKind.EDIT and row.type != ContentType.TEXT:
            raise UsageError("only texts are edited")

    def _change_draft(
        self, tx: Transaction, account: Account, row: MessageRow, kind: ActKind, text: str | None
    ) -> None:
        """Nobody has the message yet: it is changed, or does not go out at all."""
        match kind:
            case ActKind.EDIT if row.type == ContentType.TEXT:
                history.set_body(tx, row.n, text_message(text or "").body)
            case ActKind.DELETE:
                queue.remove_message(tx, row.n)
                history.set_state(tx, [row.n], State.REFUSED, "deleted")
                acts.wipe(tx, row.n, self._system.now_ms(), account.account_id)
            case _:
                raise UsageError("this message waits to be sent: it can be deleted, and a text edited")


def find_row(tx: Transaction, message: Message | str) -> MessageRow:
    """The kept message that is meant, by a Message or its id alone. Raises UsageError."""
    try:
        if isinstance(message, str):
            rows = history.find_by_message_id(tx, decode_id(message, MESSAGE_ID_BYTES))
        else:
            author = decode_id(message.account, ACCOUNT_ID_BYTES)
            found = history.find_by_id(tx, author, decode_id(message.id, MESSAGE_ID_BYTES))
            rows = [] if found is None or found.hidden else [found]
    except ValueError as error:
        raise UsageError("this is no message id") from error
    if not rows:
        raise UsageError("there is no such message here")
    if len(rows) > 1:
        raise UsageError("two authors gave a message this id: name it by the message itself")
    return rows[0]


def _row(tx: Transaction, n: int) -> MessageRow:
    row = history.find(tx, n)
    if row is None:
        raise UsageError("there is no such message here")
    return row


def _reference(row: MessageRow) -> Reference | None:
    """What names the message; None if nothing can."""
    facts = facts_of(row)
    return None if facts is None else Reference(facts.account, facts.message_id, facts.reference())


def _body(kind: ActKind, reference: Reference, text: str) -> bytes:
    """The encoded body of an act."""
    match kind:
        case ActKind.REACTION:
            return encode_body(ReactionBody(reference, text))
        case ActKind.EDIT:
            return encode_body(EditBody(reference, text))
        case _:
            return encode_body(DeleteBody(reference))


def _is_draft(tx: Transaction, row: MessageRow) -> bool:
    return row.state is State.QUEUED and queue.is_waiting(tx, row.n)
