"""Who may do what in a group: roles, rights, and the table from a kind of change to the right it needs.

A member's rights are what it wants AND what it is given; what it is given stays within its role. Knows no keys and no
states. docs/protocol.md, "Groups", "Roles and rights".
"""

from enum import IntEnum, IntFlag
from typing import Final

__all__ = ["COMMITTING", "EVERY_RIGHT", "ROLE_RIGHTS", "Right", "Role"]


class Role(IntEnum):
    """A member's role; a higher one outranks a lower one."""

    LISTENER = 1  # reads
    MEMBER = 2  # reads and writes
    MODERATOR = 3  # also adds, removes, mutes and bans whom it outranks
    ADMIN = 4  # also appoints below itself, and changes settings
    OWNER = 5  # all, also to appoint and dismiss owners

    def outranks(self, other: "Role") -> bool:
        """Whether it is higher, or an owner's: those may do everything to each other."""
        return self is Role.OWNER or self > other


class Right(IntFlag):
    """What a member can do; bits of a u32. Unknown bits are kept, and give nothing."""

    HEAR = 1  # gets epoch secrets and chains: is in the audience
    SEND = 2  # its messages are shown
    ADD = 4  # adds members
    REMOVE = 8  # removes members
    BAN = 16  # bans accounts and lifts bans
    GIVE = 32  # takes rights from members, and gives them back: mute
    PROMOTE = 64  # changes roles
    SETTINGS = 128  # changes settings
    TIDY = 256  # deletes messages of others


_MEMBER: Final = Right.HEAR | Right.SEND
_MODERATOR: Final = _MEMBER | Right.ADD | Right.REMOVE | Right.BAN | Right.GIVE | Right.TIDY
_ALL: Final = _MODERATOR | Right.PROMOTE | Right.SETTINGS

ROLE_RIGHTS: Final[dict[Role, Right]] = {
    Role.LISTENER: Right.HEAR,
    Role.MEMBER: _MEMBER,
    Role.MODERATOR: _MODERATOR,
    Role.ADMIN: _ALL,
    Role.OWNER: _ALL,
}
"""The most that a member of each role can be given."""

COMMITTING: Final = Right.ADD | Right.REMOVE | Right.BAN | Right.GIVE | Right.PROMOTE | Right.SETTINGS
"""Who has one of these may commit, and holds the write key of the group's log."""

EVERY_RIGHT: Final = 2**32 - 1
"""What a member wants that wants all, also rights that later versions know."""
