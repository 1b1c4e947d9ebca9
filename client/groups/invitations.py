"""How an account gets into a group: invited by message or link, it asks; who may add it, lets it in.

Nobody is put into a group: a client takes a welcome only for a group that it asked to join. docs/protocol.md, "Groups",
"Joining". Functions of a Transaction; who registers tokens with the relay is `doors`.
"""

import hashlib
from dataclasses import replace
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.account import Account, load_account
from client.contents import ContentType
from client.errors import UsageError
from client.incoming import Incoming
from client.message_groups import GroupInvited, JoinAsked
from client.signals import draft_signal
from client.store import group_doors, notices
from client.store.database import Transaction
from client.store.group_doors import Invite, Join, JoinState, Waiting
from client.store.group_tokens import known_own_token, learn_group_token, note_back
from client.store.group_wants import hurry_wants, wants
from client.store.groups import Status, find_group, make_due
from client.store.peers import ensure_peer, find_peer
from client.system import System
from crypto.errors import InvalidEncoding
from crypto.group_changes import Add, Answer, RequestKind
from crypto.group_rights import EVERY_RIGHT, ROLE_RIGHTS, Right, Role
from crypto.group_state import NAME, GroupState
from crypto.limits import DAY_MS, GROUP_ID_BYTES, MAX_MANIFEST_VERSION
from relay.wire.limits import DELIVERY_TOKEN_BYTES, INVITE_SECRET_BYTES
from relay.wire.links import encode_id

from .wanted import want

INVITATION_DAYS: Final = 30  # as long as an invitation may lie in a mailbox
MAX_NAME_CHARACTERS: Final = 64

_Id = Annotated[bytes, Meta(min_length=GROUP_ID_BYTES, max_length=GROUP_ID_BYTES)]
_Secret = Annotated[bytes, Meta(min_length=INVITE_SECRET_BYTES, max_length=INVITE_SECRET_BYTES)]
_Token = Annotated[bytes, Meta(min_length=DELIVERY_TOKEN_BYTES, max_length=DELIVERY_TOKEN_BYTES)]


class InvitationBody(msgspec.Struct, frozen=True, array_like=True):
    """20: come into this group, whoever has the secret is let in; `name` is what the inviter calls it."""

    group_id: _Id
    secret: _Secret
    name: Annotated[str, Meta(max_length=MAX_NAME_CHARACTERS)]

    def __repr__(self) -> str:
        return f"InvitationBody(name={self.name!r})"


class JoinBody(msgspec.Struct, frozen=True, array_like=True):
    """21: let me into this group; `token` is my delivery token of class `group` for it, `wants` the rights I want."""

    group_id: _Id
    secret: _Secret
    token: _Token
    manifest_version: Annotated[int, Meta(ge=1, le=MAX_MANIFEST_VERSION)]
    wants: Annotated[int, Meta(ge=0, le=2**32 - 1)]

    def __repr__(self) -> str:
        return "JoinBody()"


_encoder: Final = msgspec.msgpack.Encoder()
_invitation: Final = msgspec.msgpack.Decoder(InvitationBody)
_join: Final = msgspec.msgpack.Decoder(JoinBody)


def group_name(state: GroupState) -> str:
    """What the group is called; empty if nobody named it or the name is no text."""
    return (state.setting(NAME) or b"").decode("utf-8", "replace")[:MAX_NAME_CHARACTERS]


def secret_hash(secret: bytes) -> bytes:
    """32 B: how an inviting device keeps a secret that it gave out."""
    return hashlib.sha256(secret).digest()


def require_adder(tx: Transaction, account: Account, group_id: bytes) -> GroupState:
    """The newest state of a group in which the own account may add members. Raises UsageError."""
    row = find_group(tx, group_id)
    if row is None:
        raise UsageError("no such group here")
    state = row.view.state
    member = state.by_account.get(account.account_id)
    if member is None or not member.may_commit or not member.rights & Right.ADD:
        raise UsageError("you may not add members to this group")
    return state


def invite_account(
    tx: Transaction, account: Account, group_id: bytes, invitee: bytes, role: Role, system: System
) -> None:
    """Invite one account by message: a secret that lets in nobody else, once. Raises UsageError."""
    state = require_adder(tx, account, group_id)
    if invitee in state.by_account:
        raise UsageError("they are in the group already")
    if state.is_banned(invitee):
        raise UsageError("they are banned from the group: lift the ban first")
    secret = system.random(INVITE_SECRET_BYTES)
    expires_at_ms = system.now_ms() + INVITATION_DAYS * DAY_MS
    group_doors.add_invite(
        tx, Invite(secret_hash(secret), group_id, None, role, 1, expires_at_ms, invitee, asks=False)
    )
    body = InvitationBody(group_id, secret, group_name(state))
    draft_signal(tx, account, [invitee], ContentType.GROUP_INVITATION, _encoder.encode(body), system)


def take_invitation(incoming: Incoming) -> None:
    """20: kept until the user answers; from a contact whom the user has written to, the answer is yes.

    One that comes while the user is on the way in already is taken if it is from whom the user asked, or from such a contact:
    nobody hears that what it came by is used up.
    """
    try:
        body = _invitation.decode(incoming.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidEncoding("not the body of a group invitation") from error
    tx = incoming.tx
    if incoming.is_own or is_in(tx, incoming.account, body.group_id):
        return
    before = group_doors.find_join(tx, body.group_id)
    peer = find_peer(tx, incoming.account_id)
    is_welcome = peer is not None and peer.accepted
    if before is not None and before.secret == body.secret:
        return  # the same again
    if before is not None and before.state is not JoinState.INVITED:
        if not is_welcome and before.inviter != incoming.account_id:
            return
        is_welcome = True
    state = JoinState.WANTED if is_welcome else JoinState.INVITED
    group_doors.keep_join(tx, Join(body.group_id, incoming.account_id, body.secret, body.name, state))
    incoming.batch.errands = True
    name = encode_id(incoming.account_id) if peer is None else peer.name
    notices.tell(
        tx,
        GroupInvited(
            encode_id(body.group_id), body.name, encode_id(incoming.account_id), name, joining=is_welcome
        ),
    )


def is_in(tx: Transaction, account: Account, group_id: bytes) -> bool:
    """Whether this account is in the group. What was read last of one that it left may list it still."""
    row = find_group(tx, group_id)
    return (
        row is not None and row.status is not Status.OUT and account.account_id in row.view.state.by_account
    )


def accept_invitation(tx: Transaction, group_id: bytes) -> None:
    """The user wants in. Raises UsageError if there is no invitation."""
    join = group_doors.find_join(tx, group_id)
    if join is None:
        raise UsageError(
            "nobody has invited you to this group, or the invitation is too old: ask for another"
        )
    if join.state is JoinState.INVITED:
        group_doors.keep_join(tx, Join(join.group_id, join.inviter, join.secret, join.name, JoinState.WANTED))


def want_in(tx: Transaction, group_id: bytes, inviter: bytes, token: bytes, secret: bytes) -> None:
    """The user has a link into the group; `token` reaches the inviter for this."""
    ensure_peer(tx, inviter)
    learn_group_token(tx, group_id, inviter, token)
    group_doors.keep_join(tx, Join(group_id, inviter, secret, "", JoinState.WANTED))


def ask_to_join(tx: Transaction, join: Join, system: System) -> bool:
    """Put the request on its way, once the relay knows the own token for the group; whether it did."""
    account, own = load_account(tx), known_own_token(tx, join.group_id)
    now = group_doors.find_join(tx, join.group_id)
    if own is None or not own[1] or now is None or now.state is not JoinState.WANTED:
        return False
    body = JoinBody(join.group_id, join.secret, own[0], account.own.version, EVERY_RIGHT)
    draft_signal(tx, account, [join.inviter], ContentType.GROUP_JOIN, _encoder.encode(body), system)
    group_doors.keep_join(tx, Join(join.group_id, join.inviter, join.secret, join.name, JoinState.ASKED))
    return True


def take_join_request(incoming: Incoming) -> None:
    """21: whoever has a good secret is let in, or waits for a yes; any other request is told to nobody."""
    try:
        body = _join.decode(incoming.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidEncoding("not the body of a request to join") from error
    tx, batch, asker = incoming.tx, incoming.batch, incoming.account_id
    invite = group_doors.find_invite(tx, secret_hash(body.secret))
    if invite is None or incoming.is_own or invite.group_id != body.group_id:
        return
    row = find_group(tx, body.group_id)
    if row is None or batch.now_ms >= invite.expires_at_ms or invite.for_account not in (None, asker):
        return
    state = row.view.state
    if state.is_banned(asker) or not group_doors.use_invite(tx, invite, asker):
        return
    learn_group_token(tx, body.group_id, asker, body.token)
    waiting = Waiting(body.group_id, asker, body.manifest_version, body.wants, invite.role, batch.now_ms)
    if asker in state.by_account:
        if not invite.asks and _hurry_leave(tx, body.group_id, asker):
            group_doors.keep_waiting(tx, replace(waiting, returning=True))
            batch.errands = True
        return
    batch.errands = True
    if not invite.asks:
        _let_in(tx, waiting)
    elif group_doors.keep_waiting(tx, waiting):
        peer = find_peer(tx, asker)
        name = encode_id(asker) if peer is None else peer.name
        notices.tell(tx, JoinAsked(encode_id(body.group_id), encode_id(asker), name))


def _hurry_leave(tx: Transaction, group_id: bytes, account_id: bytes) -> bool:
    """Whether this account asked to leave, and is in the group only until that is committed: now, since it is back."""
    leaves = [
        one.n
        for one in wants(tx, group_id)
        if isinstance(one.change, Answer)
        and one.change.signed.request.account == account_id
        and one.change.signed.request.kind is RequestKind.LEAVE
    ]
    hurry_wants(tx, leaves)
    make_due(tx, group_id)
    return bool(leaves)


def let_returning_in(tx: Transaction, group_id: bytes, state: GroupState) -> None:
    """Whose leave is committed now, and who asked to come back since."""
    for one in group_doors.returning_to(tx, group_id):
        if one.account_id not in state.by_account:
            group_doors.stop_waiting(tx, group_id, one.account_id)
            note_back(tx, group_id, one.account_id)
            _let_in(tx, one)


def _let_in(tx: Transaction, one: Waiting) -> None:
    given = int(ROLE_RIGHTS[one.role])
    want(tx, one.group_id, [Add(one.account_id, one.manifest_version, one.role, one.wants, given)])


def answer_waiting(tx: Transaction, account: Account, group_id: bytes, asker: bytes, *, let_in: bool) -> None:
    """The user's yes or no to somebody who waits. Raises UsageError."""
    require_adder(tx, account, group_id)
    found = next((one for one in group_doors.waiting_in(tx, group_id) if one.account_id == asker), None)
    if found is None:
        raise UsageError("they do not wait to be let into this group")
    group_doors.stop_waiting(tx, group_id, asker)
    if let_in:
        _let_in(tx, found)
