"""What commands answer of accounts, invites, holds and heads: fit for JSON, ids in base32."""

from relay.ports.accounts import Account
from relay.ports.directory import ListedAccount
from relay.ports.holds import Hold
from relay.ports.invites import Invite
from relay.ports.reserved_handles import ReservedHandle
from relay.ports.usage import UsageDay
from relay.services.invites import invite_name
from relay.services.push import PushTest
from relay.services.transparency import Head
from relay.services.usage import CLASSES
from relay.wire.links import encode_bytes, encode_id

from .table import Answer


def told_account(account: Account) -> Answer:
    """An account after a change."""
    return {
        "account": encode_id(account.account_id),
        "handle": account.handle,
        "role": account.role,
        "suspended": account.suspended,
    }


def told_listed(account: ListedAccount) -> Answer:
    """One of a list, in figures."""
    return {
        "account": encode_id(account.account_id),
        "handle": account.handle,
        "role": account.role,
        "suspended": account.suspended,
        "created_at_ms": account.created_at_ms,
        "devices": account.devices,
        "seen_day": account.seen_day,
        "envelopes": account.envelopes,
        "envelope_bytes": account.envelope_bytes,
        "blob_bytes": account.blob_bytes,
    }


def told_hold(hold: Hold) -> Answer:
    """A hold and what it keeps."""
    return {
        "account": encode_id(hold.account_id),
        "reason": hold.reason,
        "made_at_ms": hold.made_at_ms,
        "until_ms": hold.until_ms,
        "envelopes": hold.envelopes,
        "envelope_bytes": hold.envelope_bytes,
        "is_deleted": hold.is_deleted,
    }


def told_reserved(reserved: ReservedHandle) -> Answer:
    """A handle that is kept back, and for whom."""
    owner = reserved.account_id
    return {"handle": reserved.handle, "account": None if owner is None else encode_id(owner)}


def told_invite(invite: Invite) -> Answer:
    """An invite by its name: the secret is told once, by its link."""
    return {
        "name": invite_name(invite),
        "role": invite.role,
        "uses_left": invite.uses_left,
        "created_at_ms": invite.created_at_ms,
        "expires_at_ms": invite.expires_at_ms,
        "made_by": None if invite.made_by is None else encode_id(invite.made_by),
        "hosts": [encode_id(host_id) for host_id in invite.hosts],
        "stay_seconds": invite.stay_seconds,
    }


def told_push(tested: PushTest) -> Answer:
    """What a push service answered for a device; not its address there."""
    return {
        "device": encode_id(tested.device_id),
        "kind": tested.kind,
        "outcome": tested.answer.outcome.value,
        "detail": tested.answer.detail,
        "seconds": round(tested.seconds, 3),
    }


def told_usage(day: UsageDay) -> Answer:
    """A day that is over, rounded. Both are None for a day with few devices."""
    told = day.active_devices > 0
    return {
        "day": day.day,
        "active_devices": day.active_devices if told else None,
        "accepted": {name: day.accepted.get(name, 0) for name in CLASSES} if told else None,
    }


def told_transparency_head(head: Head) -> Answer:
    """The head of the transparency log, signed."""
    return {
        "log_id": encode_bytes(head.log_id),
        "size": head.size,
        "root": encode_bytes(head.root),
        "time_ms": head.time_ms,
        "head": encode_bytes(head.signed),
    }
