"""A device that the account's list has just taken in becomes reachable: what the relay says of the account, and prekeys.

The same for one that was linked and one that came by the recovery words. Safe to do again.
"""

from client.account import Account, save_account
from client.errors import RelayMisbehaved
from client.prekey_care import tend_prekeys
from client.store.database import Database
from client.system import Step, System
from client.transport import Transport
from crypto.keys import LocalDevice
from crypto.manifest_chain import VerifiedManifest
from relay.wire.resources import AccountAnswer


async def arrive(
    transport: Transport,
    database: Database,
    local: LocalDevice,
    relay_key: bytes,
    own: VerifiedManifest,
    system: System,
) -> Account:
    """The account as this device has it, kept but not yet as registered. Raises RelayMisbehaved, RelayUnreachable, Refused."""
    answer = (await transport.ask("GET", "/v1/accounts/self", signed=True)).read(AccountAnswer)
    if answer.account_id != local.account_id:
        raise RelayMisbehaved("the relay takes this device for one of another account")
    account = Account(
        origin=transport.origin,
        relay_key=relay_key,
        local=local,
        own=own,
        handle=answer.handle,
        role=answer.role,
        registered=False,
    )
    await database.run(lambda tx: save_account(tx, account))
    await tend_prekeys(transport, database, account, system)
    system.reached(Step.PREKEYS_UP)
    return account
