"""What passes and is kept nowhere, as an application sees it: somebody types, somebody is here. Lost ones are lost."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Typing:
    """Event: a contact has begun to write in a conversation, or has stopped."""

    conversation: str
    account: str
    name: str
    is_typing: bool

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "type": "typing",
            "conversation": self.conversation,
            "from": self.name,
            "account": self.account,
            "is_typing": self.is_typing,
        }


@dataclass(frozen=True, slots=True)
class Presence:
    """Event: a contact lets this account know that they are here, or go away."""

    account: str
    name: str
    is_here: bool

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"type": "presence", "from": self.name, "account": self.account, "is_here": self.is_here}


Passing = Typing | Presence
