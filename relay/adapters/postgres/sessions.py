"""What each session of a node asks PostgreSQL for, and what it must have got of that before it is used."""

import logging
from typing import Any, Final

from relay.wire.errors import Unavailable

_log = logging.getLogger(__name__)

NODE: Final = "tokenim-relay"
"""What PostgreSQL calls the sessions of a node."""
SESSION: Final = {
    "application_name": NODE,
    "synchronous_commit": "on",  # off would tell `accepted` for what a crash of the server takes back
    "default_transaction_isolation": "read committed",
    "statement_timeout": "10s",
    # As a warning says that the standby does not have what was committed, whatever is set for the role.
    "client_min_messages": "warning",
    "lock_timeout": "5s",
    # A node that is frozen in the middle of a transaction must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    # Every statement but a few counts is by key. Statistics of a queue that was empty a moment ago say: read all of it.
    "enable_seqscan": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}

_DURABLE: Final = frozenset({"on", "remote_apply"})
"""What `synchronous_commit` may be. The others do not wait for the server's disk, or not for that of its synchronous standby."""
_SETTING: Final = "SELECT current_setting('synchronous_commit')"


async def _refuse_moved(connection: Any) -> None:
    """No connection of a node to a database that is moved: also none of one that runs, and was away when it began."""
    if await connection.fetchval("SELECT to_regclass('moving') IS NOT NULL"):
        target = await connection.fetchval("SELECT target FROM moving")
        if target is not None:
            raise Unavailable(
                "this database is being filled from SQLite: `tokenim-relay migrate sqlite-to-postgres` goes on with it"
                if target == "postgres"
                else "this relay was moved to SQLite, or is being moved there, and its database takes nothing any more"
            )


async def refuse_lazy(connection: Any) -> None:
    """A pooler between may keep from the server what was asked for, and then the role's or the server's own holds."""
    found = await connection.fetchval(_SETTING)
    if found not in _DURABLE:
        _log.error("commits_not_durable")
        raise Unavailable(
            f"PostgreSQL has synchronous_commit = {found} in the relay's sessions, though they ask for on, so a crash would "
            "take back what was accepted: let the pooler pass on startup parameters, or set it by ALTER ROLE … SET "
            "synchronous_commit = on"
        )


async def refuse_unfit(connection: Any) -> None:
    """Raise Unavailable unless a node may use this connection; asked of each new one."""
    await refuse_lazy(connection)
    await _refuse_moved(connection)


async def keep_session(_connection: object) -> None:
    """Nothing to be reset: the relay changes no setting of a session, and a round trip is a third of a short read."""
