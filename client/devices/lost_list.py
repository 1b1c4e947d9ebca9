"""Gives the relay the versions of the own list that it has lost: it came back from a backup that was made before them.

Each version proves itself, so a device can do it that the relay does not know (any more). docs/protocol.md, "A relay that
came back".
"""

from client.account import Account, load_account
from client.account_requests import put_signed_manifest
from client.errors import Refused
from client.store import facts
from client.store.database import Database
from client.transport import Transport
from relay.wire.links import encode_id
from relay.wire.resources import AccountAnswer, ManifestsAnswer

_TRIES = 4


async def give_back_list(transport: Transport, database: Database, account: Account) -> bool:
    """Whether the relay's list was older than the own one, and is the same now. Raises RelayUnreachable, Refused."""
    gave = False
    for _ in range(_TRIES):
        own = (await database.read(load_account)).own
        latest = await _version_at_relay(transport, database, account, own.version)
        if latest is None or latest >= own.version:
            return gave
        try:
            for signed in own.since(latest):
                await put_signed_manifest(transport, account.account_id, signed)
                gave = True
        except Refused as refused:
            # Another own device gives them back at this moment: look again what is there.
            if refused.reason not in ("manifest_conflict", "not_allowed"):
                raise
    return False


async def _version_at_relay(
    transport: Transport, database: Database, account: Account, known: int
) -> int | None:
    """The newest version that the relay has; None if it tells this device nothing."""
    try:
        answered = await transport.ask("GET", "/v1/accounts/self", signed=True)
        return answered.read(AccountAnswer).manifest_version
    except Refused as refused:
        if refused.reason != "unauthenticated":
            raise
    token = await database.read(lambda tx: facts.known_token(tx, "contact"))
    if token is None:
        return None
    target = f"/v1/accounts/{encode_id(account.account_id)}/manifests?from={known}"
    try:
        return (await transport.ask("GET", target, token=token)).read(ManifestsAnswer).latest
    except Refused as refused:
        if refused.reason != "not_allowed":
            raise
        return None
