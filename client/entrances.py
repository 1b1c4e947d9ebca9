"""Two ways into an account that is there already: linked by another device of it, or by its recovery words."""

import asyncio
from os import PathLike
from pathlib import Path

from crypto.primitives import require_supported_build

from .devices.joining import Talk, join_account
from .message import Identity
from .open_account import OpenAccount
from .recovery.restoring import Restored, RestoreWishes, key_of_words, restore_account
from .registration import prepare_home
from .store.database import Database
from .system import System, this_machine
from .transport import parse_origin


def _folder(home: str | PathLike[str]) -> Path:
    return Path(home).expanduser().absolute()


class Entrances:
    """What `client.Client` has for folders that are to become a further device."""

    @classmethod
    async def link(
        cls,
        home: str | PathLike[str],
        origin: str,
        talk: Talk,
        *,
        name: str,
        passphrase: str | None = None,
        system: System | None = None,
    ) -> Identity:
        """Make the empty or missing folder `home` a new device of an account at this relay, and close it again.

        `talk` shows the link, which a manager of the account takes within 60 s (`client.devices.accept`), and asks whether
        both show the same digits. Contacts, groups and settings come in a moment, or else with the next `events`. Safe to
        call again after it was cut off. Raises AccountExists, UsageError, LinkFailed, RelayKeyChanged, DevicesRefused,
        RelayUnreachable, Refused.
        """
        require_supported_build()
        system = system or this_machine()
        origin = parse_origin(origin)
        folder = _folder(home)
        key = await asyncio.to_thread(prepare_home, folder, passphrase, system)
        async with Database(folder, key) as database:
            identity = await join_account(database, origin, name, system, talk)
        async with OpenAccount.open(folder, passphrase, system) as opened:
            await opened.hear_from_own_devices()
        return identity

    @classmethod
    async def restore(
        cls,
        home: str | PathLike[str],
        origin: str,
        words: str,
        wishes: RestoreWishes,
        *,
        passphrase: str | None = None,
        system: System | None = None,
    ) -> Restored:
        """Make the empty or missing folder `home` a new device of the account of these 24 words, and close it again.

        Contacts, groups and settings come from the backup, messages with the next
        `events` if the history archive was on. Unless `wishes` keeps them, all other devices
        are out of the account by that. Safe to call again, with the same words, after it was cut off. Raises AccountExists,
        UsageError, RecoveryImpossible, BackupOutdated, BackupRefused, DevicesRefused, RelayKeyChanged, RelayUnreachable,
        Refused.
        """
        require_supported_build()
        system = system or this_machine()
        recovery_key, origin = key_of_words(words), parse_origin(origin)
        folder = _folder(home)
        key = await asyncio.to_thread(prepare_home, folder, passphrase, system)
        async with Database(folder, key) as database:
            return await restore_account(database, origin, recovery_key, wishes, system)
