"""Groups as an application sees them: who is in them, and the event that something was changed."""

from dataclasses import dataclass
from typing import Any

from .times import iso_time


@dataclass(frozen=True, slots=True)
class GroupMember:
    """An account in a group. `rights` as the protocol names them, in lower case; `me`: the own account."""

    account: str
    name: str
    role: str
    rights: tuple[str, ...]
    me: bool


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A group as far as this client knows it."""

    id: str
    name: str
    about: str
    status: str
    """`creating`, `member`, `behind` (a welcome is awaited), `too_new` (upgrade to write), `out`; `waiting` (to be let in
    again, after a recovery or as a new device), `lost` (nobody can let it in again)."""
    broadcast: bool
    epoch: int
    commits: int
    is_ready: bool
    """The secret of the present epoch is here: this client can write."""
    waiting_changes: int
    """That this client shall commit, and has not yet."""
    members: tuple[GroupMember, ...]
    banned: tuple[str, ...]
    settings: dict[str, bytes]

    @property
    def called(self) -> str:
        """Its name; the id of one without."""
        return self.name or self.id

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "type": "group",
            "id": self.id,
            "name": self.name,
            "about": self.about,
            "status": self.status,
            "broadcast": self.broadcast,
            "epoch": self.epoch,
            "commits": self.commits,
            "ready": self.is_ready,
            "waiting_changes": self.waiting_changes,
            "members": [
                {"account": m.account, "name": m.name, "role": m.role, "rights": list(m.rights), "me": m.me}
                for m in self.members
            ],
            "banned": list(self.banned),
        }


@dataclass(frozen=True, slots=True)
class GroupChange:
    """One thing that changed: `joined` (this account), `added`, `removed`, `left`, `role`, `rights`, `wants`, `banned`,
    `unbanned`, `setting`, `devices`; `detail` says to what."""

    kind: str
    account: str | None
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GroupChanged:
    """A commit in a group, proved by its signature: who did what. Not part of the history."""

    group: str
    account: str
    """Who committed it."""
    name: str
    changes: tuple[GroupChange, ...]
    at_ms: int
    """When the committer says it was."""

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        changes = [
            {"kind": one.kind, "account": one.account, "name": one.name, "detail": one.detail}
            for one in self.changes
        ]
        return {
            "type": "group_changed",
            "group": self.group,
            "account": self.account,
            "from": self.name,
            "at": iso_time(self.at_ms),
            "changes": changes,
        }


@dataclass(frozen=True, slots=True)
class WaitingMember:
    """Somebody who asked to be let in, and waits for a yes."""

    account: str
    name: str


@dataclass(frozen=True, slots=True)
class GroupInvited:
    """Somebody invited this account into a group; `joining`: it has said yes, because the user has written to them."""

    group: str
    name: str
    """What the inviter calls the group."""
    inviter: str
    inviter_name: str
    joining: bool

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "type": "group_invited",
            "group": self.group,
            "name": self.name,
            "account": self.inviter,
            "from": self.inviter_name,
            "joining": self.joining,
        }


@dataclass(frozen=True, slots=True)
class JoinAsked:
    """Somebody came by a link whose users wait to be let in."""

    group: str
    account: str
    name: str

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"type": "group_join_asked", "group": self.group, "account": self.account, "from": self.name}
