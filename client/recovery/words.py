"""The recovery words of the account: shown until the user has confirmed them, then gone from here with the root key.

docs/protocol.md, "Recovery".
"""

import hmac
from dataclasses import replace

from client.account import Account, load_account, save_account
from client.archive.keys import seal_for_words
from client.devices.shared_items import put_item
from client.errors import RecoveryImpossible, UsageError
from client.store.database import Database, Transaction
from client.system import System
from client.transport import Transport
from crypto.recovery import RecoveryKey

from .backing_up import back_up_if_due
from .backup_content import SEALING_KEY, encode_sealing_key, sealing_key
from .restoring import key_of_words


class Recovery:
    """What a user does with the words of an account."""

    def __init__(self, transport: Transport, database: Database, system: System) -> None:
        self._transport = transport
        self._database = database
        self._system = system

    async def words(self) -> tuple[str, ...]:
        """The 24 words, to be written down. They can be shown until they are confirmed, on the first device alone.

        Raises UsageError, RecoveryImpossible.
        """
        return (await self._database.read(_kept_key)).words()

    async def confirm(self, words: str) -> None:
        """The user has them: the root key and what it came from are deleted here, and backups begin. Raises UsageError,
        RecoveryImpossible; RelayUnreachable or Refused if the first backup has to wait: the words count all the same.
        """
        typed = key_of_words(words)

        def forget(tx: Transaction) -> None:
            kept = _kept_key(tx)
            if not hmac.compare_digest(kept.key, typed.key):
                raise UsageError("these are other words than those of this account")
            sealing = kept.sealing().public_bytes()
            put_item(tx, SEALING_KEY, encode_sealing_key(sealing), self._system)
            seal_for_words(tx, sealing, self._system)  # of a history archive that was on before
            save_account(tx, replace(load_account(tx), root_seed=None, recovery_key=None))

        await self._database.run(forget)
        await self.back_up()

    async def back_up(self) -> bool:
        """Make a backup now if something has changed since the last one; whether one was made."""
        return await back_up_if_due(self._transport, self._database, self._system, at_once=True)

    async def back_up_when_it_rests(self) -> bool:
        """Make a backup if something has changed and no more changes for a moment; whether one was made."""
        return await back_up_if_due(self._transport, self._database, self._system)


def _kept_key(tx: Transaction) -> RecoveryKey:
    account: Account = load_account(tx)
    if account.recovery_key is not None:
        return RecoveryKey(account.recovery_key)
    if sealing_key(tx) is not None:
        raise UsageError("the words were confirmed: they are kept nowhere, and cannot be shown again")
    if account.root_seed is not None:
        raise RecoveryImpossible(
            "this account was made before there were recovery words, and none can be made for it: its root key"
            " is only in this folder; keep a second device linked as manager, or make a new account"
        )
    raise UsageError("the recovery words are made on the account's first device: do it there")
