"""Which changes a group's state does not have yet."""

from collections.abc import Iterable

from .group_changes import (
    Add,
    Answer,
    Ban,
    Change,
    ChangeSetting,
    Give,
    NewManifest,
    Remove,
    SetRole,
    Unban,
)
from .group_state import GroupState

__all__ = ["still_needed"]


def still_needed(state: GroupState, changes: Iterable[Change]) -> tuple[Change, ...]:
    """Those that the state does not have yet: what who lost the race commits anew."""
    return tuple(change for change in changes if not _is_done(state, change))


def _is_done(state: GroupState, change: Change) -> bool:
    members = state.by_account
    match change:
        case Add():
            return change.account in members
        case Ban():
            return state.is_banned(change.account)
        case Unban():
            return not state.is_banned(change.account)
        case Remove():
            return change.account not in members
        case ChangeSetting():
            return (state.setting(change.setting.name) or b"") == change.setting.value
        case Answer():
            request = change.signed.request
            asker = members.get(request.account)
            return asker is None or asker.since != request.since or asker.asked_at_ms >= request.asked_at_ms
    member = members.get(change.account)
    if member is None:
        return True
    match change:
        case SetRole():
            return member.role is change.role
        case Give():
            return member.given == change.given
        case NewManifest():
            return member.manifest_version >= change.version
