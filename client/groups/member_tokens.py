"""Members' delivery tokens for a group, told by who let them in: so that members who never talked reach each other.

Each member makes its own token, which opens its mailboxes for nothing but being written to. docs/protocol.md,
"Groups", "Joining". Functions of a Transaction.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.account import Account
from client.contents import ContentType
from client.incoming import Incoming
from client.signals import draft_signal
from client.store.database import Transaction
from client.store.group_tokens import (
    group_token,
    group_tokens,
    known_own_token,
    learn_group_token,
)
from client.store.groups import find_group, make_due
from client.system import System
from crypto.errors import InvalidEncoding
from crypto.group_rights import Right
from crypto.group_state import GroupState
from crypto.limits import ACCOUNT_ID_BYTES, GROUP_ID_BYTES
from relay.wire.limits import DELIVERY_TOKEN_BYTES

from .sending import draft_group_signal

MAX_PAIRS: Final = 2_000  # of one content: 100 KB
_Id = Annotated[bytes, Meta(min_length=GROUP_ID_BYTES, max_length=GROUP_ID_BYTES)]
_AccountId = Annotated[bytes, Meta(min_length=ACCOUNT_ID_BYTES, max_length=ACCOUNT_ID_BYTES)]
_Token = Annotated[bytes, Meta(min_length=DELIVERY_TOKEN_BYTES, max_length=DELIVERY_TOKEN_BYTES)]


class TokenPair(msgspec.Struct, frozen=True, array_like=True):
    """A member and the token that reaches it."""

    account_id: _AccountId
    token: _Token

    def __repr__(self) -> str:
        return "TokenPair()"


class TokensBody(msgspec.Struct, frozen=True, array_like=True):
    """26: tokens of members of this group; a member tells its own, who may add members those of others."""

    group_id: _Id
    pairs: Annotated[tuple[TokenPair, ...], Meta(min_length=1, max_length=MAX_PAIRS)]


_encoder: Final = msgspec.msgpack.Encoder()
_tokens: Final = msgspec.msgpack.Decoder(TokensBody)


def _bodies(group_id: bytes, tokens: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """The tokens in as few contents as they fit."""
    pairs = [TokenPair(account, token) for account, token in sorted(tokens.items())]
    for at in range(0, len(pairs), MAX_PAIRS):
        yield _encoder.encode(TokensBody(group_id, tuple(pairs[at : at + MAX_PAIRS])))


def _who_needs(state: GroupState, own: bytes) -> list[bytes]:
    """In a broadcast group, those that speak; there nobody else reaches anybody."""
    return [member.account for member in state.members if member.speaks and member.account != own]


def tell_newcomers(
    tx: Transaction, account: Account, group_id: bytes, newcomers: Iterable[bytes], system: System
) -> None:
    """After members were added: they get the tokens of those they may have to reach, and all others get theirs."""
    row, mine = find_group(tx, group_id), known_own_token(tx, group_id)
    if row is None or mine is None:
        return
    state = row.view.state
    known = group_tokens(tx, group_id) | {account.account_id: mine[0]}
    added = [one for one in newcomers if one in state.by_account]
    tell_tokens(tx, account, state, added, system)
    _publish(tx, account, state, {one: known[one] for one in added if one in known}, system)


def tell_tokens(
    tx: Transaction, account: Account, state: GroupState, newcomers: Iterable[bytes], system: System
) -> None:
    """These get the tokens of all whom they may have to reach, as far as they are known here: of a broadcast group those who
    speak, or a new device of theirs, everybody's, and who listens those of the speakers.
    """
    known, mine = group_tokens(tx, state.group_id), known_own_token(tx, state.group_id)
    if mine is not None:
        known[account.account_id] = mine[0]
    told = {one.account: known[one.account] for one in state.members if one.account in known}
    of_speakers = {one: token for one, token in told.items() if state.by_account[one].speaks}
    reach_all: list[bytes] = []
    reach_speakers: list[bytes] = []
    for one in newcomers:
        listens = state.is_broadcast and not state.by_account[one].speaks
        (reach_speakers if listens else reach_all).append(one)
    for accounts, tokens in ((reach_all, told), (reach_speakers, of_speakers)):
        for body in _bodies(state.group_id, tokens) if accounts else ():
            draft_signal(tx, account, accounts, ContentType.GROUP_TOKENS, body, system)


def _publish(
    tx: Transaction, account: Account, state: GroupState, tokens: Mapping[bytes, bytes], system: System
) -> None:
    """Tell these tokens to whoever has to know them: by one message to the group, or to those that speak in a broadcast."""
    for body in _bodies(state.group_id, tokens):
        if state.is_broadcast:
            others = [one for one in _who_needs(state, account.account_id) if one not in tokens]
            draft_signal(tx, account, others, ContentType.GROUP_TOKENS, body, system)
        else:
            draft_group_signal(tx, account, state.group_id, ContentType.GROUP_TOKENS, body, system)


def tell_own_token(tx: Transaction, account: Account, group_id: bytes, system: System) -> None:
    """The own token has changed: who may add members hears of it, and tells the others."""
    row, mine = find_group(tx, group_id), known_own_token(tx, group_id)
    if row is None or mine is None or not mine[1] or account.account_id not in row.view.state.by_account:
        return
    state = row.view.state
    if state.by_account[account.account_id].may_commit:
        _publish(tx, account, state, {account.account_id: mine[0]}, system)
        return
    publishers = [one.account for one in state.members if one.may_commit and one.rights & Right.ADD]
    for body in _bodies(group_id, {account.account_id: mine[0]}):
        draft_signal(tx, account, publishers[:3], ContentType.GROUP_TOKENS, body, system)


def take_first_token(tx: Transaction, group_id: bytes, account_id: bytes, token: bytes) -> None:
    """What a member told of itself along with its chain, for who could not reach it. A token that is known is as new."""
    if len(token) == DELIVERY_TOKEN_BYTES and group_token(tx, group_id, account_id) is None:
        learn_group_token(tx, group_id, account_id, token)


def take_tokens(incoming: Incoming) -> None:
    """26: a member's own token, or those of others from who may add members; what comes from anybody else is ignored."""
    try:
        body = _tokens.decode(incoming.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidEncoding("not the body of member tokens") from error
    tx, author = incoming.tx, incoming.account_id
    row = find_group(tx, body.group_id)
    if row is None or author not in row.view.state.by_account:
        return
    state = row.view.state
    may_tell_of_others = bool(state.by_account[author].rights & Right.ADD) or incoming.is_own
    news: dict[bytes, bytes] = {}
    known = group_tokens(tx, body.group_id)
    for pair in body.pairs:
        # Of members, and of those who are added by a commit that was not read yet.
        if pair.account_id == incoming.account.account_id:
            continue
        if not (may_tell_of_others or pair.account_id == author) or known.get(pair.account_id) == pair.token:
            continue
        learn_group_token(tx, body.group_id, pair.account_id, pair.token)
        news[pair.account_id] = pair.token
    if news and row.missing_since_ms is not None:
        make_due(tx, body.group_id)  # the log may wait for a device list that they reach
        incoming.batch.errands = True
    own = state.by_account.get(incoming.account.account_id)
    is_for_all = incoming.content.conversation_id == body.group_id
    if set(news) == {author} and not is_for_all and own is not None and own.may_commit:
        # A member that may not tell everybody itself: this device does it.
        _publish(tx, incoming.account, state, news, incoming.batch.system)
        incoming.batch.drafted = True
