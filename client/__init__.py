"""The reference client of TokenIM, a library and the `tokenim` command.

What an application needs is here: `Client`, the values it gives, `ClientError`. The rest of the errors is in
`client.errors`. Loaded when first asked for, so that the command answers `--help` at once.
"""

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .client import Client
    from .contacts import Contact, Standing
    from .errors import ClientError
    from .message import (
        CaughtUp,
        Event,
        Gap,
        Gone,
        Identity,
        Message,
        Missed,
        SafetyNumber,
        SendReport,
        SharedFile,
        State,
        Unopened,
        Warned,
    )
    from .message_acts import Acted, ActKind, Edit, Mark, MessageName, Reaction
    from .message_groups import GroupChange, GroupChanged, GroupInfo, GroupInvited, GroupMember, JoinAsked
    from .passing_events import Presence, Typing
    from .privacy import Privacy

__all__ = [
    "ActKind",
    "Acted",
    "CaughtUp",
    "Client",
    "ClientError",
    "Contact",
    "Edit",
    "Event",
    "Gap",
    "Gone",
    "GroupChange",
    "GroupChanged",
    "GroupInfo",
    "GroupInvited",
    "GroupMember",
    "Identity",
    "JoinAsked",
    "Mark",
    "Message",
    "MessageName",
    "Missed",
    "Presence",
    "Privacy",
    "Reaction",
    "SafetyNumber",
    "SendReport",
    "SharedFile",
    "Standing",
    "State",
    "Typing",
    "Unopened",
    "Warned",
]

_HOMES: Final = MappingProxyType(
    {"Client": "client", "ClientError": "errors", "Privacy": "privacy"}
    | dict.fromkeys(("Contact", "Standing"), "contacts")
    | dict.fromkeys(("ActKind", "Acted", "Edit", "Mark", "MessageName", "Reaction"), "message_acts")
    | dict.fromkeys(
        ("GroupChange", "GroupChanged", "GroupInfo", "GroupInvited", "GroupMember", "JoinAsked"),
        "message_groups",
    )
    | dict.fromkeys(("Presence", "Typing"), "passing_events")
)


def __getattr__(name: str) -> Any:
    """The exported name from the module that it lives in."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f".{_HOMES.get(name, 'message')}", __name__), name)
