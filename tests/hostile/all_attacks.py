"""All attacks by name, in the order of the table: importing a module enlists what is in it."""

from tests.hostile import (  # noqa: F401
    attacks_on_answers,
    attacks_on_archive,
    attacks_on_backups,
    attacks_on_device_lists,
    attacks_on_files,
    attacks_on_fresh_lists,
    attacks_on_groups,
    attacks_on_log,
    attacks_on_mail,
    attacks_on_members,
    attacks_on_own_devices,
    attacks_on_prekeys,
)
from tests.hostile.attacks import ATTACKS

__all__ = ["ATTACKS"]
