"""What an application gets to see: messages, the files in them, and events about the conversation. Plain values."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from .message_acts import Acted, Edit, Mark, MessageName, Reaction
from .message_groups import GroupChanged, GroupInvited, JoinAsked
from .passing_events import Passing
from .times import iso_time


class State(StrEnum):
    """Where a message stands."""

    QUEUED = "queued"  # kept here, not encrypted yet: the relay or the recipient's keys were not reached
    ENCRYPTED = "encrypted"  # kept here, finished; goes out with the next connection
    ACCEPTED = "accepted"  # the relay has it durably, for every device of the recipient
    REFUSED = "refused"  # will not go out; `Message.refusal` says why
    RECEIVED = "received"  # came from somebody else


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file in a message. `path` is where it lies on this machine once fetched (or was sent from)."""

    name: str
    media_type: str
    size_bytes: int
    path: Path | None
    sha256: str | None
    """Hex SHA-256 of the plain file, once it is on this machine."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. Ids are base32, lower case."""

    id: str
    conversation: str
    account: str
    """Account id of the author, proved by the session's keys."""
    name: str
    """How to call the author: the handle that was looked up, else the claimed one, else the account id."""
    type: str
    """`text`, `file`, or `unknown` (made by a newer client; kept)."""
    sent_at_ms: int
    received_at_ms: int | None
    outgoing: bool
    state: State
    text: str | None = None
    file: SharedFile | None = None
    refusal: str | None = None
    reply_to: MessageName | None = None
    """The message that this one answers, if its author named one that it can be."""
    reactions: tuple[Reaction, ...] = ()
    edits: tuple[Edit, ...] = ()
    """Earlier forms, the first one first; `text` is the newest."""
    edited_at_ms: int | None = None
    deleted_at_ms: int | None = None
    """It was deleted for everybody; what it said is gone from this machine."""
    delivered_to: tuple[Mark, ...] = ()
    read_by: tuple[Mark, ...] = ()
    group: str | None = None
    """Id of the group, in a group; then it is the conversation's too."""
    role: str | None = None
    """Of the author in the group now; None for who is out of it."""
    contact_request: bool = False
    """Its author is somebody whom the user has neither written to nor accepted."""
    read_at_ms: int | None = None
    """Of what others wrote: when the user of this account has read it."""
    expires_after_seconds: int = 0
    """It disappears on both sides so long after it was read; 0: never."""
    expires_at_ms: int | None = None
    """When it goes from this machine, as far as that is known by now."""
    _reply: Callable[[str], Awaitable["Message"]] | None = field(default=None, repr=False, compare=False)
    _fetch: Callable[["Message"], Awaitable["Message"]] | None = field(
        default=None, repr=False, compare=False
    )

    @property
    def edited(self) -> bool:
        """Whether its author has changed the text."""
        return self.edited_at_ms is not None

    @property
    def deleted(self) -> bool:
        """Whether it was deleted: only the fact is left."""
        return self.deleted_at_ms is not None

    async def reply(self, text: str) -> "Message":
        """Send a text that answers this message to its conversation; raises what `Client.send` raises."""
        if self._reply is None:
            raise RuntimeError("this message belongs to no open client")
        return await self._reply(text)

    async def fetch(self) -> "Message":
        """This message with its file on this machine (`file.path`, `file.sha256`); again costs nothing.

        Raises FileUnavailable, FileDamaged, RelayUnreachable.
        """
        if self._fetch is None:
            raise RuntimeError("this message belongs to no open client")
        return await self._fetch(self)

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints, one object a line."""
        shown: dict[str, Any] = {
            "type": self.type,
            "id": self.id,
            "conversation": self.conversation,
            "from": self.name,
            "account": self.account,
            "outgoing": self.outgoing,
            "state": self.state.value,
            "sent_at": iso_time(self.sent_at_ms),
        }
        if self.received_at_ms is not None:
            shown["received_at"] = iso_time(self.received_at_ms)
        if self.text is not None:
            shown["text"] = self.text
        if self.file is not None:
            shown["file"] = {
                "name": self.file.name,
                "media_type": self.file.media_type,
                "size": self.file.size_bytes,
                "path": None if self.file.path is None else str(self.file.path),
                "sha256": self.file.sha256,
            }
        if self.refusal is not None:
            shown["refusal"] = self.refusal
        if self.group is not None:
            shown["group"] = self.group
            shown["role"] = self.role
        if self.contact_request:
            shown["contact_request"] = True
        return shown | self._acts_as_json()

    def _acts_as_json(self) -> dict[str, Any]:
        """What was done to it, as far as anything was."""
        shown: dict[str, Any] = {}
        if self.reply_to is not None:
            shown["reply_to"] = {"id": self.reply_to.id, "account": self.reply_to.account}
        if self.reactions:
            shown["reactions"] = [
                {"emoji": one.emoji, "from": one.name, "account": one.account} for one in self.reactions
            ]
        if self.edited_at_ms is not None:
            shown["edited_at"] = iso_time(self.edited_at_ms)
            shown["earlier"] = [{"text": one.text, "at": iso_time(one.at_ms)} for one in self.edits]
        if self.deleted_at_ms is not None:
            shown["deleted_at"] = iso_time(self.deleted_at_ms)
        if self.expires_after_seconds:
            shown["expires_after"] = self.expires_after_seconds
        for name, at_ms in (("read_at", self.read_at_ms), ("expires_at", self.expires_at_ms)):
            if at_ms is not None:
                shown[name] = iso_time(at_ms)
        for name, marks in (("delivered_to", self.delivered_to), ("read_by", self.read_by)):
            if marks:
                shown[name] = [
                    {"from": one.name, "account": one.account, "at": iso_time(one.at_ms)} for one in marks
                ]
        return shown


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Everything that waited when the connection opened is here."""

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"type": "caught_up"}


@dataclass(frozen=True, slots=True)
class Missed:
    """The relay says that these envelopes will never come: `expired`, `removed` or `restored`.

    `count` is 0 for `restored`: the relay came back from a backup, and nobody knows how many were lost.
    """

    count: int
    reason: str

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"type": "missed", "count": self.count, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Gap:
    """A device's own count says that messages of it are not here (told after catching up)."""

    conversation: str
    account: str
    name: str
    count: int

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "type": "gap",
            "conversation": self.conversation,
            "account": self.account,
            "from": self.name,
            "count": self.count,
        }


@dataclass(frozen=True, slots=True)
class Gone:
    """A device says that it cannot give again what is missing of it: these messages will not come."""

    conversation: str
    account: str
    name: str
    count: int

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "type": "gone",
            "conversation": self.conversation,
            "account": self.account,
            "from": self.name,
            "count": self.count,
        }


@dataclass(frozen=True, slots=True)
class Unopened:
    """An envelope that no key here opens, or whose content breaks a rule; it is kept and counted.

    `reason` is one word for the kind of failure; `redirected`: a content of another conversation than it came in.
    """

    reason: str

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"type": "unopened", "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know: `session_reset`, `copied_state`, `devices_forked`, `split_view`, `mailbox_nearly_full` …"""

    kind: str
    detail: str
    account: str | None = None

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"type": "warning", "kind": self.kind, "detail": self.detail, "account": self.account}


@dataclass(frozen=True, slots=True)
class HistoryRestored:
    """Messages of before came from the history archive: they are in the history, and not given out one by one."""

    count: int
    newest_at_ms: int
    """When the newest of them was sent or received: of what came after it the archive gave nothing."""

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"type": "history_restored", "count": self.count, "newest_at": iso_time(self.newest_at_ms)}


Event: TypeAlias = (
    Message
    | Acted
    | Passing
    | CaughtUp
    | Missed
    | Gap
    | Gone
    | Unopened
    | Warned
    | HistoryRestored
    | GroupChanged
    | GroupInvited
    | JoinAsked
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this folder is."""

    account: str
    device: str
    handle: str | None
    relay: str
    """The relay's public origin."""
    role: str

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "type": "identity",
            "account": self.account,
            "device": self.device,
            "handle": self.handle,
            "relay": self.relay,
            "role": self.role,
        }


@dataclass(frozen=True, slots=True)
class SendReport:
    """What `send_lines` did."""

    accepted: int
    refused: int
    first_id: str | None
    last_id: str | None


@dataclass(frozen=True, slots=True)
class SafetyNumber:
    """60 digits that both sides see alike, and the bytes for a QR code of the same."""

    account: str
    name: str
    digits: str
    qr_payload: bytes
