"""What was done to a message after it was sent, as an application sees it: acts, who did them, and their event."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .times import iso_time


class ActKind(StrEnum):
    """What can be done to a message."""

    REACTION = "reaction"  # `text` is the emoji; empty: taken back
    EDIT = "edit"  # `text` is the new text
    DELETE = "delete"
    DELIVERED = "delivered"  # a receipt: it is on a device of theirs
    READ = "read"  # a receipt: they have seen it
    EXPIRED = "expired"  # its author wanted it to disappear, and its time is over


@dataclass(frozen=True, slots=True)
class MessageName:
    """A message by its author (account id) and id, base32."""

    account: str
    id: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Somebody who has a message, or has read it, and since when by their clock."""

    account: str
    name: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Reaction:
    """One account's reaction."""

    account: str
    name: str
    emoji: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Edit:
    """A form of a text that was replaced, and when it was written."""

    text: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Acted:
    """Event: somebody did something to a message. `text`: the emoji of a reaction, the new text of an edit."""

    kind: ActKind
    message: MessageName
    conversation: str
    account: str
    """Who did it: account id, proved by the session's keys."""
    name: str
    at_ms: int
    text: str | None = None

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        shown: dict[str, Any] = {
            "type": self.kind.value,
            "id": self.message.id,
            "author": self.message.account,
            "conversation": self.conversation,
            "from": self.name,
            "account": self.account,
            "at": iso_time(self.at_ms),
        }
        if self.kind is ActKind.REACTION:
            shown["emoji"] = self.text
        elif self.kind is ActKind.EDIT:
            shown["text"] = self.text
        return shown
