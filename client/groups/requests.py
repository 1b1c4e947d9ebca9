"""What a member asks for itself, signed, for whoever may commit to grant: to leave, or to have other rights.

docs/protocol.md, "Groups", "State". Functions of a Transaction.
"""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.account import Account
from client.contents import ContentType
from client.errors import UsageError
from client.incoming import Incoming
from client.signals import draft_signal
from client.store.database import Transaction
from client.store.groups import find_group
from client.system import System
from crypto.errors import InvalidEncoding
from crypto.group_changes import Answer, Request, RequestKind, SignedRequest, sign_request
from crypto.group_requests import is_signed, may_answer
from crypto.group_rights import Role
from crypto.group_state import GroupState, Member
from crypto.limits import LEAVES_SHARE_A_CUT_MS

from .lists import KnownLists
from .wanted import want

ASKED_AT_ONCE: Final = 3
"""So many of those who may commit get a request: one of them may be away for long."""


class RequestBody(msgspec.Struct, frozen=True, array_like=True):
    """25: what a member asks for itself: 64 B signature ‖ request."""

    request: Annotated[bytes, Meta(min_length=64, max_length=1_024)]


_encoder: Final = msgspec.msgpack.Encoder()
_request: Final = msgspec.msgpack.Decoder(RequestBody)


def committers(state: GroupState, own: bytes) -> list[bytes]:
    """Who may commit beside the own account, the highest and longest in the group first; the same on all devices."""
    return _ordered(one for one in state.entitled() if one.account != own)


def answerers(state: GroupState, own: Member, kind: RequestKind) -> list[bytes]:
    """Who may grant such a request of the own account, the highest and longest in the group first."""
    able = [one for one in state.entitled() if one.account != own.account and may_answer(one, own, kind)]
    return _ordered(able)


def _ordered(members: Iterable[Member]) -> list[bytes]:
    ordered = sorted(members, key=lambda member: (-member.role, member.since, member.account))
    return [member.account for member in ordered]


def ask(
    tx: Transaction, account: Account, group_id: bytes, kind: RequestKind, value: int, system: System
) -> None:
    """Sign the request and put it on its way to some who may commit. Raises UsageError."""
    row = find_group(tx, group_id)
    member = None if row is None else row.view.state.by_account.get(account.account_id)
    if row is None or member is None:
        raise UsageError("you are not in this group")
    state = row.view.state
    able = answerers(state, member, kind)
    if kind is RequestKind.LEAVE:
        owners = [one for one in state.members if one.role is Role.OWNER]
        if [one.account for one in owners] == [account.account_id] and len(state.members) > 1:
            raise UsageError("you are the only owner: make somebody else an owner first")
    if not able:
        raise UsageError("nobody else may change this group: there is nobody to grant it")
    asked_at_ms = max(system.now_ms(), member.asked_at_ms + 1)
    request = Request(group_id, account.account_id, account.device_id, member.since, kind, value, asked_at_ms)
    body = _encoder.encode(RequestBody(sign_request(request, account.local).encode()))
    draft_signal(tx, account, able[:ASKED_AT_ONCE], ContentType.GROUP_REQUEST, body, system)


def take_request(incoming: Incoming) -> None:
    """25: to be granted by this device if it may commit; leaves wait a little, to share one cut."""
    try:
        body = _request.decode(incoming.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidEncoding("not the body of a member's request") from error
    signed = SignedRequest.parse(body.request)
    request = signed.request
    if request.account != incoming.account_id:
        raise InvalidEncoding("a request of somebody else")
    tx = incoming.tx
    row = find_group(tx, request.group_id)
    own = None if row is None else row.view.state.by_account.get(incoming.account.account_id)
    if row is None or own is None or not own.may_commit:
        return
    asker = row.view.state.by_account.get(request.account)
    if asker is None or asker.since != request.since or request.asked_at_ms <= asker.asked_at_ms:
        return
    if not may_answer(own, asker, request.kind):
        return
    if is_signed(signed, asker.manifest_version, KnownLists(tx)) is False:
        raise InvalidEncoding("a request that its member did not sign")
    wait_ms = LEAVES_SHARE_A_CUT_MS if request.kind is RequestKind.LEAVE else 0
    not_before_ms = incoming.batch.now_ms + wait_ms
    want(tx, request.group_id, [Answer(signed)], not_before_ms=not_before_ms)
    incoming.batch.errands = True
