"""From drafts of a group to one finished envelope for all, in one transaction with the own chain's next state (B13).

Nothing is encrypted before the chain's hand-outs are with the relay, so that nobody gets a message before its key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from client import expiry
from client.account import Account, load_account
from client.contents import content_hash
from client.errors import GroupNotReady, GroupTooNew, NotEntitled, NotInGroup, UnknownGroup
from client.message import State
from client.next_content import next_content
from client.signals import add_hidden
from client.store import history, queue
from client.store.database import Transaction
from client.store.group_added import withheld
from client.store.group_sending import Listener, audience, save_sending
from client.store.groups import GroupRow, Status, find_group
from client.system import Step, System
from crypto.errors import ChainEnded, ChainMissing
from crypto.errors import GroupTooNew as TooNew
from crypto.errors import NotEntitled as Unentitled
from crypto.group_rights import Right
from crypto.sender_chains import SendingChain
from crypto.sender_keys import encrypt
from relay.wire.limits import ENVELOPE_ID_BYTES
from relay.wire.links import encode_id

from .hand_outs import ready_chain
from .kept_back import require_current
from .returning import WAITS, waiting_group

MAX_TARGETS: Final = (
    4_000  # of one submit: with their grants and the largest envelope well below a message of 1 MiB
)
GROUP_PREFIX: Final = "group:"


def group_recipient(group_id: bytes) -> str:
    """How a group is written where a recipient stands: `group:` and its id."""
    return GROUP_PREFIX + encode_id(group_id)


def find_group_or_raise(tx: Transaction, group_id: bytes) -> GroupRow:
    """The group, also one that this account has left. Raises UnknownGroup, NotInGroup."""
    row = find_group(tx, group_id)
    if row is None:
        if waiting_group(tx, group_id) is not None:
            raise NotInGroup(WAITS)
        raise UnknownGroup("there is no group of this id here")
    return row


def require_group(tx: Transaction, group_id: bytes) -> GroupRow:
    """The group, if this account is in it. Raises UnknownGroup, NotInGroup."""
    row = find_group_or_raise(tx, group_id)
    if row.status is Status.OUT:
        raise NotInGroup("this account is not in the group any more")
    return row


def require_sender(tx: Transaction, account: Account, group_id: bytes) -> GroupRow:
    """The group, if this account may write there. Raises what `require_group` raises, NotEntitled, GroupTooNew."""
    row = require_group(tx, group_id)
    if row.status is Status.TOO_NEW:
        raise GroupTooNew("the group uses what this version does not know: upgrade to write there")
    try:
        row.view.state.require_known()
        row.view.state.require_right(account.account_id, Right.SEND)
    except TooNew as error:
        raise GroupTooNew(str(error)) from error
    except Unentitled as error:
        raise NotEntitled("the own role or rights do not allow to write in this group") from error
    return row


def draft_group_signal(
    tx: Transaction,
    account: Account,
    group_id: bytes,
    content_type: int,
    body: bytes,
    system: System,
    *,
    sent_at_ms: int | None = None,
) -> int:
    """Put one hidden content on its way to all of the group, as a message of it; the number of its row."""
    number = add_hidden(tx, account, content_type, body, system, sent_at_ms=sent_at_ms)
    queue.add_draft(tx, number, group_recipient(group_id), group_id, is_group=True)
    return number


@dataclass(frozen=True, slots=True)
class GroupEncrypted:
    """Message numbers: finished for the network, complete without more. `again`: call again at once; `waits`: when
    hand-outs are answered; `drafted`: hand-outs were put on their way.
    """

    messages: tuple[int, ...] = ()
    done: tuple[int, ...] = ()
    again: bool = False
    waits: bool = False
    drafted: bool = False


def encrypt_group_drafts(
    tx: Transaction, group_id: bytes, drafts: Sequence[queue.Draft], system: System
) -> GroupEncrypted:
    """Encrypt drafts for a group in order, as far as one chain goes; or hand the chain out first.

    Raises UnknownGroup, NotInGroup, NotEntitled, GroupTooNew; GroupNotReady while the present secret is not here.
    """
    account = load_account(tx)
    row = require_sender(tx, account, group_id)
    drafts = [draft for draft in drafts if queue.draft_is_there(tx, draft.n)]
    if not drafts:
        return GroupEncrypted()
    if row.status is not Status.MEMBER:
        raise GroupNotReady("the group is not ready yet: it goes on by itself")
    if row.missing_since_ms is not None:
        # The log is shut by a cut whose secret has not come: who was removed by it could read what went out now.
        raise GroupNotReady(
            "the group has changed, and its new secret has not come: the message goes out when it has"
        )
    require_current(tx, row, account.account_id, system.now_ms())
    try:
        chain, is_ready, has_more = ready_chain(tx, account, row, system)
    except ChainMissing as error:
        raise GroupNotReady(f"{error}; the message goes out when it has") from error
    if not is_ready or has_more:
        return GroupEncrypted(again=has_more, waits=not has_more, drafted=True)
    kept_out = withheld(tx, group_id)
    listeners = [one for one in audience(tx, group_id) if one.account_id not in kept_out]
    _require_reach(account, listeners)
    work = _Work(tx, account, row, system, chain, listeners)
    encrypted = []
    for draft in drafts:
        try:
            work.encrypt_one(draft)
        except ChainEnded:
            break  # the next one begins another chain
        encrypted.append(draft)
        system.reached(Step.ENCRYPTED)
    save_sending(tx, group_id, work.chain)
    queue.remove_drafts(tx, [draft.n for draft in encrypted])
    numbers = tuple(draft.message_n for draft in encrypted)
    done = tuple(number for number in numbers if not queue.is_waiting(tx, number))
    history.set_state(tx, done, State.ACCEPTED)
    return GroupEncrypted(numbers, done, again=len(encrypted) < len(drafts))


def _require_reach(account: Account, listeners: Sequence[Listener]) -> None:
    """Where nobody else can be reached, a message would count as sent and be heard by nobody. Raises GroupNotReady."""
    is_alone = True
    for one in listeners:  # mostly the first will do, of thousands
        if one.account_id == account.account_id:
            continue
        if one.ids and one.token:
            return
        is_alone = False
    if not is_alone:
        raise GroupNotReady("nobody in the group can be reached yet: the message goes out when somebody can")


@dataclass(slots=True)
class _Work:
    """One transaction's work for one group: the chain changes in here first."""

    tx: Transaction
    account: Account
    row: GroupRow
    system: System
    chain: SendingChain
    listeners: list[Listener]

    def encrypt_one(self, draft: queue.Draft) -> None:
        """One message: the content, the envelope, and who gets it. Raises ChainEnded, then nothing happened."""
        tx, view = self.tx, self.row.view
        message = history.find(tx, draft.message_n)
        if message is None:
            return
        now_ms = self.system.now_ms()
        if self.chain.is_used_up(now_ms):
            raise ChainEnded("the chain has had its messages or its time")
        content = draft.content or next_content(tx, message, self.row.group_id, self.row.group_id).encoded
        self.chain, ciphertext = encrypt(
            self.chain, view.keys, view.state, content, self.system.random, now_ms
        )
        history.set_encrypted(tx, message.n, self.row.group_id, self.account.device_id, content_hash(content))
        if message.expires_after_seconds:
            expiry.begin(tx, message.n, now_ms)
        for targets, is_stuck in self._parts():
            queue.add_group_outgoing(
                tx,
                envelope_id=self.system.random(ENVELOPE_ID_BYTES),
                message_n=message.n,
                group_id=self.row.group_id,
                content=content,
                envelope=queue.GroupEnvelope(ciphertext, targets),
                now_ms=now_ms,
                is_stuck=is_stuck,
            )

    def _parts(self) -> list[tuple[tuple[queue.Addressed, ...], bool]]:
        """Who gets a message, in parts that fit a submit; those who are not reached yet wait in a part of their own."""
        own, device = self.account.account_id, self.account.device_id
        reached: list[list[queue.Addressed]] = [[]]
        waiting = []
        size = 0
        for one in self.listeners:
            if one.account_id != own and not (one.devices and one.token):
                waiting.append(queue.Addressed(one.account_id, ()))
                continue
            devices = tuple(each for each in one.devices if (one.account_id, each) != (own, device))
            if not devices:
                continue
            if size + len(devices) > MAX_TARGETS:
                reached.append([])
                size = 0
            size += len(devices)
            reached[-1].append(queue.Addressed(one.account_id, devices))
        parts = [(tuple(part), False) for part in reached if part]
        return [*parts, (tuple(waiting), True)] if waiting else parts
